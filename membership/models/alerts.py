"""Alerts: what to watch for, what was found, whom it was told. Times are the real clock's."""

from __future__ import annotations

from typing import Any

import pghistory
from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from segmentation.models.definitions import history_names, track


def _keep(plural: Any, *, without: tuple[str, ...]) -> Any:
    """Keep changes of the decorated model: secrets never reach the history, and what the watch
    writes each minute would flood it."""
    return pghistory.track(
        pghistory.InsertEvent(level=pghistory.Statement),
        pghistory.UpdateEvent(level=pghistory.Statement),
        pghistory.DeleteEvent(level=pghistory.Statement),
        exclude=list(without),
        meta=history_names(plural),
    )


class AlertKind(models.TextChoices):
    """What can be wrong. Each has one rule, made by migration."""

    RUN_FAILED = "run_failed", _("Run failed")
    RUN_HELD = "run_held", _("Run held")
    RUN_LATE = "run_late", _("Run late")
    RUN_MISSING = "run_missing", _("Run did not happen")
    PARITY = "parity", _("Oracle disagrees")
    MIRROR_LAG = "mirror_lag", _("Mirror behind")
    REJECTS = "rejects", _("Rejected rows")
    FEED_STOPPED = "feed_stopped", _("Feed stopped")
    UPGRADES = "upgrades", _("Unusually many upgrades")
    APPROVAL_WAITING = "approval_waiting", _("Approval waiting")


@_keep(_("alert channels"), without=("address", "secret"))
class AlertChannel(models.Model):
    """Where alerts are sent to.

    A robot's address is as secret as a password: whoever has it can write to the group. Neither it
    nor the signing secret is shown again or kept in the history; `target` is what shows of it.
    """

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("Webhook")
        WECOM = "wecom", _("WeCom robot")
        DINGTALK = "dingtalk", _("DingTalk robot")
        FEISHU = "feishu", _("Feishu robot")

    name = models.CharField(_("name"), max_length=100)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    address = models.TextField(_("address"))  # of e-mail: one a line
    target = models.CharField(_("address"), max_length=300)  # masked, see above
    secret = models.CharField(_("signing secret"), max_length=200, blank=True)
    secret_set_at = models.DateTimeField(_("secret set at"), null=True, blank=True)
    language = models.CharField(
        _("language"), max_length=8, choices=settings.LANGUAGES, default="zh-hans"
    )
    is_enabled = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("alert channel")
        verbose_name_plural = _("alert channels")
        default_permissions = ("view", "add", "change")
        constraints = [models.UniqueConstraint(name="alertchannel_name", fields=["name"])]

    def __str__(self) -> str:
        return self.name


@_keep(_("alert rules"), without=("checked_at", "fault", "memory"))
class AlertRule(models.Model):
    """What to watch for, from when on, who answers for it, and who is told when.

    `thresholds` are whole numbers by name, as `domain/alerts.py` declares them for the kind. Quiet
    hours are half-open local times of the project's zone, also across midnight; a critical rule
    has none. `checked_at`, `fault` and `memory` are the watch's own and no part of the history.
    """

    class Severity(models.TextChoices):
        INFO = "info", _("For information")
        WARNING = "warning", _("Warning")
        CRITICAL = "critical", _("Critical")

    kind = models.CharField(_("kind"), max_length=16, choices=AlertKind.choices)
    is_enabled = models.BooleanField(_("in use"), default=True)
    severity = models.CharField(
        _("severity"), max_length=8, choices=Severity.choices, default=Severity.WARNING
    )
    thresholds = models.JSONField(_("thresholds"), default=dict)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    quiet_from = models.TimeField(_("quiet from"), null=True, blank=True)
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    remind_hours = models.PositiveSmallIntegerField(_("remind after hours"), default=0)  # 0: never
    channels = models.ManyToManyField(
        AlertChannel,
        through="AlertRoute",
        related_name="rules",
        blank=True,
        verbose_name=_("channels"),
    )
    checked_at = models.DateTimeField(_("last checked at"), null=True, blank=True)
    fault = models.CharField(_("fault"), max_length=100, blank=True)  # why it could not be checked
    memory = models.JSONField(default=dict)  # figures of the past that don't change any more

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        default_permissions = ("view", "change")
        constraints = [
            models.UniqueConstraint(name="alertrule_kind", fields=["kind"]),
            models.CheckConstraint(
                name="alertrule_quiet_hours_whole",
                condition=models.Q(quiet_from=None, quiet_until=None)
                | (
                    models.Q(quiet_from__isnull=False, quiet_until__isnull=False)
                    & ~models.Q(quiet_from=models.F("quiet_until"))
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.kind


@track
class AlertRoute(models.Model):
    """A rule tells a channel."""

    rule = models.ForeignKey(AlertRule, models.CASCADE, verbose_name=_("alert rule"))
    channel = models.ForeignKey(AlertChannel, models.PROTECT, verbose_name=_("alert channel"))

    class Meta:
        verbose_name = _("channel of a rule")
        verbose_name_plural = _("channels of rules")
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="alertroute_key", fields=["rule", "channel"])]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.channel_id}"


class Alert(models.Model):
    """One thing that is or was wrong. `parameters` are numbers, ids and instants: the words are
    made for whoever reads, in their language, and never name a segment.
    """

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        ACKNOWLEDGED = "acknowledged", _("Acknowledged")
        RESOLVED = "resolved", _("Resolved")

    rule = models.ForeignKey(AlertRule, models.PROTECT, verbose_name=_("alert rule"))
    subject = models.CharField(_("about"), max_length=100)  # e.g. run:12; one open alert each
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.OPEN)
    parameters = models.JSONField(_("parameters"), default=dict)
    opened_at = models.DateTimeField(_("opened at"))
    last_seen_at = models.DateTimeField(_("last seen at"))
    times_seen = models.PositiveIntegerField(_("times seen"), default=1)
    reminders = models.PositiveIntegerField(_("reminders"), default=0)
    acknowledged_by = models.CharField(_("acknowledged by"), max_length=150, blank=True)
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True, blank=True)
    note = models.TextField(_("note"), blank=True)
    resolved_at = models.DateTimeField(_("resolved at"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        default_permissions = ("view",)
        permissions = [("acknowledge_alert", _("Can acknowledge alerts"))]
        constraints = [
            models.UniqueConstraint(
                name="alert_one_unresolved",
                fields=["rule", "subject"],
                condition=~models.Q(state="resolved"),
            )
        ]
        indexes = [
            models.Index(
                name="alert_unresolved", fields=["-id"], condition=~models.Q(state="resolved")
            )
        ]

    def __str__(self) -> str:
        return f"{self.subject} {self.pk}"


class AlertDelivery(models.Model):
    """One message about one alert to one channel: the row is the work, claimed with a lease.

    It waits until it was taken, in ever longer steps, and is given up visibly after three days.
    `skipped`: the alert was over before the message went out, or the channel was switched off.
    """

    class Event(models.TextChoices):
        OPENED = "opened", _("Opened")
        REMINDER = "reminder", _("Reminder")
        RESOLVED = "resolved", _("Resolved")

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        SKIPPED = "skipped", _("Not needed")

    alert = models.ForeignKey(
        Alert, models.CASCADE, related_name="deliveries", verbose_name=_("alert")
    )
    channel = models.ForeignKey(AlertChannel, models.PROTECT, verbose_name=_("alert channel"))
    event = models.CharField(_("occasion"), max_length=8, choices=Event.choices)
    number = models.PositiveIntegerField(_("number"), default=0)  # of a reminder
    state = models.CharField(_("state"), max_length=7, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField(_("created at"))
    given_up_at = models.DateTimeField(_("given up at"))  # when it will be, or was
    not_before = models.DateTimeField(_("not before"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)  # a code and details
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    lease_owner = models.CharField(_("worker"), max_length=128, blank=True)
    lease_until = models.DateTimeField(_("lease ends at"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        default_permissions = ("view",)
        permissions = [("resend_alertdelivery", _("Can send alert messages again"))]
        constraints = [
            models.UniqueConstraint(
                name="alertdelivery_key", fields=["alert", "channel", "event", "number"]
            )
        ]
        indexes = [
            models.Index(
                name="alertdelivery_waiting",
                fields=["not_before", "id"],
                condition=models.Q(state="waiting"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} {self.event} {self.channel_id}"
