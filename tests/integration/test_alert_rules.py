"""What the watch finds, kind by kind: it opens once, follows, and resolves by itself.

`NOW` is the real clock's 9:00 in Shanghai; the project's clock is the same unless a test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from membership.models import Alert, AlertDelivery, AlertKind, AlertRule, Program, Transition
from membership.services import alert_conditions, alert_run_conditions, alerting
from membership.services.alert_words import sentence
from segmentation.models import Customer, Draft, FactBatch, Installation, Run, Segment
from tests.fixtures.alerts import make_channel, make_rules

pytestmark = pytest.mark.django_db

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _watched() -> None:
    """Rules that somebody has been looking at for a week, in an installation of a year."""
    Installation.objects.update_or_create(
        pk=1,
        defaults={
            "time_zone": "Asia/Shanghai", "base_currency": "CNY", "set_up_at": NOW - 365 * DAY,
        },
    )  # fmt: skip
    make_rules()
    _watching_since(NOW - 7 * DAY)


def _watching_since(since: datetime) -> None:
    AlertRule.objects.update(checked_at=NOW - MINUTE, memory={"since": since.isoformat()})


def _look(after: timedelta = timedelta(), *, ahead: timedelta = timedelta()) -> alerting.Look:
    now = NOW + after
    return alerting.look(now=now, project_now=now + ahead, zone=SHANGHAI)


def _run(status: str, *, at: datetime = NOW - HOUR, **fields: Any) -> Run:
    return Run.objects.create(
        **{
            "as_of": at, "status": status, "requested_by": "schedule", "requested_at": at,
            "started_at": at, "attempts": 1, **fields,
        }
    )  # fmt: skip


def _published(*, at: datetime = NOW - MINUTE, **fields: Any) -> Run:
    return _run("published", at=at, **{"finished_at": at + MINUTE, **fields})


def _batch(*, at: datetime = NOW - HOUR, generation: int | None = 1, **fields: Any) -> FactBatch:
    return FactBatch.objects.create(
        **{"kind": "orders", "source": "api", "recorded_at": at, "generation": generation,
           "read": 100, "inserted": 100, **fields}
    )  # fmt: skip


def _failed() -> Callable[[], Any]:
    _run("failed", error="segment whisper_orchid: no such column")
    return _published


def _held() -> Callable[[], Any]:
    run = _run("held")
    return lambda: Run.objects.filter(pk=run.pk).update(status="published")


def _late() -> Callable[[], Any]:
    run = _run("running")
    return lambda: Run.objects.filter(pk=run.pk).update(status="published", finished_at=NOW)


def _unattended() -> Callable[[], Any]:
    run = _run("queued", attempts=0, started_at=None)
    return lambda: Run.objects.filter(pk=run.pk).update(status="published", finished_at=NOW)


def _daily(hour: str = "8") -> PeriodicTask:
    crontab = CrontabSchedule.objects.create(minute="0", hour=hour, timezone="Asia/Shanghai")
    return PeriodicTask.objects.create(
        name="Daily", task=alert_run_conditions.DAILY, crontab=crontab, queue="runs"
    )


def _missing() -> Callable[[], Any]:
    _daily()
    return lambda: _published(at=NOW)


def _disagreeing() -> Callable[[], Any]:
    row = {"customer_id": "C1", "subject": "segment:whisper_orchid", "oracle": "1", "engine": "0"}
    _published(parity_checked=25, parity_mismatches=[row, {**row, "subject": "tier:gold"}])
    return lambda: _published(parity_checked=25)


def _behind() -> Callable[[], Any]:
    batch = _batch(at=NOW - 37 * HOUR, generation=None)
    return lambda: FactBatch.objects.filter(pk=batch.pk).update(generation=2)


def _rejecting() -> Callable[[], Any]:
    _batch(at=NOW - 5 * MINUTE, read=1240, inserted=1120, rejected=120)
    return lambda: 25 * HOUR


def _silent() -> Callable[[], Any]:
    for back in range(5, 12):
        _batch(at=NOW - back * DAY)
    return lambda: _batch(at=NOW)


def _upgrading() -> Callable[[], Any]:
    for back in range(8):
        run = _published(at=NOW - back * DAY)
    program = Program.objects.create(
        key="gold", label_en="Gold Club", label_zh_hans="金卡会员", document={}, timezone="UTC"
    )
    version = program.versions.create(
        number=1, effective_from="2017-01-01", document={}, actor="operator", published_at=NOW
    )
    batch = _batch()
    for number in range(21):
        customer = Customer.objects.create(batch=batch, external_id=f"C{number}", ordinal=number)
        Transition.objects.create(
            program=program, customer=customer, run=run, version=version, kind="upgrade",
            from_tier="silver", to_tier="gold", at=NOW,
        )  # fmt: skip
    return lambda: DAY


def _draft(key: str = "spend", *, age: timedelta = 73 * HOUR, **fields: Any) -> Draft:
    draft = Draft.objects.create(
        **{"kind": "metric", "key": key, "document": {}, "author": "analyst", **fields}
    )
    Draft.objects.filter(pk=draft.pk).update(updated_at=NOW - age)
    return draft


def _unpublished() -> Callable[[], Any]:
    draft = _draft()
    return draft.delete


WRONG: list[tuple[str, Callable[[], Callable[[], Any]], str, str]] = [
    ("run_failed", _failed, "run:", "failed. The last good results stay published."),
    ("run_held", _held, "run:", "is held and waits for a person."),
    ("run_late", _late, "run:", "is under way since 2026-03-02 08:00, longer than the 30 minutes"),
    ("run_late", _unattended, "queue", "which waits since 2026-03-02 08:00."),
    ("run_missing", _missing, "schedule:", "The run that was due at 2026-03-02 08:00 was not"),
    ("parity", _disagreeing, "parity", "disagree about 1 customer of 25 checked."),
    ("mirror_lag", _behind, "mirror", "Facts recorded at 2026-02-28 20:00 wait for a run."),
    ("rejects", _rejecting, "feed:orders",
     "120 of 1,240 rows of “Orders” were rejected, in 1 import."),
    ("feed_stopped", _silent, "feed:orders",
     "Nothing new of “Orders” for 5 days. Usually it comes at least every day."),
    ("upgrades", _upgrading, "program:gold",
     "Gold Club: 21 upgrades on 2026-03-02; the median of the last days is 0."),
    ("approval_waiting", _unpublished, "drafts",
     "1 draft waits to be published, last changed at 2026-02-27 08:00."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "begin", "subject", "words"), WRONG, ids=[f"{row[0]}-{row[2]}" for row in WRONG]
)
def test_each_kind_opens_once_and_resolves(
    kind: str, begin: Callable[[], Callable[[], Any]], subject: str, words: str
) -> None:
    """S07: what goes wrong is told once, and that it is over."""
    assert _look(-2 * MINUTE) == alerting.Look(0, 0, 0)
    mend = begin()
    assert _look() == alerting.Look(1, 0, 0)
    alert = Alert.objects.select_related("rule").get()
    assert (alert.rule.kind, alert.state, alert.times_seen) == (kind, "open", 1)
    assert alert.subject.startswith(subject)
    assert words in sentence(alert)
    assert _look(MINUTE) == alerting.Look(0, 0, 0)
    assert alerting.acknowledge([alert.pk], actor="li", note="mine", now=NOW + MINUTE) == 1
    assert _look(2 * MINUTE) == alerting.Look(0, 0, 0)
    alert.refresh_from_db()
    assert (alert.state, alert.times_seen) == ("acknowledged", 3)
    assert (alert.acknowledged_by, alert.note) == ("li", "mine")
    assert (alert.opened_at, alert.last_seen_at) == (NOW, NOW + 2 * MINUTE)
    passed = mend()
    later = (passed if isinstance(passed, timedelta) else timedelta()) + 3 * MINUTE
    assert _look(later).resolved == 1
    alert.refresh_from_db()
    assert (alert.state, alert.resolved_at) == ("resolved", NOW + later)
    assert Alert.objects.filter(rule__kind=kind).count() == 1
    assert not AlertDelivery.objects.exists()  # no channel: on screens only


def test_nothing_names_what_is_hidden() -> None:
    """The failed run's error and the disagreement name a hidden segment; the alerts don't."""
    _disagreeing()
    _failed()
    _look()
    alerts = list(Alert.objects.select_related("rule"))
    assert {alert.rule.kind for alert in alerts} == {"run_failed", "parity"}
    for alert in alerts:
        assert "whisper" not in f"{alert.subject} {alert.parameters} {sentence(alert)}"


def test_drafts_of_hidden_segments_are_not_counted() -> None:
    Segment.objects.create(
        key="whisper", label_en="W", label_zh_hans="W", document={}, is_hidden=True
    )
    _draft("whisper", kind="segment")
    _draft("murmur", kind="segment", is_hidden=True)
    assert _look().opened == 0
    _draft("loud", kind="segment")
    assert _look(MINUTE).opened == 1
    assert Alert.objects.get().parameters["count"] == 1


def test_what_comes_again_is_another_alert() -> None:
    mend = _behind()
    _look()
    mend()
    _look(MINUTE)
    _behind()
    assert _look(2 * MINUTE).opened == 1
    states = Alert.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["resolved", "open"]


def test_only_open_alerts_are_acknowledged_and_the_first_person_keeps_it() -> None:
    _behind()
    _look()
    pk = Alert.objects.get().pk
    assert alerting.acknowledge([pk], actor="first", note="", now=NOW) == 1
    assert alerting.acknowledge([pk], actor="second", note="no", now=NOW) == 0
    assert Alert.objects.get().acknowledged_by == "first"


def test_what_is_over_is_removed_after_400_days() -> None:
    rule, channel = AlertRule.objects.get(kind="rejects"), make_channel()
    ends = {
        "old": NOW - 400 * DAY - MINUTE, "kept": NOW - 400 * DAY, "open": None,
        "acknowledged": None,
    }  # fmt: skip
    for subject, ended in ends.items():
        alert = Alert.objects.create(
            rule=rule,
            subject=subject,
            state="resolved" if ended else subject,
            opened_at=NOW - 500 * DAY,
            last_seen_at=NOW,
            resolved_at=ended,
        )
        AlertDelivery.objects.create(
            alert=alert, channel=channel, event="opened", state="sent",
            created_at=NOW, not_before=NOW, given_up_at=NOW,
        )  # fmt: skip
    assert [alerting.remove_old_alerts(now=NOW) for _night in range(2)] == [1, 0]
    left = set(AlertDelivery.objects.values_list("alert__subject", flat=True))
    assert left == set(Alert.objects.values_list("subject", flat=True)) == {*ends} - {"old"}


# Runs -------------------------------------------------------------------------------------------


def test_what_was_meant_and_what_was_made_good_is_no_alert() -> None:
    _run("failed", is_dry_run=True)
    for code in ("cancelled", "rejected", "overtaken", "superseded"):
        _run("failed", error_code=code)
    _failed()
    _published()
    assert _look() == alerting.Look(0, 0, 0)


@pytest.mark.parametrize(("kind", "begin"), [("run_held", _held), ("run_failed", _failed)])
def test_a_historical_run_hides_no_alert_about_a_current_one(
    kind: str, begin: Callable[[], Callable[[], Any]]
) -> None:
    """S07: it changes nothing current, so whoever waited for the night's result still does."""
    mend = begin()
    _run("historical", at=NOW - 30 * DAY)
    assert _look().opened == 1
    assert Alert.objects.get().rule.kind == kind
    mend()
    assert _look(MINUTE).resolved == 1


def test_a_historical_run_makes_good_one_of_its_own_as_of() -> None:
    _run("failed", at=NOW - 30 * DAY)
    _run("failed", at=NOW - 40 * DAY)
    _run("historical", at=NOW - 30 * DAY)
    assert _look().opened == 1
    assert Alert.objects.get().parameters["as_of"] == (NOW - 40 * DAY).isoformat()


def test_a_run_may_take_three_times_as_long_as_usual() -> None:
    for minutes in (15, 20, 25):
        _published(at=NOW - 2 * DAY, finished_at=NOW - 2 * DAY + minutes * MINUTE)
    run = _run("running", at=NOW - HOUR)
    assert _look().opened == 0
    assert _look(MINUTE).opened == 1
    assert Alert.objects.get().parameters["limit"] == 60
    assert Alert.objects.get().subject == f"run:{run.pk}"


def test_a_run_that_is_tried_again_and_again_is_late_from_when_it_was_asked_for() -> None:
    _run("queued", at=NOW - HOUR, attempts=3, started_at=NOW - MINUTE, not_before=NOW + HOUR)
    assert _look().opened == 1
    found = Alert.objects.select_related("rule").get()
    assert found.parameters["cause"] == "retried"
    assert "has not succeeded: 3 attempts so far." in sentence(found)


def test_runs_that_wait_behind_another_are_in_order() -> None:
    _run("running", at=NOW - MINUTE)
    _run("queued", at=NOW - 5 * HOUR, attempts=0, started_at=None)
    assert _look() == alerting.Look(0, 0, 0)


def test_what_was_due_while_everything_was_off_gets_its_time_from_the_start_on() -> None:
    _daily()
    AlertRule.objects.update(checked_at=NOW - HOUR, memory={})
    for after in range(0, 31, 3):
        assert _look(after * MINUTE).opened == 0
    assert _look(31 * MINUTE).opened == 1


def test_no_run_is_owed_before_the_set_up_or_by_a_schedule_that_is_off() -> None:
    task = _daily()
    Installation.objects.update(set_up_at=NOW - 30 * MINUTE)
    assert _look().opened == 0
    Installation.objects.update(set_up_at=NOW - DAY)
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=False)
    assert _look(MINUTE).opened == 0
    PeriodicTask.objects.filter(pk=task.pk).update(enabled=True, start_time=NOW)
    assert _look(2 * MINUTE).opened == 0
    PeriodicTask.objects.filter(pk=task.pk).update(start_time=None)
    assert _look(3 * MINUTE).opened == 1


def test_the_schedule_follows_the_sample_clock() -> None:
    """On a clock 8 years and 5 hours back it is 4:00; the run of 3:30 was due half an hour ago."""
    _daily("3")
    CrontabSchedule.objects.update(minute="30")
    ahead = timedelta(days=-8 * 365, hours=-5)
    assert _look(ahead=ahead).opened == 0
    assert _look(MINUTE, ahead=ahead).opened == 1
    due = datetime.fromisoformat(Alert.objects.get().parameters["due"])
    assert due == NOW + ahead - 30 * MINUTE
    _run("queued", at=NOW - 29 * MINUTE, attempts=0)  # requests are in the real clock's time
    assert _look(2 * MINUTE, ahead=ahead).resolved == 1


# Facts ------------------------------------------------------------------------------------------


def test_one_run_a_day_is_no_lag_of_the_mirror() -> None:
    _batch(at=NOW - 35 * HOUR, generation=None)
    assert _look().opened == 0


def test_too_many_imports_that_wait() -> None:
    AlertRule.objects.filter(kind="mirror_lag").update(thresholds={"batches": 2})
    for _number in range(2):
        _batch(generation=None)
    assert _look().opened == 0
    _batch(generation=None)
    assert _look(MINUTE).opened == 1
    assert Alert.objects.get().parameters["batches"] == 2


@pytest.mark.parametrize(
    ("read", "rejected", "expected"),
    [(400, 20, 1), (401, 20, 0), (19, 19, 0), (20, 20, 1), (10_000, 499, 0), (10_000, 500, 1)],
)
def test_rejected_rows_count_from_a_number_and_a_share(
    read: int, rejected: int, expected: int
) -> None:
    _batch(at=NOW - 2 * HOUR, read=read, rejected=rejected)
    assert _look().opened == expected


def test_rows_that_come_one_by_one_are_counted_together_for_an_hour() -> None:
    for _number in range(20):
        _batch(at=NOW - 30 * MINUTE, read=1, inserted=0, rejected=1)
    for _number in range(3):
        _batch(at=NOW - 30 * MINUTE)
    assert _look().opened == 1
    about = Alert.objects.get().parameters
    assert (about["imports"], about["rejected"], about["read"]) == (20, 20, 320)
    assert _look(31 * MINUTE).resolved == 1


def test_a_bad_import_is_remembered_though_each_look_reads_only_the_newest() -> None:
    _batch(at=NOW - MINUTE, read=100, rejected=50)
    _look()
    rule = AlertRule.objects.get(kind="rejects")
    for after in (3 * HOUR, 12 * HOUR, 23 * HOUR):
        now = NOW + after
        memory = {**rule.memory, "whole_look": (now - MINUTE).isoformat()}
        AlertRule.objects.update(checked_at=now - MINUTE, memory=memory)
        assert _look(after) == alerting.Look(0, 0, 0)
    assert _look(24 * HOUR).resolved == 1


def test_a_file_that_took_long_to_import_is_found_within_ten_minutes() -> None:
    _look()
    _batch(at=NOW - 2 * HOUR, read=100, rejected=50)  # recorded when it began, seen now
    assert _look(4 * MINUTE).opened == 0
    assert _look(8 * MINUTE).opened == 0
    assert _look(10 * MINUTE).opened == 1


def test_upgrades_are_judged_only_with_a_week_of_runs() -> None:
    _upgrading()
    Run.objects.filter(as_of__lt=NOW - 7 * DAY + HOUR).update(status="failed")
    assert "upgrades" not in _opened()


def test_past_days_are_counted_once(django_assert_max_num_queries: Any) -> None:
    _upgrading()
    _look()
    memory = AlertRule.objects.get(kind="upgrades").memory
    assert len(memory["days"]) == 27
    assert "2026-03-02" not in memory["days"]
    rule = AlertRule.objects.get(kind="upgrades")
    with django_assert_max_num_queries(20):
        alerting._look_at(rule.pk, now=NOW + MINUTE, project_now=NOW + MINUTE, zone=SHANGHAI)


def _opened() -> set[str]:
    _look()
    return set(Alert.objects.values_list("rule__kind", flat=True))


# The watch itself -------------------------------------------------------------------------------


def test_a_rule_that_is_switched_off_ends_its_alerts_without_a_word() -> None:
    rule = AlertRule.objects.get(kind="mirror_lag")
    rule.channels.add(make_channel())
    _behind()
    _look()
    assert AlertDelivery.objects.get().state == "waiting"
    AlertRule.objects.filter(pk=rule.pk).update(is_enabled=False)
    assert _look(MINUTE) == alerting.Look(0, 1, 0)
    assert [row.state for row in AlertDelivery.objects.all()] == ["skipped"]
    assert _look(2 * MINUTE) == alerting.Look(0, 0, 0)


def test_a_rule_that_fails_keeps_no_other_from_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_watched: Any) -> Any:
        raise LookupError("secret words")

    conditions = {**alert_conditions.CONDITIONS, AlertKind.RUN_FAILED: broken}
    monkeypatch.setattr(alerting, "CONDITIONS", conditions)
    _behind()
    assert _look() == alerting.Look(1, 0, 1)
    rule = AlertRule.objects.get(kind="run_failed")
    assert (rule.fault, rule.checked_at) == ("LookupError", NOW - MINUTE)
    monkeypatch.undo()
    _look(MINUTE)
    rule.refresh_from_db()
    assert (rule.fault, rule.checked_at) == ("", NOW + MINUTE)


def test_looking_leaves_no_trace_in_the_history_of_rules() -> None:
    from segmentation.queries.changes import events_of

    events = events_of(AlertRule)
    assert events is not None
    before = events._default_manager.count()
    _behind()
    _look()
    _look(MINUTE)
    assert events._default_manager.count() == before
    AlertRule.objects.filter(kind="parity").update(remind_hours=4)
    assert events._default_manager.count() == before + 1
