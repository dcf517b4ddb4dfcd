from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

SCOPES = (
    "facts:write",
    "customers:read",
    "customers:write",
    "members:read",
    "redemptions:write",
    "segments:read",
    "segments:read_hidden",
    "runs:read",
    "runs:write",
)


class ApiKey(AbstractAPIKey):
    """A hashed bearer key of an outside system, with the scopes it may use."""

    scopes = models.JSONField(default=list)

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
