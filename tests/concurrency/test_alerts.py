"""Two workers look and send at once: one alert, one message. Real transactions, with controls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connection

from membership.models import Alert, AlertDelivery, AlertRule
from membership.services import alert_delivery, alerting
from membership.services.alert_findings import Finding
from segmentation.models import FactBatch
from tests.fixtures.alerts import make_channel, make_rules
from tests.fixtures.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db(transaction=True)

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
WORKERS = 4


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.ALERT_INTERNAL_HOSTS = ["127.0.0.1"]
    with receiving() as found:
        yield found


def _at_once(work: Callable[[], Any]) -> list[Any]:
    """What `work` gives in each of WORKERS threads that start together; errors are results."""
    start, found = threading.Barrier(WORKERS), []

    def one() -> None:
        try:
            start.wait()
            found.append(work())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _wrong(receiver: Receiver, *, messages: int = 1) -> None:
    rule = make_rules()["mirror_lag"]
    channels = [
        make_channel(name=f"channel {number}", address=receiver.address)
        for number in range(messages)
    ]
    rule.channels.set(channels)
    FactBatch.objects.create(
        kind="orders", source="api", recorded_at=NOW - timedelta(hours=37), read=1, inserted=1
    )


def _look() -> alerting.Look:
    return alerting.look(now=NOW, project_now=NOW, zone=SHANGHAI)


def _send() -> alert_delivery.Delivered:
    return alert_delivery.deliver_due(clock=lambda: NOW, zone=SHANGHAI)


def test_workers_that_look_at_once_open_one_alert(receiver: Receiver) -> None:
    _wrong(receiver)
    looks = _at_once(_look)
    assert sum(look.opened for look in looks) == 1
    assert sum(look.faults for look in looks) == 0
    assert Alert.objects.count() == AlertDelivery.objects.count() == 1


def test_control_without_the_lock_the_database_refuses_the_others(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All read that no alert is open before one opens it."""
    _wrong(receiver)
    rule = AlertRule.objects.get(kind="mirror_lag")
    meet, read = threading.Barrier(WORKERS), alerting._unresolved

    def read_and_wait(rule: AlertRule) -> list[Alert]:
        found = read(rule)
        meet.wait(timeout=10)
        return found

    monkeypatch.setattr(alerting, "_unresolved", read_and_wait)
    found = Finding("mirror", {"since": NOW.isoformat()})
    results = _at_once(lambda: alerting._settle(rule, (found,), now=NOW, zone=SHANGHAI))
    assert sum(isinstance(each, IntegrityError) for each in results) == WORKERS - 1
    assert Alert.objects.count() == 1


def test_workers_that_send_at_once_send_each_message_once(receiver: Receiver) -> None:
    _wrong(receiver, messages=12)
    _look()
    receiver.delay = 0.02
    found = _at_once(_send)
    assert sum(each.sent for each in found) == 12
    sent = [each.headers["X-Tierwise-Delivery"] for each in receiver.received]
    sent = [key.partition("-")[0] for key in sent]
    assert sorted(sent, key=int) == [
        str(pk) for pk in AlertDelivery.objects.order_by("pk").values_list("pk", flat=True)
    ]


def test_control_without_the_claim_they_send_it_twice(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrong(receiver)
    _look()
    receiver.delay = 0.1
    meet = threading.Barrier(WORKERS)
    claims = threading.local()

    def unclaimed(*, now: datetime) -> AlertDelivery | None:
        if getattr(claims, "is_done", False):
            return None
        claims.is_done = True
        meet.wait(timeout=10)
        return AlertDelivery.objects.select_related("alert__rule", "channel").get()

    monkeypatch.setattr(alert_delivery, "claim_next", unclaimed)
    _at_once(_send)
    assert len(receiver.received) == WORKERS


def test_acknowledging_while_the_watch_looks_is_not_lost(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    _wrong(receiver)
    _look()
    (pk,) = Alert.objects.values_list("pk", flat=True)
    finding = alerting.CONDITIONS["mirror_lag"]

    def slow(watched: Any) -> Any:
        found = finding(watched)
        acknowledging = threading.Thread(target=acknowledge)
        acknowledging.start()
        acknowledging.join()
        return found

    def acknowledge() -> None:
        alerting.acknowledge([pk], actor="li", note="mine", now=NOW)
        connection.close()

    monkeypatch.setattr(alerting, "CONDITIONS", {**alerting.CONDITIONS, "mirror_lag": slow})
    _look()
    found = Alert.objects.get()
    assert (found.state, found.acknowledged_by, found.times_seen) == ("acknowledged", "li", 2)
