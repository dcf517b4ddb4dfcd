"""Telling channels about alerts: claimed row by row, tried again until they took it.

Delivery is at least once. A message is claimed by a conditional UPDATE with a lease, so of two
workers one sends it; it goes out again when its answer is lost or late, or when the worker dies
before it noted the answer. The id in it stays the same, so that receivers can tell. All times are
the real clock's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F, Q, QuerySet
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from membership.domain.alerts import GIVE_UP_AFTER, next_attempt
from membership.models import Alert, AlertChannel, AlertDelivery, AlertRule
from segmentation.services.leases import lease_owner

from .alert_http import Undeliverable, post
from .alert_messages import Message, refuse_unless_taken, request_of
from .alert_words import advice, sentence, title
from .alerting import send_from

LEASE = timedelta(minutes=2)  # a good deal longer than an attempt can take
WORK_SECONDS = 45.0  # of one task; the next tick goes on
_IN_FLIGHT = timedelta(minutes=1)
_LONGEST_ERROR = 300
Clock = Callable[[], datetime]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many messages went out, failed for now or for good, and were not needed."""

    sent: int
    failed: int
    skipped: int


def deliver_due(*, clock: Clock, zone: ZoneInfo) -> Delivered:
    """Send what is due, the longest waiting first."""
    counts = dict.fromkeys(AlertDelivery.State, 0)
    until = time.monotonic() + WORK_SECONDS
    while time.monotonic() < until:
        delivery = claim_next(now=clock())
        if delivery is None:
            break
        counts[_deliver(delivery, clock=clock, zone=zone)] += 1
    return Delivered(
        sent=counts[AlertDelivery.State.SENT],
        failed=counts[AlertDelivery.State.FAILED],
        skipped=counts[AlertDelivery.State.SKIPPED],
    )


def claim_next(*, now: datetime) -> AlertDelivery | None:
    """The message that is due for longest and that nobody is sending, now held by this process."""
    is_free = Q(lease_until=None) | Q(lease_until__lte=now)
    due = AlertDelivery.objects.filter(is_free, state=AlertDelivery.State.WAITING)
    while True:
        pk = (
            due.filter(not_before__lte=now)
            .order_by("not_before", "pk")
            .values_list("pk", flat=True)
            .first()
        )
        if pk is None:
            return None
        owner = lease_owner()
        claimed = due.filter(pk=pk).update(lease_owner=owner, lease_until=now + LEASE)
        if claimed:
            rows = AlertDelivery.objects.select_related("alert__rule", "channel")
            return rows.get(pk=pk)


def _deliver(delivery: AlertDelivery, *, clock: Clock, zone: ZoneInfo) -> AlertDelivery.State:
    """One attempt at a claimed message; returns `failed` also for one that is tried again."""
    now = clock()
    held = AlertDelivery.objects.filter(
        pk=delivery.pk, state=AlertDelivery.State.WAITING, lease_owner=delivery.lease_owner
    )
    if not _is_needed(delivery):
        _let_go(held, state=AlertDelivery.State.SKIPPED)
        return AlertDelivery.State.SKIPPED
    start = max(send_from(delivery.alert.rule, now=now, zone=zone), _after_opening(delivery, now))
    if start > now:
        # Nights count as long as the channel has been tried in vain: it must not wait for ever.
        later = delivery.given_up_at if delivery.attempts else start + GIVE_UP_AFTER
        _let_go(held, not_before=start, given_up_at=later)
        return AlertDelivery.State.WAITING
    try:
        send(delivery.channel, _message(delivery, zone=zone), now=now)
    except Undeliverable as error:
        _note_failure(delivery, held, error, now=clock())
        return AlertDelivery.State.FAILED
    except Exception as error:  # a fault of ours must not stop the messages behind this one
        logger.exception("alert message %s could not be made", delivery.pk)
        _note_failure(delivery, held, Undeliverable("fault", type(error).__name__), now=clock())
        return AlertDelivery.State.FAILED
    _let_go(
        held,
        state=AlertDelivery.State.SENT,
        sent_at=clock(),
        attempts=F("attempts") + 1,
        last_error="",
    )
    return AlertDelivery.State.SENT


def _let_go(held: QuerySet[AlertDelivery], **fields: Any) -> None:
    held.update(lease_owner="", lease_until=None, **fields)


def _is_needed(delivery: AlertDelivery) -> bool:
    """Not after a channel was switched off, nor that something began which is over, nor a reminder
    of what somebody takes care of, nor that something is over of which nobody was told."""
    if not delivery.channel.is_enabled:
        return False
    alert = Alert.objects.only("state").get(pk=delivery.alert_id)
    match delivery.event:
        case AlertDelivery.Event.OPENED:
            return alert.state != Alert.State.RESOLVED
        case AlertDelivery.Event.REMINDER:
            return alert.state == Alert.State.OPEN
    return (
        _openings(delivery)
        .filter(state__in=(AlertDelivery.State.SENT, AlertDelivery.State.WAITING))
        .exists()
    )


def _openings(delivery: AlertDelivery) -> QuerySet[AlertDelivery]:
    return AlertDelivery.objects.filter(
        alert=delivery.alert_id,
        channel=delivery.channel_id,
        event=AlertDelivery.Event.OPENED,
    )


def _after_opening(delivery: AlertDelivery, now: datetime) -> datetime:
    """Later, while another worker is sending that it began."""
    if delivery.event != AlertDelivery.Event.RESOLVED:
        return now
    in_flight = _openings(delivery).filter(state=AlertDelivery.State.WAITING)
    return now + _IN_FLIGHT if in_flight.exists() else now


def _note_failure(
    delivery: AlertDelivery,
    held: QuerySet[AlertDelivery],
    error: Undeliverable,
    *,
    now: datetime,
) -> None:
    attempts = delivery.attempts + 1
    text = f"{error.code} {error.details}".strip()[:_LONGEST_ERROR]
    again = next_attempt(now, attempts=attempts)
    logger.warning("alert message %s to channel %s: %s", delivery.pk, delivery.channel_id, text)
    if again > delivery.given_up_at:
        _let_go(
            held,
            state=AlertDelivery.State.FAILED,
            given_up_at=now,
            attempts=attempts,
            last_error=text,
        )
    else:
        _let_go(held, not_before=again, attempts=attempts, last_error=text)


def send_again(pk: int, *, now: datetime) -> bool:
    """A message that was given up, or waits for its next attempt, is due now, for three more days;
    False when it went out, is not needed, or somebody is sending it."""
    is_free = Q(lease_until=None) | Q(lease_until__lte=now)
    rows = AlertDelivery.objects.filter(
        is_free,
        pk=pk,
        state__in=(AlertDelivery.State.FAILED, AlertDelivery.State.WAITING),
    )
    return bool(
        rows.update(
            state=AlertDelivery.State.WAITING,
            not_before=now,
            given_up_at=now + GIVE_UP_AFTER,
            attempts=0,
        )
    )


def send(channel: AlertChannel, message: Message, *, now: datetime) -> None:
    """One attempt, at most some seconds. Raises `Undeliverable`."""
    if channel.kind == AlertChannel.Kind.EMAIL:
        _send_email(channel, message)
        return
    with translation.override(channel.language):
        request = request_of(channel, message, now=now)
    answer = post(request.address, body=request.body, headers=request.headers)
    refuse_unless_taken(channel, answer)


def send_test(channel: AlertChannel, *, now: datetime, key: str) -> None:
    """A message that says that it is a test, in the channel's language. Raises `Undeliverable`."""
    with translation.override(channel.language):
        message = Message(
            key=f"test-{key}",
            title=f"[Tierwise] {_('Test message')}",
            lines=(_("Alerts of Tierwise will come to this channel: %(name)s.") % {
                "name": channel.name
            },),
            document={"event": "test"},
        )  # fmt: skip
        send(channel, message, now=now)


def _send_email(channel: AlertChannel, message: Message) -> None:
    is_smtp = settings.EMAIL_BACKEND.endswith("smtp.EmailBackend")
    if is_smtp and not settings.EMAIL_HOST:
        raise Undeliverable("no_mail_server")
    link = f"{message.open_words}: {message.url}" if message.url else ""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    mail = EmailMessage(
        subject=message.title,
        body="\n\n".join(filter(None, (*message.lines, link))),
        to=channel.address.split(),
        # The same on each attempt: a mailbox that got it twice can tell.
        headers={"Message-ID": f"<alert-{message.key}@{domain}>"},
    )
    try:
        mail.send()
    except TimeoutError:
        raise Undeliverable("timeout") from None
    except SMTPException as error:
        # Names the kind alone: the server's words may quote addresses.
        raise Undeliverable("mail_refused", type(error).__name__) from None
    except OSError:
        raise Undeliverable("no_connection") from None


def _message(delivery: AlertDelivery, *, zone: ZoneInfo) -> Message:
    with translation.override(delivery.channel.language):
        return _message_in_words(delivery, zone=zone)


def _message_in_words(delivery: AlertDelivery, *, zone: ZoneInfo) -> Message:
    alert, rule = delivery.alert, delivery.alert.rule
    is_over = delivery.event == AlertDelivery.Event.RESOLVED
    what = title(alert)
    match delivery.event:
        case AlertDelivery.Event.RESOLVED:
            head = _("Over: %(what)s") % {"what": what}
        case AlertDelivery.Event.REMINDER:
            head = _("Still open: %(what)s") % {"what": what}
        case _:
            head = f"{AlertRule.Severity(rule.severity).label}: {what}"
    began = f"{alert.opened_at.astimezone(zone):%Y-%m-%d %H:%M}"
    lines = [sentence(alert)]
    if is_over and alert.resolved_at is not None:
        ended = f"{alert.resolved_at.astimezone(zone):%Y-%m-%d %H:%M}"
        lines.append(_("From %(began)s to %(ended)s.") % {"began": began, "ended": ended})
    else:
        lines += [advice(rule.kind), _("Since %(began)s.") % {"began": began}]
    path = reverse("admin:membership_alert_change", args=[alert.pk])
    return Message(
        # With its time: after a restore of an older backup numbers are given again.
        key=f"{delivery.pk}-{int(delivery.created_at.timestamp())}",
        title=f"[Tierwise] {head}",
        lines=tuple(lines),
        url=f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else "",
        open_words=_("Open the alert"),
        document={
            "event": delivery.event,
            "alert": {
                "id": alert.pk,
                "kind": rule.kind,
                "severity": rule.severity,
                "subject": alert.subject,
                "parameters": alert.parameters,
                "opened_at": alert.opened_at.isoformat(),
                "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            },
        },
    )
