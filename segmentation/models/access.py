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

    scopes = models.JSONField(_("scopes"), default=list)

    class Meta(AbstractAPIKey.Meta):
        abstract = False
        verbose_name = _("API key")  # type: ignore[assignment]
        verbose_name_plural = _("API keys")  # type: ignore[assignment]
        constraints = [
            # A revoked key frees its name; an expired one does not.
            models.UniqueConstraint(
                name="apikey_live_name", fields=["name"], condition=models.Q(revoked=False)
            )
        ]


class ApiKeyUse(models.Model):
    """How many requests a key made in its newest stretch of time: one row a key, overwritten.

    `stretch` is the number of whole stretches since 1970 on the real clock. Apart from the key, so
    that the key's history shows acts of people only.
    """

    key = models.OneToOneField(
        ApiKey, models.CASCADE, primary_key=True, related_name="use", verbose_name=_("API key")
    )
    stretch = models.BigIntegerField(_("stretch of time"))
    requests = models.IntegerField(_("requests"))

    class Meta:
        verbose_name = _("API key use")
        verbose_name_plural = _("API key uses")

    def __str__(self) -> str:
        return f"{self.key_id} {self.requests}"
