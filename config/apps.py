from __future__ import annotations

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """What runs the product: set-up, services, backup. It has no models."""

    name = "config"
    verbose_name = "Tierwise"

    def ready(self) -> None:
        from . import celery  # noqa: F401  tasks sent from any process reach our broker
