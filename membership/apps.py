from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MembershipConfig(AppConfig):
    """What we promise to customers: programs, tiers, memberships."""

    name = "membership"
    verbose_name = _("Programs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what jobs of this app can do."""
        from . import jobs as jobs
