"""Customers whose facts changed and whose tiers nobody has looked at since."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .facts import Customer, FactBatch


class CustomerMark(models.Model):
    """Written with the facts, in their transaction; gone with the tiers that were decided on them.

    Rows are only added and removed, so that writers never wait for each other; a customer may have
    many. `due_at` is the project's clock: a fact of the near future counts from then on. `retry_at`
    is the real clock: a customer on whom the computation failed rests until then.
    """

    customer = models.ForeignKey(
        Customer, models.PROTECT, related_name="+", db_index=False, verbose_name=_("customer")
    )
    batch = models.ForeignKey(
        FactBatch,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        verbose_name=_("import"),
    )  # null: a run found the membership changed meanwhile
    due_at = models.DateTimeField(_("due at"))
    marked_at = models.DateTimeField(_("marked at"))  # the real clock
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("next attempt at"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("customer to look at")
        verbose_name_plural = _("customers to look at")

    def __str__(self) -> str:
        return f"{self.customer_id} {self.due_at:%Y-%m-%d %H:%M}"
