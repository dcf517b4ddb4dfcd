"""Runs and what they published."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from .definitions import DefinitionSet, Segment


class Run(models.Model):
    """One recompute at one as-of from one set of facts and definitions.

    The status is what publishes: readers look only at runs that are published or historical.
    Times of the lease are the real clock's, `as_of` the project's.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        PUBLISHED = "published", _("Published")
        HISTORICAL = "historical", _("Historical")
        HELD = "held", _("Held")
        FAILED = "failed", _("Failed")
        DRY_RUN = "dry_run", _("Dry run")

    class Decision(models.TextChoices):
        RELEASED = "released", _("Released")
        REJECTED = "rejected", _("Rejected")
        OVERTAKEN = "overtaken", _("Overtaken")

    as_of = models.DateTimeField(_("as of"))
    status = models.CharField(
        _("status"), max_length=10, choices=Status.choices, default=Status.QUEUED
    )
    is_dry_run = models.BooleanField(_("dry run"), default=False)
    requested_by = models.CharField(_("requested by"), max_length=150)
    requested_at = models.DateTimeField(_("requested at"))
    watermark = models.BigIntegerField(
        _("facts up to generation"), null=True, blank=True
    )  # the mirror's generation
    definition_set = models.ForeignKey(
        DefinitionSet, models.PROTECT, null=True, blank=True, verbose_name=_("definition set")
    )
    # The run whose memberships this one started from.
    base_run = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("starts from run"),
    )
    # The last batch of the instant path whose tiers the run started with.
    instant_before = models.BigIntegerField(_("starts after instant batch"), null=True, blank=True)
    engine = models.CharField(_("engine"), max_length=64, blank=True)
    tzdata_version = models.CharField(_("time zone data"), max_length=32, blank=True)
    customers = models.BigIntegerField(_("customers"), null=True, blank=True)
    recorded_hash = models.CharField(_("result hash"), max_length=64, blank=True)
    cuts = models.JSONField(
        _("cut points"), default=dict
    )  # layering -> [[numerator, denominator], ...], frozen
    parity_checked = models.PositiveIntegerField(_("checked by the oracle"), default=0)
    # Where the oracle disagreed: [{customer_id, subject, oracle, engine}].
    parity_mismatches = models.JSONField(_("oracle disagreements"), default=list)
    seconds = models.JSONField(_("seconds per stage"), default=dict)  # stage -> seconds, disjoint
    rows = models.JSONField(_("rows per stage"), default=dict)  # stage -> rows it read or wrote
    # stage -> the worker's largest resident memory in it, in bytes
    memory = models.JSONField(_("memory per stage"), default=dict)
    # Bytes that did not fit into memory and went to disk, looked at once a second.
    spilled = models.BigIntegerField(_("spilled to disk"), null=True, blank=True)
    stage = models.CharField(_("stage"), max_length=32, blank=True)
    error = models.TextField(_("error"), blank=True)
    # Stable, for what a page or a program says about it; "" for what nobody foresaw.
    error_code = models.CharField(_("error code"), max_length=32, blank=True)
    cancelled_by = models.CharField(_("cancelled by"), max_length=150, blank=True)
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    log = models.JSONField(_("log"), default=list)  # [{at, message}]
    # Asked for by the schedule: tried again until the next one is due.
    is_scheduled = models.BooleanField(_("scheduled"), default=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    lease_owner = models.CharField(_("worker"), max_length=128, blank=True)
    lease_until = models.DateTimeField(_("lease ends at"), null=True, blank=True)
    not_before = models.DateTimeField(
        _("not before"), null=True, blank=True
    )  # back-off after a failed attempt
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # What the breaker found (segmentation/domain/breaker.py, Finding), kept after the decision.
    held_reasons = models.JSONField(_("held because"), default=list, blank=True)
    # What became of a held run; overtaken: a later one was published or held before a decision.
    decision = models.CharField(
        _("decision"), max_length=10, choices=Decision.choices, blank=True, default=""
    )
    decided_by = models.CharField(_("decided by"), max_length=150, blank=True, default="")
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decision_reason = models.TextField(_("reason of the decision"), blank=True, default="")

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        permissions = [
            ("request_run", _("Can start a run")),
            ("verify_run", _("Can verify a run")),
            ("release_run", _("Can release or reject a held run")),
            ("cancel_run", _("Can stop a run")),
        ]
        indexes = [models.Index(name="run_status_as_of", fields=["status", "-as_of", "-id"])]
        constraints = [
            # Two runs never interleave.
            models.UniqueConstraint(
                name="run_one_running", fields=["status"], condition=models.Q(status="running")
            )
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.as_of:%Y-%m-%d %H:%M}"


class SegmentResult(models.Model):
    """Who was in a segment at a run: Roaring bitmaps of customer ordinals."""

    run = models.ForeignKey(
        Run, models.CASCADE, related_name="segment_results", verbose_name=_("run")
    )
    segment = models.ForeignKey(
        Segment, models.PROTECT, related_name="results", verbose_name=_("segment")
    )
    size = models.BigIntegerField(_("members"))
    entered_count = models.BigIntegerField(_("entered"))
    left_count = models.BigIntegerField(_("left"))
    members = models.BinaryField(_("members (bitmap)"))
    entered = models.BinaryField(_("entered (bitmap)"))
    left = models.BinaryField(_("left (bitmap)"))

    class Meta:
        verbose_name = _("segment result")
        verbose_name_plural = _("segment results")
        constraints = [models.UniqueConstraint(name="segmentresult_key", fields=["run", "segment"])]
        triggers = [pgtrigger.Protect(name="immutable", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.run_id} {self.segment_id}"


class RunCount(models.Model):
    """How many customers had a tag value, were in a layer or held a tier at a run."""

    class Kind(models.TextChoices):
        TAG = "tag", _("Tag")
        LAYER = "layer", _("Layer")
        TIER = "tier", _("Tier")

    run = models.ForeignKey(Run, models.CASCADE, related_name="counts", verbose_name=_("run"))
    kind = models.CharField(_("kind"), max_length=5, choices=Kind.choices)
    key = models.CharField(_("key"), max_length=64, db_collation="C")
    value = models.CharField(_("value"), max_length=255, db_collation="C")
    size = models.BigIntegerField(_("members"))

    class Meta:
        verbose_name = _("run count")
        verbose_name_plural = _("run counts")
        constraints = [
            models.UniqueConstraint(name="runcount_key", fields=["run", "kind", "key", "value"])
        ]
        triggers = [pgtrigger.Protect(name="immutable", operation=pgtrigger.Update)]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}={self.value}: {self.size}"
