"""Messages to channels, against a web server of the test's own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.core import mail

from membership.models import Alert, AlertChannel, AlertDelivery, AlertRule
from membership.services import alert_delivery, alert_http, alerting
from membership.services.alert_delivery import Delivered, deliver_due, send_again
from membership.services.alert_http import Undeliverable, is_public, post, split_address
from segmentation.models import FactBatch, Installation
from tests.fixtures.alerts import make_channel, make_rules
from tests.fixtures.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # 9:00 in Shanghai
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SECRET = "SEC-of-the-robot"
PUBLIC = "https://tierwise.example.com"


@pytest.fixture(autouse=True)
def _trusted(settings: Any) -> None:
    settings.ALERT_INTERNAL_HOSTS = ["127.0.0.1"]
    settings.PUBLIC_URL = PUBLIC
    Installation.objects.update_or_create(
        pk=1,
        defaults={
            "time_zone": "Asia/Shanghai", "base_currency": "CNY", "set_up_at": NOW - 365 * DAY,
        },
    )  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def _channel(receiver: Receiver, kind: str = "webhook", **fields: Any) -> AlertChannel:
    return make_channel(kind, **{"address": receiver.address, **fields})


def _rule(*channels: AlertChannel, **fields: Any) -> AlertRule:
    rule = make_rules()["mirror_lag"]
    rule.channels.set(channels)
    AlertRule.objects.filter(pk=rule.pk).update(**fields)
    return AlertRule.objects.get(pk=rule.pk)


def _wrong() -> FactBatch:
    return FactBatch.objects.create(
        kind="orders", source="api", recorded_at=NOW - 37 * HOUR, read=1, inserted=1
    )


def _mended() -> None:
    FactBatch.objects.update(generation=1)


def _look(after: timedelta = timedelta()) -> alerting.Look:
    return alerting.look(now=NOW + after, project_now=NOW + after, zone=SHANGHAI)


def _send(after: timedelta = timedelta()) -> Delivered:
    return deliver_due(clock=lambda: NOW + after, zone=SHANGHAI)


def _states() -> list[tuple[str, str]]:
    return list(AlertDelivery.objects.order_by("pk").values_list("event", "state"))


def _told(receiver: Receiver, **fields: Any) -> dict[str, Any]:
    """What the receiver gets of one alert."""
    _rule(_channel(receiver, **fields))
    _wrong()
    assert _look().opened == 1
    assert _send() == Delivered(1, 0, 0)
    (received,) = receiver.received
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    document: dict[str, Any] = json.loads(received.body)
    return document


def _key() -> str:
    """The event id of the only message."""
    delivery = AlertDelivery.objects.get()
    return f"{delivery.pk}-{int(delivery.created_at.timestamp())}"


# Formats ----------------------------------------------------------------------------------------


def test_a_webhook_gets_words_and_figures_signed(receiver: Receiver) -> None:
    told = _told(receiver, secret=SECRET)
    alert = Alert.objects.get()
    key = _key()
    assert told == {
        "id": key,
        "title": "[Tierwise] Warning: Mirror behind",
        "text": "Facts recorded at 2026-02-28 20:00 wait for a run.\n"
        "Start a run: it takes what was recorded.\nSince 2026-03-02 09:00.",
        "url": f"{PUBLIC}/admin/membership/alert/{alert.pk}/change/",
        "event": "opened",
        "alert": {
            "id": alert.pk, "kind": "mirror_lag", "severity": "warning", "subject": "mirror",
            "parameters": {"since": "2026-02-28T12:00:00+00:00"},
            "opened_at": "2026-03-02T01:00:00+00:00", "resolved_at": None,
        },
    }  # fmt: skip
    (received,) = receiver.received
    parts = dict(part.split("=") for part in received.headers["X-Tierwise-Signature"].split(","))
    stamp = parts["t"]
    assert stamp == str(int(NOW.timestamp()))
    signed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + received.body, hashlib.sha256)
    assert parts["v1"] == signed.hexdigest()
    assert received.headers["X-Tierwise-Delivery"] == key
    assert received.path == "/hook/secret?key=0123456789"


def test_without_a_secret_a_webhook_is_not_signed(receiver: Receiver) -> None:
    _told(receiver)
    assert "X-Tierwise-Signature" not in receiver.received[0].headers


def test_wecom(receiver: Receiver) -> None:
    told = _told(receiver, kind="wecom", language="zh-hans")
    alert = Alert.objects.get()
    assert told == {
        "msgtype": "markdown",
        "markdown": {
            "content": "**〔Tierwise〕 警告: 数据镜像滞后**\n"
            "2026-02-28 20:00 记录的明细数据仍在等待计算批次处理。\n"
            "请启动一次计算，已记录的数据会被纳入。\n自 2026-03-02 09:00 起。\n"
            f"[打开告警]({PUBLIC}/admin/membership/alert/{alert.pk}/change/)"
        },
    }


def test_dingtalk_signs_the_address(receiver: Receiver) -> None:
    """Milliseconds, newline, secret; the secret is the key."""
    told = _told(receiver, kind="dingtalk", secret=SECRET)
    assert told["msgtype"] == "markdown"
    assert told["markdown"]["title"] == "[Tierwise] Warning: Mirror behind"
    assert told["markdown"]["text"].startswith("**〔Tierwise〕 Warning: Mirror behind**\n\nFacts")
    query = parse_qs(urlsplit(receiver.received[0].path).query)
    assert query["key"] == ["0123456789"]
    stamp = str(int(NOW.timestamp() * 1000))
    digest = hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest()
    assert query["timestamp"] == [stamp]
    assert query["sign"] == [base64.b64encode(digest).decode()]


def test_feishu_signs_in_the_body(receiver: Receiver) -> None:
    """Seconds, newline, secret are the key; what is signed is empty."""
    receiver.answer = b'{"code": 0, "msg": "success", "data": {}}'
    told = _told(receiver, kind="feishu", secret=SECRET, language="zh-hans")
    stamp = str(int(NOW.timestamp()))
    digest = hmac.new(f"{stamp}\n{SECRET}".encode(), b"", hashlib.sha256).digest()
    assert told["timestamp"] == stamp
    assert told["sign"] == base64.b64encode(digest).decode()
    assert told["msg_type"] == "post"
    (language,) = told["content"]["post"]
    assert language == "zh_cn"
    post_ = told["content"]["post"]["zh_cn"]
    assert post_["title"] == "[Tierwise] 警告: 数据镜像滞后"
    assert [row[0]["tag"] for row in post_["content"]] == ["text", "text", "text", "a"]
    assert post_["content"][-1][0]["href"].startswith(PUBLIC)


def test_email(settings: Any) -> None:
    channel = make_channel("email", address="li@example.com\nwang@example.com")
    _rule(channel)
    _wrong()
    _look()
    assert _send() == Delivered(1, 0, 0)
    (sent,) = mail.outbox
    assert sent.to == ["li@example.com", "wang@example.com"]
    assert sent.subject == "[Tierwise] Warning: Mirror behind"
    assert "Facts recorded at 2026-02-28 20:00 wait for a run." in sent.body
    assert f"Open the alert: {PUBLIC}/admin/" in sent.body
    assert sent.message()["Message-ID"] == f"<alert-{_key()}@localhost>"


def test_email_without_a_server_is_told(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = ""
    _rule(make_channel("email", address="li@example.com"))
    _wrong()
    _look()
    assert _send() == Delivered(0, 1, 0)
    assert AlertDelivery.objects.get().last_error == "no_mail_server"


def test_without_its_own_address_the_installation_sends_no_link(
    receiver: Receiver, settings: Any
) -> None:
    settings.PUBLIC_URL = ""
    assert _told(receiver)["url"] == ""


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "answer", "error"),
    [
        ("wecom", 200, b'{"errcode": 93000, "errmsg": "invalid webhook url"}',
         "refused 93000 invalid webhook url"),
        ("dingtalk", 200, b'{"errcode": 310000, "errmsg": "sign not match"}',
         "refused 310000 sign not match"),
        ("feishu", 200, b'{"code": 19021, "msg": "sign match fail"}',
         "refused 19021 sign match fail"),
        ("wecom", 200, b"<html>", "unreadable"),
        ("feishu", 200, b"{}", "unreadable"),
        ("dingtalk", 200, b"[]", "unreadable"),
        ("webhook", 502, b"", "http_status 502"),
        ("webhook", 302, b"", "http_status 302"),
    ],
)  # fmt: skip
def test_a_refusal_is_tried_again_and_told(
    receiver: Receiver, kind: str, status: int, answer: bytes, error: str
) -> None:
    receiver.status, receiver.answer = status, answer
    receiver.headers = {"Location": receiver.address} if status == 302 else {}
    _rule(_channel(receiver, kind))
    _wrong()
    _look()
    assert _send() == Delivered(0, 1, 0)
    assert len(receiver.received) == 1  # no redirect is followed
    found = AlertDelivery.objects.get()
    assert (found.state, found.attempts, found.last_error) == ("waiting", 1, error)
    assert found.not_before == NOW + timedelta(seconds=30)
    assert (found.lease_owner, found.lease_until) == ("", None)
    assert _send() == Delivered(0, 0, 0)
    receiver.status, receiver.answer = 200, b'{"errcode": 0, "code": 0}'
    assert _send(timedelta(seconds=30)) == Delivered(1, 0, 0)
    found.refresh_from_db()
    assert (found.state, found.attempts, found.last_error) == ("sent", 2, "")


def test_three_days_later_it_is_given_up_visibly_and_can_be_sent_again(
    receiver: Receiver,
) -> None:
    receiver.status = 500
    _rule(_channel(receiver))
    _wrong()
    _look()
    now = NOW
    while AlertDelivery.objects.get().state == "waiting":
        now = AlertDelivery.objects.get().not_before
        assert now - NOW <= 3 * DAY
        deliver_due(clock=lambda now=now: now, zone=SHANGHAI)  # type: ignore[misc]
    found = AlertDelivery.objects.get()
    assert (found.state, found.last_error) == ("failed", "http_status 500")
    assert 3 * DAY - HOUR < found.given_up_at - NOW <= 3 * DAY
    assert found.attempts == len(receiver.received) == 78  # 30 s to 32 min, then every hour
    assert _send(4 * DAY) == Delivered(0, 0, 0)
    receiver.status = 200
    assert send_again(found.pk, now=NOW + 4 * DAY)
    assert _send(4 * DAY) == Delivered(1, 0, 0)
    assert not send_again(found.pk, now=NOW + 4 * DAY)
    assert len(receiver.received) == 79
    # R19: one event id, however often it arrives.
    ids = {json.loads(each.body)["id"] for each in receiver.received}
    assert ids == {each.headers["X-Tierwise-Delivery"] for each in receiver.received} == {_key()}


def test_a_slow_answer_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_http, "TIMEOUT", 0.3)
    receiver.delay = 1.0
    with pytest.raises(Undeliverable, match=r"^timeout$"):
        post(receiver.address, body=b"{}", headers={})


def test_an_answer_that_drips_is_cut(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the whole does not."""
    monkeypatch.setattr(alert_http, "TIMEOUT", 1.5)
    receiver.drip = True
    with pytest.raises(Undeliverable, match=r"^timeout$"):
        post(receiver.address, body=b"{}", headers={})


def test_nobody_listens() -> None:
    with pytest.raises(Undeliverable, match=r"^no_connection$"):
        post("http://127.0.0.1:9/hook", body=b"{}", headers={})


def test_a_fault_of_ours_stops_no_other_message(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, good = _channel(receiver), _channel(receiver, "wecom")
    _rule(broken, good)
    _wrong()
    _look()
    send = alert_delivery.send

    def fails(channel: AlertChannel, *args: Any, **kwargs: Any) -> None:
        if channel.pk == broken.pk:
            raise KeyError("of ours")
        send(channel, *args, **kwargs)

    monkeypatch.setattr(alert_delivery, "send", fails)
    assert _send() == Delivered(1, 1, 0)
    assert AlertDelivery.objects.get(channel=broken).last_error == "fault KeyError"


# Our own network --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://hooks.example.com/x", "https_only"), ("ftp://hooks.example.com/x", "bad_address"),
        ("https:///x", "bad_address"), ("https://user:pw@example.com/x", "bad_address"),
        ("https://example.com:99999/x", "bad_address"), ("https://exa mple.com/", "bad_address"),
        ("https://example.com/\r\nHost: x", "bad_address"), ("nothing", "bad_address"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(address: str, code: str) -> None:
    with pytest.raises(Undeliverable, match=rf"^{code}$"):
        split_address(address)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False),
        ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False),
        ("169.254.169.254", False), ("0.0.0.0", False), ("224.0.0.1", False), ("::1", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True), ("64:ff9b::a00:1", False), ("2002:a00:1::", False),
        ("nothing", False),
    ],
)  # fmt: skip
def test_private_addresses(place: str, expected: bool) -> None:
    assert is_public(place) is expected


def test_a_private_host_is_refused_unless_the_operator_trusts_it(
    receiver: Receiver, settings: Any
) -> None:
    settings.ALERT_INTERNAL_HOSTS = []
    port = urlsplit(receiver.address).port
    with pytest.raises(Undeliverable, match=r"^private_address$"):
        post(f"https://127.0.0.1:{port}/", body=b"{}", headers={})
    with pytest.raises(Undeliverable, match=r"^private_address$"):
        post(f"https://localhost:{port}/", body=b"{}", headers={})
    assert receiver.received == []
    settings.ALERT_INTERNAL_HOSTS = ["127.0.0.1"]
    assert post(receiver.address, body=b"{}", headers={}).status == 200


def test_errors_and_logs_have_neither_address_nor_secret(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    _rule(_channel(receiver, "dingtalk", secret=SECRET))
    _wrong()
    with caplog.at_level(logging.DEBUG):
        _look()
        _send()
    told = caplog.text + AlertDelivery.objects.get().last_error
    assert "http_status 500" in told
    for secret in ("0123456789", "/hook/secret", SECRET, "127.0.0.1"):
        assert secret not in told


# When --------------------------------------------------------------------------------------------


def test_messages_wait_for_the_end_of_the_quiet_hours(receiver: Receiver) -> None:
    _rule(_channel(receiver), quiet_from=time(8), quiet_until=time(10))
    _wrong()
    assert _look().opened == 1
    assert AlertDelivery.objects.get().not_before == NOW + HOUR
    assert _send(59 * MINUTE) == Delivered(0, 0, 0)
    assert _send(HOUR) == Delivered(1, 0, 0)


def test_critical_alerts_have_no_quiet_hours(receiver: Receiver) -> None:
    _rule(_channel(receiver), quiet_from=time(8), quiet_until=time(10), severity="critical")
    _wrong()
    _look()
    assert _send() == Delivered(1, 0, 0)


def test_quiet_hours_set_later_hold_for_what_waits(receiver: Receiver) -> None:
    rule = _rule(_channel(receiver))
    _wrong()
    _look()
    AlertRule.objects.filter(pk=rule.pk).update(quiet_from=time(8), quiet_until=time(10))
    assert _send() == Delivered(0, 0, 0)
    found = AlertDelivery.objects.get()
    assert (found.attempts, found.not_before) == (0, NOW + HOUR)
    assert found.given_up_at == NOW + HOUR + 3 * DAY


def test_who_was_told_that_it_began_is_told_that_it_is_over(receiver: Receiver) -> None:
    _rule(_channel(receiver))
    _wrong()
    _look()
    _send()
    _mended()
    assert _look(MINUTE).resolved == 1
    assert _send(MINUTE) == Delivered(1, 0, 0)
    assert _states() == [("opened", "sent"), ("resolved", "sent")]
    told = json.loads(receiver.received[1].body)
    assert told["title"] == "[Tierwise] Over: Mirror behind"
    assert "From 2026-03-02 09:00 to 2026-03-02 09:01." in told["text"]
    assert told["alert"]["resolved_at"] == "2026-03-02T01:01:00+00:00"


def test_what_was_over_before_it_was_told_is_not_told(receiver: Receiver) -> None:
    """S07: in the morning nobody reads two messages about the night."""
    _rule(_channel(receiver), quiet_from=time(8), quiet_until=time(10))
    _wrong()
    _look()
    _mended()
    _look(MINUTE)
    assert _states() == [("opened", "skipped")]
    assert _send(2 * HOUR) == Delivered(0, 0, 0)
    assert receiver.received == []


def test_that_it_is_over_waits_until_it_is_known_whether_it_was_told(receiver: Receiver) -> None:
    """Another worker holds the first message while the alert ends, and then fails to send it."""
    _rule(_channel(receiver))
    _wrong()
    _look()
    held = alert_delivery.claim_next(now=NOW)
    assert held is not None
    _mended()
    _look(MINUTE)
    assert _states() == [("opened", "waiting"), ("resolved", "waiting")]
    assert _send(MINUTE) == Delivered(0, 0, 0)
    assert receiver.received == []
    # its lease ends: the first is not needed any more, so neither is the second
    assert _send(3 * MINUTE) == Delivered(0, 0, 2)
    assert _states() == [("opened", "skipped"), ("resolved", "skipped")]
    assert receiver.received == []


def test_reminders_until_somebody_takes_care(receiver: Receiver) -> None:
    _rule(_channel(receiver), remind_hours=4)
    _wrong()
    _look()
    _send()
    assert _look(4 * HOUR - MINUTE) == alerting.Look(0, 0, 0)
    assert AlertDelivery.objects.count() == 1
    for after in (4 * HOUR, 4 * HOUR + MINUTE, 13 * HOUR):  # the one of 8 hours was missed
        _look(after)
        _send(after)
    numbers = AlertDelivery.objects.filter(event="reminder").values_list("number", flat=True)
    assert list(numbers) == [1, 3]
    assert json.loads(receiver.received[-1].body)["title"] == "[Tierwise] Still open: Mirror behind"
    alerting.acknowledge([Alert.objects.get().pk], actor="li", note="", now=NOW)
    _look(30 * HOUR)
    assert AlertDelivery.objects.count() == 3


def test_a_channel_that_is_switched_off_gets_nothing(receiver: Receiver) -> None:
    channel = _channel(receiver)
    _rule(channel)
    _wrong()
    _look()
    AlertChannel.objects.filter(pk=channel.pk).update(is_enabled=False)
    assert _send() == Delivered(0, 0, 1)
    assert _states() == [("opened", "skipped")]
    assert receiver.received == []


def test_a_worker_that_dies_loses_no_message(receiver: Receiver) -> None:
    _rule(_channel(receiver))
    _wrong()
    _look()
    assert alert_delivery.claim_next(now=NOW) is not None
    assert _send(MINUTE) == Delivered(0, 0, 0)
    assert _send(alert_delivery.LEASE) == Delivered(1, 0, 0)
