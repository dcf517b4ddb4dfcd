"""Long work that a person asked for: exports, uploads, checks, bulk changes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Job(models.Model):
    """One piece of long work: asked for once, claimed with a lease, followed and cancellable.

    The row is the work; a message only wakes a worker. Files lie in `VAR_DIR/jobs/<id>/`. Times
    are the real clock's. `parameters` must say everything the work needs; `idempotency_key` is
    what makes a double click one job.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    kind = models.CharField(_("kind"), max_length=32)
    subject = models.CharField(_("about"), max_length=300, blank=True)  # e.g. segment:vip
    parameters = models.JSONField(_("parameters"), default=dict)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )  # null: an API key or the machine's operator, see actor
    actor = models.CharField(_("by"), max_length=150)
    language = models.CharField(_("language"), max_length=10, default="en")
    # Names or counts a hidden segment: seen only with the right, also after the rights change.
    is_hidden = models.BooleanField(_("restricted"), default=False)
    idempotency_key = models.CharField(max_length=100, null=True, blank=True, unique=True)
    status = models.CharField(
        _("status"), max_length=9, choices=Status.choices, default=Status.QUEUED
    )
    done = models.BigIntegerField(_("done"), default=0)
    total = models.BigIntegerField(_("of"), null=True, blank=True)
    stage = models.CharField(_("stage"), max_length=64, blank=True)
    log = models.JSONField(_("log"), default=list)  # [{at, message}]
    result = models.JSONField(_("result"), default=dict)
    result_file = models.CharField(_("result file"), max_length=255, blank=True)  # its name
    error = models.JSONField(_("error"), null=True, blank=True)  # {code, message, details}
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    cancel_requested_at = models.DateTimeField(_("cancelled at"), null=True, blank=True)
    lease_owner = models.CharField(_("worker"), max_length=128, blank=True)
    lease_until = models.DateTimeField(_("lease ends at"), null=True, blank=True)
    requested_at = models.DateTimeField(_("requested at"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        permissions = [
            ("export_data", _("Can export lists")),
            ("view_all_jobs", _("Can see the jobs of others")),
            ("cancel_all_jobs", _("Can cancel the jobs of others")),
        ]
        indexes = [
            models.Index(
                name="job_waiting",
                fields=["id"],
                condition=models.Q(status__in=["queued", "running"]),
            ),
            models.Index(name="job_requested_by", fields=["requested_by", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
