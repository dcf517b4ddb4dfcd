"""People who turn out to be one: merges, facts sent under an id that was merged, and what an
erasure took out of stored runs."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .facts import Customer, FactBatch
from .jobs import Job
from .runs import Run


class CustomerMerge(models.Model):
    """One person with two ids: `merged` became an alias of `survivor`.

    Everything that an undo needs is here or in the versions that the batches replaced. Times are
    the real clock's.
    """

    survivor = models.ForeignKey(
        Customer, models.PROTECT, related_name="merges", verbose_name=_("kept customer")
    )
    merged = models.ForeignKey(
        Customer, models.PROTECT, related_name="merged_by", verbose_name=_("merged customer")
    )
    reason = models.TextField(_("reason"))
    actor = models.CharField(_("by"), max_length=150)
    merged_at = models.DateTimeField(_("merged at"))
    until = models.DateTimeField(_("can be undone until"))
    # The batch that made the merged customer's row an alias: its generation tells from which
    # watermark on the two are one.
    batch = models.ForeignKey(FactBatch, models.PROTECT, related_name="+", verbose_name=_("import"))
    batches = models.JSONField(_("imports"), default=dict)  # kind -> batch that moved its facts
    moved = models.JSONField(_("moved"), default=dict)  # what -> how many, as shown before
    # What the survivor got, what the merged one lost, where both had it: see services/merging.py.
    kept = models.JSONField(_("for an undo"), default=dict)
    undone_at = models.DateTimeField(_("undone at"), null=True, blank=True)
    undone_by = models.CharField(_("undone by"), max_length=150, blank=True)
    undo_reason = models.TextField(_("reason of the undo"), blank=True)
    undo_batch = models.ForeignKey(
        FactBatch,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("import of the undo"),
    )
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("job")
    )

    class Meta:
        verbose_name = _("merge of customers")
        verbose_name_plural = _("merges of customers")
        permissions = [("merge_customers", _("Can merge customers and undo merges"))]
        indexes = [models.Index(name="customermerge_survivor", fields=["survivor", "-id"])]
        constraints = [
            # An id is an alias of one customer at a time.
            models.UniqueConstraint(
                name="customermerge_standing",
                fields=["merged"],
                condition=models.Q(undone_at=None),
            ),
            models.CheckConstraint(
                name="customermerge_of_two", condition=~models.Q(survivor=models.F("merged"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.merged_id}>{self.survivor_id}"


class RedirectedFact(models.Model):
    """Under which id of a merged person a fact came last: one that came under an alias is given
    back by an undo, one that came under the survivor's own id stays."""

    kind = models.CharField(_("kind"), max_length=16)
    row_id = models.BigIntegerField(_("row"))
    column = models.CharField(_("column"), max_length=16)  # customer, referrer or referee
    alias = models.ForeignKey(
        Customer, models.CASCADE, related_name="+", verbose_name=_("sent for")
    )

    class Meta:
        verbose_name = _("fact sent under an alias")
        verbose_name_plural = _("facts sent under aliases")
        constraints = [
            models.UniqueConstraint(name="redirectedfact_key", fields=["kind", "row_id", "column"])
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.row_id}"


class RunErasure(models.Model):
    """How many customers were taken out of a stored run, and the hash over those who remain.

    `remaining_hash` takes the place of the run's own hash when its file is checked.
    """

    run = models.OneToOneField(
        Run, models.CASCADE, primary_key=True, related_name="erasure", verbose_name=_("run")
    )
    customers = models.PositiveIntegerField(_("erased customers"), default=0)
    remaining_hash = models.CharField(_("hash of the customers that remain"), max_length=64)

    class Meta:
        verbose_name = _("erasure from a run")
        verbose_name_plural = _("erasures from runs")

    def __str__(self) -> str:
        return f"{self.run_id}"
