from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SegmentationConfig(AppConfig):
    """What we know about customers: facts, metrics, tags, segments, layers, the engine."""

    name = "segmentation"
    verbose_name = _("Tags & segments")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what jobs of this app can do."""
        from . import jobs as jobs
