"""What the instant path did."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from segmentation.models import Run


class InstantBatch(models.Model):
    """Some customers looked at between two runs, because an outside system sent facts of theirs.

    Only batches that changed a tier are kept. `run` is the published run whose definitions and
    cuts decided; `as_of` is the project's clock, the other times are the real one's.
    """

    run = models.ForeignKey(
        Run, models.PROTECT, related_name="instant_batches", verbose_name=_("run")
    )
    as_of = models.DateTimeField(_("as of"))
    customers = models.PositiveIntegerField(_("customers"))
    changes = models.PositiveIntegerField(_("tier changes"))
    started_at = models.DateTimeField(_("started at"))
    finished_at = models.DateTimeField(_("finished at"))

    class Meta:
        verbose_name = _("instant batch")
        verbose_name_plural = _("instant batches")

    def __str__(self) -> str:
        return f"{self.pk} {self.as_of:%Y-%m-%d %H:%M}"


class InstantStanding(models.Model):
    """The values that decide about tiers, as the instant path last found them for a customer.

    They answer until a run has looked at the customer at the same or a later as-of. `metrics` maps
    a metric's key to its exact [numerator, denominator] in its own unit, or null when missing.
    """

    customer = models.OneToOneField(
        "segmentation.Customer",
        models.PROTECT,
        primary_key=True,
        related_name="+",
        verbose_name=_("customer"),
    )
    as_of = models.DateTimeField(_("as of"))
    metrics = models.JSONField(_("metrics"), default=dict)

    class Meta:
        verbose_name = _("value between runs")
        verbose_name_plural = _("values between runs")
        indexes = [models.Index(name="instantstanding_as_of", fields=["as_of"])]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.as_of:%Y-%m-%d %H:%M}"
