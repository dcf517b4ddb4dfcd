"""The watch: looks at every rule, opens and resolves alerts, and plans whom to tell.

One look at one rule is one transaction with the rule's row locked, so two workers never open the
same alert twice; a rule that can't be looked at is noted on it and keeps no other from being looked
at. `now` is the real clock's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max, Q

from membership.domain.alerts import GIVE_UP_AFTER, end_of_quiet, thresholds_of
from membership.models import Alert, AlertChannel, AlertDelivery, AlertRule
from segmentation.permissions import Viewer, row_scope

from .alert_conditions import CONDITIONS
from .alert_findings import Findings, Watched

# A longer pause between two looks means that nobody was watching.
WATCHING_GAP = timedelta(minutes=5)
# So long what is over stays readable, with its messages: more than a year, to compare seasons.
KEEP_RESOLVED = timedelta(days=400)
SINCE = "since"  # in a rule's memory
_UNRESOLVED = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED)

VIEW_ALERT = "membership.view_alert"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all rules came to."""

    opened: int
    resolved: int
    faults: int


def look(*, now: datetime, project_now: datetime, zone: ZoneInfo) -> Look:
    """Look at every rule once; a rule that another worker is looking at is left to it."""
    opened = resolved = faults = 0
    for pk in AlertRule.objects.order_by("pk").values_list("pk", flat=True):
        try:
            found = _look_at(pk, now=now, project_now=project_now, zone=zone)
        except Exception as error:
            logger.exception("alert rule %s could not be checked", pk)
            AlertRule.objects.filter(pk=pk).update(fault=type(error).__name__[:100])
            faults += 1
        else:
            opened, resolved = opened + found.opened, resolved + found.resolved
    return Look(opened, resolved, faults)


@transaction.atomic
def _look_at(pk: int, *, now: datetime, project_now: datetime, zone: ZoneInfo) -> Look:
    rule = AlertRule.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
    if rule is None:
        return Look(0, 0, 0)
    if not rule.is_enabled:
        AlertRule.objects.filter(pk=pk).update(checked_at=now, fault="", memory={})
        return Look(0, _resolve(_unresolved(rule), now=now, is_told=False), 0)
    memory = dict(rule.memory)
    if rule.checked_at is None or now - rule.checked_at > WATCHING_GAP or SINCE not in memory:
        memory[SINCE] = now.isoformat()
    watched = Watched(
        thresholds=thresholds_of(rule.kind, rule.thresholds),
        now=now,
        project_now=project_now,
        zone=zone,
        since=datetime.fromisoformat(memory[SINCE]),
        checked_at=rule.checked_at,
        memory=memory,
    )
    found = CONDITIONS[rule.kind](watched)
    AlertRule.objects.filter(pk=pk).update(checked_at=now, fault="", memory=memory)
    return _settle(rule, found, now=now, zone=zone)


def _settle(rule: AlertRule, found: Findings, *, now: datetime, zone: ZoneInfo) -> Look:
    """Alerts as the findings say: new ones opened, known ones seen again, the others resolved."""
    known = {alert.subject: alert for alert in _unresolved(rule)}
    seen = []
    for finding in found:
        alert = known.pop(finding.subject, None)
        if alert is not None:
            alert.parameters, alert.last_seen_at = finding.parameters, now
            alert.times_seen += 1
            seen.append(alert)
    # Not the state: somebody may be acknowledging it.
    Alert.objects.bulk_update(seen, ["parameters", "last_seen_at", "times_seen"])
    _remind(rule, seen, now=now, zone=zone)
    resolved = _resolve(known.values(), now=now, is_told=True)
    again = {alert.subject for alert in seen}
    new = Alert.objects.bulk_create(
        Alert(
            rule=rule,
            subject=finding.subject,
            parameters=finding.parameters,
            opened_at=now,
            last_seen_at=now,
        )
        for finding in found
        if finding.subject not in again
    )
    for alert in new:
        logger.warning("alert %s opened: %s %s", alert.pk, rule.kind, alert.subject)
    _plan(new, rule=rule, event=AlertDelivery.Event.OPENED, now=now, zone=zone)
    return Look(len(new), resolved, 0)


def _unresolved(rule: AlertRule) -> list[Alert]:
    return list(Alert.objects.filter(rule=rule, state__in=_UNRESOLVED).order_by("pk"))


def _remind(rule: AlertRule, alerts: list[Alert], *, now: datetime, zone: ZoneInfo) -> None:
    """One reminder for each whole span that an alert has been open without being acknowledged; of
    those missed while nobody watched, the last alone."""
    if not rule.remind_hours:
        return
    span = timedelta(hours=rule.remind_hours)
    due = []
    for alert in alerts:
        spans = (now - alert.opened_at) // span
        if alert.state == Alert.State.OPEN and spans > alert.reminders:
            alert.reminders = spans
            due.append(alert)
    Alert.objects.bulk_update(due, ["reminders"])
    _plan(due, rule=rule, event=AlertDelivery.Event.REMINDER, now=now, zone=zone)


def _plan(
    alerts: Iterable[Alert], *, rule: AlertRule, event: str, now: datetime, zone: ZoneInfo
) -> None:
    """A message for each channel of the rule, after the quiet hours."""
    rows = list(alerts)
    if not rows:
        return
    start = send_from(rule, now=now, zone=zone)
    AlertDelivery.objects.bulk_create(
        AlertDelivery(
            alert=alert,
            channel=channel,
            event=event,
            number=alert.reminders if event == AlertDelivery.Event.REMINDER else 0,
            created_at=now,
            not_before=start,
            given_up_at=start + GIVE_UP_AFTER,
        )
        for channel in AlertChannel.objects.filter(rules=rule, is_enabled=True).order_by("pk")
        for alert in rows
    )


def send_from(rule: AlertRule, *, now: datetime, zone: ZoneInfo) -> datetime:
    """When a message of this rule may go out: now, or at the end of its quiet hours."""
    if rule.severity == AlertRule.Severity.CRITICAL:
        return now
    return end_of_quiet(now, start=rule.quiet_from, end=rule.quiet_until, zone=zone)


def _resolve(alerts: Iterable[Alert], *, now: datetime, is_told: bool) -> int:
    """These are over. Messages that have not gone out are not needed any more; who was told that
    it began is told that it is over."""
    pks = [alert.pk for alert in alerts]
    if not pks:
        return 0
    Alert.objects.filter(pk__in=pks).update(state=Alert.State.RESOLVED, resolved_at=now)
    waiting = AlertDelivery.objects.filter(alert__in=pks, state=AlertDelivery.State.WAITING)
    # One that a worker is sending right now is left to it: it counts as sent.
    is_free = Q(lease_until=None) | Q(lease_until__lte=now)
    waiting.filter(is_free).update(state=AlertDelivery.State.SKIPPED)
    if is_told:
        told = AlertDelivery.objects.filter(
            alert__in=pks,
            event=AlertDelivery.Event.OPENED,
            state__in=(AlertDelivery.State.SENT, AlertDelivery.State.WAITING),
            channel__is_enabled=True,
        )
        AlertDelivery.objects.bulk_create(
            AlertDelivery(
                alert_id=alert,
                channel_id=channel,
                event=AlertDelivery.Event.RESOLVED,
                created_at=now,
                not_before=now,  # the quiet hours are looked at when it is sent
                given_up_at=now + GIVE_UP_AFTER,
            )
            for alert, channel in told.order_by("pk").values_list("alert_id", "channel_id")
        )
    return len(pks)


def acknowledge(pks: Iterable[int], *, actor: str, note: str, now: datetime) -> int:
    """Somebody takes care of these; returns how many were open. The others stay as they are."""
    return Alert.objects.filter(pk__in=list(pks), state=Alert.State.OPEN).update(
        state=Alert.State.ACKNOWLEDGED, acknowledged_by=actor, acknowledged_at=now, note=note
    )


def remove_old_alerts(*, now: datetime) -> int:
    """Remove alerts that were resolved more than KEEP_RESOLVED ago, with their messages; returns
    how many alerts."""
    old = Alert.objects.filter(state=Alert.State.RESOLVED, resolved_at__lt=now - KEEP_RESOLVED)
    _rows, by_kind = old.delete()
    return by_kind.get(Alert._meta.label, 0)


def may_see_alerts(user: Viewer) -> bool:
    """Alerts are about the customers of all stores: who is confined to some sees none."""
    return user.has_perm(VIEW_ALERT) and row_scope(user) is None


def open_alerts(user: Viewer) -> int:
    """How many alerts nobody takes care of, at most 99: the number beside “Alerts”."""
    if not may_see_alerts(user):
        return 0
    rows = Alert.objects.filter(state=Alert.State.OPEN)
    return len(rows.values_list("pk", flat=True)[:99])


def watched_last() -> datetime | None:
    """When the watch last looked at a rule; None: never."""
    found: datetime | None = AlertRule.objects.aggregate(at=Max("checked_at"))["at"]
    return found
