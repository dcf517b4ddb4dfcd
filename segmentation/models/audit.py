"""Who looked at what: reads, exports and reveals of hidden and personal data."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class AccessRecord(models.Model):
    """One look at something hidden or personal. Append-only; times are the real clock's."""

    class Kind(models.TextChoices):
        VIEW_HIDDEN = "view_hidden", _("Looked at a hidden segment")
        EXPORT_HIDDEN = "export_hidden", _("Exported hidden data")
        READ_HIDDEN = "read_hidden", _("Read a hidden segment through the API")
        VIEW_CUSTOMER = "view_customer", _("Opened a customer")
        REVEAL = "reveal", _("Revealed personal data")
        EXPORT_PERSONAL = "export_personal", _("Exported personal data")
        EXPORT = "export", _("Exported a list")
        PRIVACY_EXPORT = "privacy_export", _("Gave a customer their data")

    class Via(models.TextChoices):
        ADMIN = "admin", _("Admin")
        API = "api", _("API")
        COMMAND = "command", _("Command line")

    at = models.DateTimeField(_("at"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    via = models.CharField(_("through"), max_length=8, choices=Via.choices)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )  # null: an API key or the machine's operator
    actor = models.CharField(_("by"), max_length=150)
    # What was looked at: segment:KEY, list:KEY, customer:ID, ...
    subject_kind = models.CharField(_("kind of object"), max_length=16)
    subject_key = models.CharField(_("object"), max_length=255, db_collation="C")
    is_hidden = models.BooleanField(_("restricted"), default=False)
    rows = models.BigIntegerField(_("rows"), null=True, blank=True)
    details = models.JSONField(_("details"), default=dict)  # e.g. fields revealed, reason, page
    address = models.GenericIPAddressField(_("IP address"), null=True, blank=True)

    class Meta:
        verbose_name = _("access to sensitive data")
        verbose_name_plural = _("accesses to sensitive data")
        indexes = [
            models.Index(name="access_subject", fields=["subject_kind", "subject_key", "-id"]),
            models.Index(name="access_actor", fields=["actor", "-id"]),
            models.Index(name="access_user_kind", fields=["user", "kind", "at"]),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_kind}:{self.subject_key}"


class PrivacyRequest(models.Model):
    """A customer's wish about their data, as received; its id is the receipt."""

    class Kind(models.TextChoices):
        OBJECT = "object", _("Object to personalised decisions")
        ALLOW = "allow", _("Take the objection back")
        WITHDRAW_CONSENT = "withdraw_consent", _("Withdraw marketing consent")
        EXPORT = "export", _("Export my data")
        ERASE = "erase", _("Erase me")

    receipt = models.CharField(_("receipt"), max_length=40, unique=True)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    # After an erasure the id is replaced by a keyed hash: the receipt stays, the person does not.
    customer_ref = models.CharField(_("customer"), max_length=255, db_collation="C")
    actor = models.CharField(_("by"), max_length=150)
    via = models.CharField(_("through"), max_length=8, choices=AccessRecord.Via.choices)
    requested_at = models.DateTimeField(_("requested at"))  # the real clock
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)
    details = models.JSONField(_("details"), default=dict)

    class Meta:
        verbose_name = _("privacy request")
        verbose_name_plural = _("privacy requests")
        indexes = [models.Index(name="privacyrequest_customer", fields=["customer_ref", "-id"])]

    def __str__(self) -> str:
        return self.receipt
