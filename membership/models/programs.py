from __future__ import annotations

import pghistory
import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from segmentation.models.definitions import Definition, history_names, track

from .instant import InstantBatch


@track
class Program(Definition):
    """A public tier program. `document` is the definition without the version it came with."""

    timezone = models.CharField(_("time zone"), max_length=64)

    class Meta(Definition.Meta):
        abstract = False
        verbose_name = _("program")
        verbose_name_plural = _("programs")


class ProgramVersion(models.Model):
    """An immutable dated set of tiers and lifecycle rules, in the contract's format.

    At an as-of the version with the highest number among those already effective applies.
    """

    program = models.ForeignKey(
        Program, models.PROTECT, related_name="versions", verbose_name=_("program")
    )
    number = models.PositiveIntegerField(_("number"))
    effective_from = models.DateField(_("effective from"))
    document = models.JSONField(_("definition"))
    actor = models.CharField(_("by"), max_length=150)
    published_at = models.DateTimeField(_("published at"))

    class Meta:
        verbose_name = _("program version")
        verbose_name_plural = _("program versions")
        constraints = [
            models.UniqueConstraint(name="programversion_number", fields=["program", "number"])
        ]
        triggers = [
            pgtrigger.Protect(name="immutable", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.program.key} {self.number}"


class Tier(models.Model):
    """One rank of a program version."""

    version = models.ForeignKey(
        ProgramVersion, models.PROTECT, related_name="tiers", verbose_name=_("version")
    )
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    rank = models.PositiveSmallIntegerField(_("rank"))
    label_en = models.CharField(_("English name"), max_length=200)
    label_zh_hans = models.CharField(_("Chinese name"), max_length=200)

    class Meta:
        verbose_name = _("tier")
        verbose_name_plural = _("tiers")
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint(name="tier_key", fields=["version", "key"]),
            models.UniqueConstraint(name="tier_rank", fields=["version", "rank"]),
        ]
        triggers = [
            pgtrigger.Protect(name="immutable", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return self.key


@pghistory.track(
    pghistory.UpdateEvent(level=pghistory.Statement),
    pghistory.DeleteEvent(level=pghistory.Statement),
    meta=history_names(_("memberships")),
)
class Membership(models.Model):
    """One customer's place in one program, now.

    Half-open: held from `since` until the instant `until` (null: for good). `grace_until` is set
    while the tier was not renewed and is kept for the grace period.
    """

    program = models.ForeignKey(
        Program, models.PROTECT, related_name="memberships", verbose_name=_("program")
    )
    customer = models.ForeignKey(
        "segmentation.Customer",
        models.PROTECT,
        related_name="memberships",
        verbose_name=_("customer"),
    )
    tier = models.CharField(_("tier"), max_length=64, db_collation="C")
    rank = models.PositiveSmallIntegerField(_("rank"))
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, blank=True)
    grace_until = models.DateTimeField(_("grace until"), null=True, blank=True)
    run = models.ForeignKey(
        "segmentation.Run", models.PROTECT, related_name="+", verbose_name=_("run")
    )  # last change

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(name="membership_key", fields=["program", "customer"])
        ]
        indexes = [
            models.Index(name="membership_until", fields=["program", "until"]),
            # How many terms of a tier end soon: counted on the index alone.
            models.Index(name="membership_tier_until", fields=["program", "tier", "until"]),
            models.Index(
                name="membership_grace",
                fields=["program", "grace_until"],
                condition=models.Q(grace_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.tier}"


class Transition(models.Model):
    """One decision about one membership, with the values that decided. Append-only."""

    class Kind(models.TextChoices):
        ENTRY = "entry", _("Entry")
        UPGRADE = "upgrade", _("Upgrade")
        RENEWAL = "renewal", _("Renewal")
        GRACE = "grace", _("Grace")
        DOWNGRADE = "downgrade", _("Downgrade")
        EXIT = "exit", _("Exit")

    program = models.ForeignKey(
        Program, models.PROTECT, related_name="transitions", verbose_name=_("program")
    )
    customer = models.ForeignKey(
        "segmentation.Customer",
        models.PROTECT,
        related_name="transitions",
        verbose_name=_("customer"),
    )
    run = models.ForeignKey(
        "segmentation.Run", models.PROTECT, related_name="transitions", verbose_name=_("run")
    )
    # Set when an order, not a run, brought it: `run` is then the published one it was based on.
    instant_batch = models.ForeignKey(
        InstantBatch,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="transitions",
        db_index=False,  # the first column of a constraint
        verbose_name=_("instant batch"),
    )
    version = models.ForeignKey(
        ProgramVersion, models.PROTECT, related_name="+", verbose_name=_("version")
    )
    kind = models.CharField(_("kind"), max_length=9, choices=Kind.choices)
    from_tier = models.CharField(_("from tier"), max_length=64, blank=True, db_collation="C")
    to_tier = models.CharField(_("to tier"), max_length=64, blank=True, db_collation="C")
    at = models.DateTimeField(_("at"))  # the run's as-of
    since = models.DateTimeField(_("since"), null=True, blank=True)  # after the decision
    until = models.DateTimeField(_("until"), null=True, blank=True)
    grace_until = models.DateTimeField(_("grace until"), null=True, blank=True)
    reasons = models.JSONField(
        _("reasons"), default=list
    )  # stable codes, e.g. ["qualifies_higher"]
    values = models.JSONField(_("values"), default=dict)  # metric -> shown value, as decided on

    class Meta:
        verbose_name = _("transition")
        verbose_name_plural = _("transitions")
        constraints = [
            models.UniqueConstraint(
                name="transition_key",
                fields=["run", "program", "customer"],
                condition=models.Q(instant_batch=None),
            ),
            models.UniqueConstraint(
                name="transition_instant_key",
                fields=["instant_batch", "program", "customer"],
                condition=models.Q(instant_batch__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="transition_customer", fields=["customer", "-id"]),
            models.Index(name="transition_program_at", fields=["program", "-at", "-id"]),
            models.Index(name="transition_at", fields=["-at", "-id"]),
            # Who came to a tier in a month, also where few do.
            models.Index(name="transition_to_tier", fields=["program", "to_tier", "-at", "-id"]),
            # Who moved last, below any number of renewals.
            models.Index(
                name="transition_moved",
                fields=["-id"],
                condition=models.Q(kind__in=("entry", "upgrade", "downgrade", "exit")),
            ),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.from_tier}>{self.to_tier}"
