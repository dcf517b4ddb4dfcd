"""Pages of alerts, rules and channels as each role, and what never shows on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from config.clock import real_now
from membership.models import Alert, AlertChannel, AlertDelivery, AlertRule
from segmentation.queries.changes import events_of
from tests.fixtures.alerts import PARAMETERS, make_alerts, make_channel, make_rules
from tests.fixtures.cast import Cast
from tests.fixtures.receiver import Receiver, receiving
from tests.fixtures.sample import Shop

pytestmark = pytest.mark.django_db

Enter = Callable[..., Client]
CRITICAL = ("Run failed", "Run held", "Run did not happen", "Oracle disagrees")
LISTS = ("alert", "alertrule", "alertchannel", "alertdelivery")
SECRET, ADDRESS = (
    "SEC-of-the-robot",
    "https://oapi.dingtalk.com/robot/send?access_token=0123456789ab",
)
CHANNEL = {
    "name": "Operations group", "kind": "dingtalk", "address": ADDRESS, "secret": SECRET,
    "language": "zh-hans", "is_enabled": "on",
}  # fmt: skip


@pytest.fixture
def alerts(shop: Shop) -> list[Alert]:
    return make_alerts(now=real_now() - timedelta(hours=1))


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.ALERT_INTERNAL_HOSTS = ["127.0.0.1"]
    with receiving() as found:
        yield found


def _list(model: str) -> str:
    return reverse(f"admin:membership_{model}_changelist")


def _page(name: str, row: Any = None) -> str:
    return reverse(f"admin:membership_{name}", args=[row.pk] if row is not None else [])


def _text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response.content.decode()


@pytest.mark.parametrize(
    ("person", "seen"),
    [
        ("operations_manager", LISTS), ("auditor", LISTS), ("reviewer", LISTS[:2]),
        ("analyst", LISTS[:2]), ("support_agent", ()), ("store_manager", ()),
        ("integration", ()), ("stranger", ()),
    ],
)  # fmt: skip
def test_who_may_open_which_list(
    cast: Cast, alerts: list[Alert], enter: Enter, person: str, seen: tuple[str, ...]
) -> None:
    client = enter(getattr(cast, person))
    found = tuple(model for model in LISTS if client.get(_list(model)).status_code == 200)
    assert found == seen
    may_open = client.get(_page("alert_change", alerts[0])).status_code == 200
    assert may_open is bool(seen)


def test_who_is_confined_to_stores_sees_none_with_any_right(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    rights = Permission.objects.filter(content_type__app_label="membership")
    cast.store_manager.user_permissions.add(*rights)
    client = enter(cast.store_manager)
    for model in LISTS:
        assert client.get(_list(model)).status_code == 403, model
    assert client.get(_page("alert_acknowledge")).status_code == 403
    home = client.get(reverse("admin:index"))
    assert "alerts" not in {block.key for block in home.context["blocks"]}


def _badge(client: Client) -> int:
    groups = client.get(reverse("admin:index")).context["sidebar_navigation"]
    items = [item for group in groups for item in group["items"]]
    return next(item["badge"] for item in items if str(item["title"]) == "Alerts")


def test_home_and_the_sidebar_say_how_many_are_open(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    AlertRule.objects.update(checked_at=real_now())
    AlertRule.objects.filter(kind="upgrades").update(owner=cast.analyst)
    client = enter(cast.analyst)
    assert _badge(client) == len(PARAMETERS)
    block = next(
        block
        for block in client.get(reverse("admin:index")).context["blocks"]
        if block.key == "alerts"
    )
    rows = block.context["table"].rows
    kinds = [alert.rule.get_kind_display() for alert in reversed(alerts)]
    critical = [kind for kind in kinds if kind in CRITICAL]
    warnings = [kind for kind in kinds if kind not in (*CRITICAL, "Approval waiting")]
    assert len(rows) == 8
    for kind, row in zip([*critical, *warnings], rows, strict=False):
        assert kind in str(row[0])
        assert ("Mine" in str(row[0])) is (kind == "Unusually many upgrades")
    assert rows[4][2].startswith("Gold Club: 900 upgrades on 2026-03-02")


@pytest.mark.parametrize(("minutes", "is_told"), [(4, False), (6, True)])
def test_home_says_so_when_nobody_watches(
    cast: Cast, shop: Shop, enter: Enter, minutes: int, is_told: bool
) -> None:
    make_rules()
    AlertRule.objects.update(checked_at=real_now() - timedelta(minutes=minutes))
    text = _text(enter(cast.analyst), reverse("admin:index"))
    assert ("Alerts are not being checked." in text) is is_told


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_list_and_its_filters(
    cast: Cast, alerts: list[Alert], enter: Enter, language: str
) -> None:
    Alert.objects.filter(rule__kind="parity").update(state="resolved", resolved_at=real_now())
    Alert.objects.filter(rule__kind="rejects").update(state="acknowledged")
    AlertRule.objects.filter(kind="run_held").update(owner=cast.analyst)
    client = enter(cast.analyst, language=language)

    def kinds(**query: str) -> set[str]:
        rows = client.get(_list("alert"), query).context["cl"].result_list
        return {row.rule.kind for row in rows}

    assert kinds() == set(PARAMETERS) - {"parity"}
    assert kinds(state="resolved") == {"parity"}
    assert kinds(state="acknowledged") == {"rejects"}
    assert kinds(state="all") == set(PARAMETERS)
    assert kinds(kind="upgrades") == {"upgrades"}
    assert kinds(whose="mine") == {"run_held"}
    text = _text(client, _list("alert"))
    assert ("Gold Club" in text) is (language == "en")
    assert ("金卡会员" in text) is (language == "zh-hans")


def test_a_page_shows_what_to_do_and_whom_it_was_told(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    for alert in alerts:
        text = _text(enter(cast.operations_manager), _page("alert_change", alert))
        assert "The other side answered with HTTP status 502." in text
        assert _page("alert_acknowledge") in text
    text = _text(enter(cast.analyst), _page("alert_change", alerts[0]))
    assert _page("alert_acknowledge") not in text
    assert reverse("admin:segmentation_run_change", args=[1]) in text


def test_acknowledging_several_with_a_note(cast: Cast, alerts: list[Alert], enter: Enter) -> None:
    client = enter(cast.operations_manager)
    chosen = alerts[:3]
    asked = client.post(
        _list("alert"),
        {"action": "acknowledge_chosen", "_selected_action": [alert.pk for alert in chosen]},
    )
    assert asked.status_code == 302
    text = _text(client, asked["Location"])
    assert "is held and waits for a person" in text
    ids = ",".join(str(alert.pk) for alert in chosen)
    form = {"ids": ids, "note": "The feed was late"}
    assert client.post(_page("alert_acknowledge"), form).status_code == 302
    done = Alert.objects.filter(state="acknowledged").order_by("pk")
    assert [(row.pk, row.acknowledged_by, row.note) for row in done] == [
        (alert.pk, "operations_manager", "The feed was late") for alert in chosen
    ]
    assert _badge(client) == len(PARAMETERS) - 3


def test_without_the_right_nothing_is_acknowledged(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    for person in (cast.analyst, cast.auditor, cast.reviewer, cast.support_agent):
        form = {"ids": str(alerts[0].pk), "note": "x"}
        assert enter(person).post(_page("alert_acknowledge"), form).status_code == 403
    assert not Alert.objects.exclude(state="open").exists()


@pytest.mark.parametrize("ids", ["", "x", "999999", "9" * 30, "1,,x"])
def test_acknowledging_what_is_none(cast: Cast, shop: Shop, enter: Enter, ids: str) -> None:
    client = enter(cast.operations_manager)
    assert client.get(_page("alert_acknowledge"), {"ids": ids}).status_code == 302


# Rules ------------------------------------------------------------------------------------------

RULE = {
    "is_enabled": "on", "severity": "critical", "threshold_rows": "50", "threshold_percent": "10",
    "owner": "", "quiet_from": "22:00", "quiet_until": "07:30", "remind_hours": "4",
}  # fmt: skip


def test_changing_a_rule_is_kept_in_its_history(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    rule, channel = AlertRule.objects.get(kind="rejects"), AlertChannel.objects.get()
    page = _page("alertrule_edit", rule)
    assert "Rejected rows at least" in _text(client, page)
    form = {**RULE, "owner": cast.analyst.pk, "channels": [channel.pk]}
    assert client.post(page, form).status_code == 302
    rule.refresh_from_db()
    assert rule.thresholds == {"rows": 50, "percent": 10}
    assert (rule.severity, rule.owner, rule.remind_hours) == ("critical", cast.analyst, 4)
    assert (rule.quiet_from, rule.quiet_until) == (time(22), time(7, 30))
    assert list(rule.channels.all()) == [channel]
    assert client.post(page, form).status_code == 302
    assert list(rule.channels.all()) == [channel]
    shown = _text(client, _page("alertrule_change", rule))
    assert "Rejected rows at least: 50" in shown or "rejected rows at least: 50" in shown
    history = _text(client, _page("alertrule_history", rule))
    assert "operations_manager" in history
    assert "Channel of a rule" in history or "channel of a rule" in history
    assert channel.name in history
    assert client.post(page, RULE).status_code == 302
    assert not rule.channels.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"threshold_rows": "0"}, "threshold_rows"),
        ({"threshold_percent": "x"}, "threshold_percent"),
        ({"quiet_until": ""}, "quiet_until"), ({"quiet_until": "22:00"}, "quiet_until"),
        ({"severity": "worst"}, "severity"), ({"remind_hours": "-1"}, "remind_hours"),
        ({"channels": "999"}, "channels"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused(
    cast: Cast, alerts: list[Alert], enter: Enter, change: dict[str, str], field: str
) -> None:
    rule = AlertRule.objects.get(kind="rejects")
    page = _page("alertrule_edit", rule)
    response = enter(cast.operations_manager).post(page, {**RULE, **change})
    assert response.status_code == 200
    assert field in response.context["form"].errors
    rule.refresh_from_db()
    assert (rule.severity, rule.thresholds) == ("warning", {})


def test_who_may_not_change_rules_and_channels(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    rule, channel = AlertRule.objects.get(kind="rejects"), AlertChannel.objects.get()
    for person in (cast.auditor, cast.analyst, cast.reviewer, cast.support_agent):
        client = enter(person)
        for address in (
            _page("alertrule_edit", rule), _page("alertchannel_new"),
            _page("alertchannel_edit", channel), _page("alertchannel_test", channel),
            _page("alertdelivery_resend", AlertDelivery.objects.all()[0]),
        ):  # fmt: skip
            assert client.post(address, {**RULE, **CHANNEL}).status_code == 403, address
    rule.refresh_from_db()
    assert rule.severity == "warning"
    assert AlertChannel.objects.count() == 1


# Channels ---------------------------------------------------------------------------------------


def test_a_channels_secrets_go_in_and_never_come_out(cast: Cast, shop: Shop, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    assert client.post(_page("alertchannel_new"), CHANNEL).status_code == 302
    channel = AlertChannel.objects.get()
    assert (channel.address, channel.secret) == (ADDRESS, SECRET)
    assert channel.target == "oapi.dingtalk.com/…89ab"
    events = events_of(AlertChannel)
    assert events is not None
    kept = json.dumps(list(events._default_manager.values()), default=str)
    for address in (
        _list("alertchannel"), _page("alertchannel_change", channel),
        _page("alertchannel_edit", channel), _page("alertchannel_history", channel),
        reverse("admin:pghistory_context_changelist"),
    ):  # fmt: skip
        kept += _text(client, address)
    assert "oapi.dingtalk.com/…89ab" in kept
    for secret in (SECRET, "0123456789", ADDRESS):
        assert secret not in kept
    # left empty they stay
    form = {**CHANNEL, "name": "Renamed", "address": "", "secret": ""}
    assert client.post(_page("alertchannel_edit", channel), form).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.address, channel.secret) == ("Renamed", ADDRESS, SECRET)
    form["forget_secret"] = "on"
    assert client.post(_page("alertchannel_edit", channel), form).status_code == 302
    channel.refresh_from_db()
    assert (channel.secret, channel.secret_set_at) == ("", None)


def test_addresses_of_people_are_masked_where_nobody_edits(
    cast: Cast, shop: Shop, enter: Enter
) -> None:
    client = enter(cast.operations_manager)
    form = {**CHANNEL, "kind": "email", "address": "li.lei@example.com, wang@example.com"}
    assert client.post(_page("alertchannel_new"), form).status_code == 302
    channel = AlertChannel.objects.get()
    assert channel.address == "li.lei@example.com\nwang@example.com"
    for person in (cast.operations_manager, cast.auditor):
        text = _text(enter(person), _page("alertchannel_change", channel))
        assert "l••••@example.com" in text
        assert "li.lei" not in text
    assert "li.lei@example.com" in _text(client, _page("alertchannel_edit", channel))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": "http://hooks.example.com/x"}, "address"), ({"address": "x"}, "address"),
        ({"address": ""}, "address"), ({"name": "webhook of operations"}, "name"),
        ({"kind": "email", "address": "nobody"}, "address"), ({"kind": "fax"}, "kind"),
        ({"kind": "email", "address": " ".join(f"p{n}@example.com" for n in range(21))}, "address"),
    ],
)  # fmt: skip
def test_a_wrong_channel_is_refused(
    cast: Cast, alerts: list[Alert], enter: Enter, change: dict[str, str], field: str
) -> None:
    response = enter(cast.operations_manager).post(_page("alertchannel_new"), {**CHANNEL, **change})
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [field]
    assert AlertChannel.objects.count() == 1


def test_a_test_message_says_what_came_of_it(
    cast: Cast, shop: Shop, enter: Enter, receiver: Receiver
) -> None:
    channel = make_channel("wecom", address=receiver.address, language="zh-hans")
    client = enter(cast.operations_manager)
    assert client.get(_page("alertchannel_test", channel)).status_code == 405
    answer = client.post(_page("alertchannel_test", channel), follow=True)
    assert "The test message was taken." in answer.content.decode()
    (received,) = receiver.received
    assert "测试消息" in json.loads(received.body)["markdown"]["content"]
    receiver.answer = b'{"errcode": 93000, "errmsg": "invalid webhook url"}'
    answer = client.post(_page("alertchannel_test", channel), follow=True)
    assert "The robot refused the message: 93000 invalid webhook url" in answer.content.decode()
    assert not AlertDelivery.objects.exists()


def test_a_private_host_is_told_as_such(cast: Cast, shop: Shop, enter: Enter) -> None:
    channel = make_channel(address="https://127.0.0.1/x")
    answer = enter(cast.operations_manager).post(_page("alertchannel_test", channel), follow=True)
    assert "The host lies in a private network" in answer.content.decode()


def test_a_message_that_was_given_up_is_sent_again(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    client, row = enter(cast.operations_manager), AlertDelivery.objects.order_by("pk")[0]
    page = _page("alertdelivery_change", row)
    assert "Send again" in _text(client, page)
    assert "Send again" not in _text(enter(cast.auditor), page)
    assert client.get(_page("alertdelivery_resend", row)).status_code == 405
    assert client.post(_page("alertdelivery_resend", row)).status_code == 302
    row.refresh_from_db()
    assert (row.state, row.attempts) == ("waiting", 0)
    assert row.given_up_at - row.not_before == timedelta(days=3)
    AlertDelivery.objects.filter(pk=row.pk).update(state="sent")
    assert "Send again" not in _text(client, page)
    client.post(_page("alertdelivery_resend", row))
    row.refresh_from_db()
    assert row.state == "sent"


def test_all_that_was_given_up_is_sent_again_at_once(
    cast: Cast, alerts: list[Alert], enter: Enter
) -> None:
    rows = list(AlertDelivery.objects.order_by("pk"))
    AlertDelivery.objects.filter(pk=rows[0].pk).update(state="sent")
    form = {"action": "resend_chosen", "_selected_action": [row.pk for row in rows[:3]]}
    enter(cast.auditor).post(_list("alertdelivery"), form)
    assert not AlertDelivery.objects.filter(state="waiting").exists()
    enter(cast.operations_manager).post(_list("alertdelivery"), form)
    waiting = AlertDelivery.objects.filter(state="waiting").order_by("pk")
    assert [row.pk for row in waiting] == [row.pk for row in rows[1:3]]


def test_metrics_count_by_kind(cast: Cast, alerts: list[Alert], client: Client) -> None:
    Alert.objects.filter(rule__kind="parity").update(state="resolved")
    Alert.objects.filter(rule__kind="rejects").update(state="acknowledged")
    text = client.get("/metrics").content.decode()
    assert 'tierwise_alerts_open{kind="parity"} 0.0' in text
    assert 'tierwise_alerts_open{kind="rejects"} 1.0' in text
    assert 'tierwise_alerts_open{kind="run_held"} 1.0' in text


def test_the_schedule_watches_each_minute() -> None:
    from django_celery_beat.models import PeriodicTask

    from config.setup import make_periodic_tasks

    make_periodic_tasks("Asia/Shanghai")
    task = PeriodicTask.objects.get(task="membership.tasks.watch")
    assert (task.interval.every, task.interval.period) == (1, "minutes")
