from __future__ import annotations

import pghistory
from django.db import models
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import AbstractAPIKey

from .definitions import history_names

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
    "runs:cancel",
)


@pghistory.track(
    pghistory.InsertEvent(level=pghistory.Statement),
    pghistory.UpdateEvent(level=pghistory.Statement),
    pghistory.DeleteEvent(level=pghistory.Statement),
    model_name="ApiKeyEvent",
    exclude=["id", "hashed_key", "created"],  # the row id is the prefix with the hash
    obj_field=None,
    meta={**history_names(_("API keys")), "default_permissions": ()},
)
class ApiKey(AbstractAPIKey):
    """A hashed bearer key of an outside system, with the scopes it may use."""

    scopes = models.JSONField(_("scopes"), default=list)
    # Row scope: only customers of these home stores; null: of all.
    home_stores = models.JSONField(_("home stores"), null=True, blank=True)

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


class RequestKey(models.Model):
    """An `Idempotency-Key` that an API key has sent: what was asked with it and what came of it.

    Written in the transaction that does what was asked, so one key never does two things.
    """

    api_key = models.ForeignKey(
        ApiKey, models.CASCADE, related_name="+", db_index=False, verbose_name=_("API key")
    )
    key = models.CharField(_("key"), max_length=200, db_collation="C")
    request_digest = models.CharField(_("digest of the request"), max_length=64)  # SHA-256
    subject = models.CharField(_("what came of it"), max_length=64)  # e.g. run:12
    used_at = models.DateTimeField(_("used at"))  # the real clock

    class Meta:
        verbose_name = _("request key")
        verbose_name_plural = _("request keys")
        constraints = [models.UniqueConstraint(name="requestkey_key", fields=["api_key", "key"])]
        indexes = [models.Index(name="requestkey_used_at", fields=["used_at"])]

    def __str__(self) -> str:
        return self.subject
