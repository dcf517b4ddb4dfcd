"""Attempts, pauses, stops and what a run cost: nothing hangs, nothing gives up silently (S06)."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.utils import translation

from membership.models import Membership
from membership.services import recompute
from segmentation.models import Run, Segment, SegmentResult
from segmentation.queries import newest_published_run
from segmentation.services import run_holds, runs
from segmentation.services.run_errors import error_words
from segmentation.services.run_standing import last_good_as_ofs, run_in_trouble
from tests.fixtures.world import CLUB, World, day

NOW = datetime(2026, 1, 15, tzinfo=UTC)


def real() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    found.order("anna", "2026-01-10T09:00:00", "150.00")
    return found


def ask(as_of: str = "2026-01-15", *, is_scheduled: bool = False) -> Run:
    return runs.request_run(as_of=day(as_of), actor="tester", now=NOW, is_scheduled=is_scheduled)


def attempt(error: BaseException, *, now: datetime) -> Run:
    run = runs.claim_next_run(now=now)
    assert run is not None
    runs.fail_run(run, error, now=now)
    run.refresh_from_db()
    return run


@pytest.mark.django_db
def test_a_scheduled_run_is_tried_until_the_next_one_is_due() -> None:
    asked, now, pauses = ask(is_scheduled=True), NOW, []
    for _ in range(14):
        run = attempt(OperationalError("the server closed the connection"), now=now)
        assert (run.pk, run.status, run.error_code) == (asked.pk, Run.Status.QUEUED, "database")
        assert run.not_before is not None
        assert runs.claim_next_run(now=run.not_before - timedelta(seconds=1)) is None
        pauses.append((run.not_before - now).total_seconds())
        now = run.not_before
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, *[900] * 6]
    assert run.error == "The database could not be reached, or stopped the work."
    assert run.log[-1]["message"].endswith("OperationalError: the server closed the connection")
    due = ask("2026-01-16", is_scheduled=True)
    asked.refresh_from_db()
    assert (asked.status, asked.error_code) == (Run.Status.FAILED, "superseded")
    assert asked.finished_at == NOW
    claimed = runs.claim_next_run(now=now)
    assert claimed is not None
    assert claimed.pk == due.pk


@pytest.mark.django_db
def test_what_a_person_asked_for_gives_up_visibly() -> None:
    ask()
    now = NOW
    for _ in range(runs.MOST_ATTEMPTS - 1):
        now = attempt(OSError(5, "input/output error"), now=now).not_before or now
    run = attempt(OSError(5, "input/output error"), now=now)
    assert (run.status, run.attempts, run.error_code) == (Run.Status.FAILED, 5, "files")
    assert run.not_before is None
    assert run.finished_at == now
    assert len(run.log) == 5


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProgrammingError("no such column"), "database"),
        (duckdb.OutOfMemoryException("failed to allocate"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (KeyError("spenders"), ""),
    ],
)
def test_a_lasting_reason_fails_at_once(error: BaseException, code: str) -> None:
    ask(is_scheduled=True)
    run = attempt(error, now=NOW)
    assert (run.status, run.error_code, run.attempts) == (Run.Status.FAILED, code, 1)


@pytest.mark.django_db
def test_a_full_disk_passes_and_says_what_to_do() -> None:
    ask()
    full = "IO Error: Could not write file: No space left on device"
    run = attempt(duckdb.IOException(full), now=NOW)
    assert (run.status, run.error_code) == (Run.Status.QUEUED, "disk_full")
    assert "Make room" in run.error
    with translation.override("zh-hans"):
        assert "VAR_DIR" in error_words(run)
        assert error_words(run) != run.error


@pytest.mark.django_db
def test_an_older_scheduled_run_under_way_is_not_superseded() -> None:
    asked = ask(is_scheduled=True)
    run = runs.claim_next_run(now=NOW)
    assert run is not None
    ask("2026-01-16", is_scheduled=True)
    asked.refresh_from_db()
    assert asked.status == Run.Status.RUNNING
    runs.fail_run(run, OSError(5, "input/output error"), now=NOW)  # and then it is not tried again
    asked.refresh_from_db()
    assert (asked.status, asked.error_code) == (Run.Status.FAILED, "files")


@pytest.mark.django_db
def test_asking_again_ends_the_pause() -> None:
    asked = ask()
    assert attempt(OSError(5, "input/output error"), now=NOW).not_before is not None
    assert ask().pk == asked.pk
    assert runs.claim_next_run(now=NOW) is not None


@pytest.mark.django_db
def test_a_worker_that_dies_again_and_again_is_given_time() -> None:
    ask(is_scheduled=True)
    now, pauses = NOW, []
    for _ in range(8):
        assert runs.claim_next_run(now=now) is not None
        Run.objects.update(lease_owner="elsewhere/boot/1/2/3")
        now += timedelta(seconds=31)
        assert runs.free_dead_runs(now=now) == 1
        run = Run.objects.get()
        assert run.status == Run.Status.QUEUED
        pauses.append(0 if run.not_before is None else (run.not_before - now).total_seconds())
        now = run.not_before or now
    assert pauses == [0, 5, 10, 20, 40, 80, 160, 320]


@pytest.mark.django_db
def test_a_waiting_run_is_stopped_at_once() -> None:
    asked = ask()
    assert runs.cancel_run(asked.pk, actor="olivia", now=NOW) is True
    asked.refresh_from_db()
    assert (asked.status, asked.error_code, asked.cancelled_by) == (
        Run.Status.FAILED, "cancelled", "olivia",
    )  # fmt: skip
    assert asked.error == "Stopped by olivia. Nothing was published."
    assert runs.claim_next_run(now=NOW) is None
    assert runs.cancel_run(asked.pk, actor="olga", now=NOW) is False
    assert runs.cancel_run(asked.pk + 1, actor="olga", now=NOW) is False
    asked.refresh_from_db()
    assert asked.cancelled_by == "olivia"


@pytest.mark.django_db
def test_a_dead_worker_does_not_bring_a_stopped_run_back() -> None:
    asked = ask()
    assert runs.claim_next_run(now=NOW) is not None
    assert runs.cancel_run(asked.pk, actor="olivia", now=NOW) is True
    Run.objects.update(lease_owner="elsewhere/boot/1/2/3")
    assert runs.free_dead_runs(now=NOW + timedelta(seconds=31)) == 1
    asked.refresh_from_db()
    assert (asked.status, asked.error_code) == (Run.Status.FAILED, "cancelled")


@pytest.mark.django_db(transaction=True)
def test_a_run_under_way_is_stopped_within_moments(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also inside one long statement of the engine; what was published before stays."""
    first = world.run("2026-01-14")
    monkeypatch.setattr(run_holds, "LOOK_SECONDS", 0.05)
    under_way = threading.Event()
    before = recompute.compute

    def slow(duck: duckdb.DuckDBPyConnection, *args: Any, **named: Any) -> Any:
        found = before(duck, *args, **named)
        under_way.set()
        duck.execute("SELECT sum(hash(a.i + b.i)) FROM range(1000000) a(i), range(1000000) b(i)")
        return found

    monkeypatch.setattr(recompute, "compute", slow)
    asked = recompute.request_run(as_of=day("2026-01-15"), actor="tester", now=real())

    def stop() -> None:
        try:
            assert under_way.wait(60)
            assert runs.cancel_run(asked.pk, actor="olivia", now=real()) is True
        finally:
            connection.close()

    thread = threading.Thread(target=stop)
    thread.start()
    began = time.monotonic()
    done = recompute.execute_next_run(clock=real)
    thread.join()
    assert time.monotonic() - began < 30
    assert done is not None
    assert (done.pk, done.status, done.error_code) == (asked.pk, Run.Status.FAILED, "cancelled")
    assert done.error == "Stopped by olivia. Nothing was published."
    assert SegmentResult.objects.filter(run=asked).count() == 0
    assert {row.run_id for row in Membership.objects.all()} == {first.pk}
    monkeypatch.setattr(recompute, "compute", before)
    after = world.run("2026-01-15")  # nothing is left in its way
    assert after.status == Run.Status.PUBLISHED


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_being_published_is_not_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks then learns that it is too late; the answer does not wait for the end."""
    from membership.services import publish_run

    answers: list[bool] = []
    store = publish_run._store_counts

    def while_publishing(run: Run, result: Any) -> None:
        store(run, result)
        thread = threading.Thread(target=lambda: answers.append(_stop(run)))
        thread.start()
        thread.join()

    def _stop(run: Run) -> bool:
        try:
            return runs.cancel_run(run.pk, actor="olivia", now=real())
        finally:
            connection.close()

    monkeypatch.setattr(publish_run, "_store_counts", while_publishing)
    run = world.run("2026-01-15")
    assert answers == [False]
    assert (run.status, run.cancelled_at) == (Run.Status.PUBLISHED, None)


@pytest.mark.django_db(transaction=True)
def test_a_run_tells_what_its_stages_cost(world: World) -> None:
    run = world.run("2026-01-15")
    stages = {
        "mirror", "plan", "facts", "metrics", "cuts", "rules", "tiers", "snapshot", "bitmaps",
        "parity", "postgresql",
    }  # fmt: skip
    assert stages <= set(run.seconds)
    assert set(run.memory) == set(run.seconds)
    assert all(size > 10_000_000 for size in run.memory.values())
    assert {name: run.rows[name] for name in ("metrics", "rules", "tiers", "parity")} == {
        "metrics": 1, "rules": 1, "tiers": 1, "parity": 1,
    }  # fmt: skip
    assert run.rows["mirror"] == run.rows["facts"] > 0
    again = world.run("2026-01-16")
    assert again.rows["mirror"] == 0
    assert again.rows["facts"] == run.rows["facts"]
    assert again.spilled == 0


@pytest.mark.django_db(transaction=True)
def test_what_fails_in_one_definition_empties_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S07: everything, the parents of what failed too, stays as it was last good, and says so."""
    first = world.run("2026-01-15")
    before = recompute.compute

    def broken(duck: duckdb.DuckDBPyConnection, plan: Any, *args: Any, **named: Any) -> Any:
        found = before(duck, plan, *args, **named)
        duck.execute("SELECT error('the rule of segment spenders met a value it can not read')")
        return found

    monkeypatch.setattr(recompute, "compute", broken)
    world.order("bert", "2026-01-15T09:00:00", "5000.00")
    asked = recompute.request_run(as_of=day("2026-01-16"), actor="tester", now=real())
    done = recompute.execute_next_run(clock=real)
    assert done is not None
    assert (done.pk, done.status, done.attempts) == (asked.pk, Run.Status.FAILED, 1)
    assert newest_published_run() == first
    assert world.members(first, "spenders") == {"anna"}
    assert world.tiers() == {"anna": "silver"}
    ids = {segment.pk: segment.key for segment in Segment.objects.all()}
    good = last_good_as_ofs(list(ids))
    assert {ids[key]: at for key, at in good.items()} == {
        "spenders": first.as_of, "others": first.as_of,
    }  # fmt: skip
    assert run_in_trouble(first) == asked
    monkeypatch.setattr(recompute, "compute", before)
    healed = world.run("2026-01-16")
    assert run_in_trouble(healed) is None
    assert world.members(healed, "spenders") == {"anna", "bert"}


@pytest.mark.django_db
def test_trouble_is_what_concerns_current_figures() -> None:
    def made(status: str, as_of: str, **more: Any) -> Run:
        return Run.objects.create(
            status=status, as_of=day(as_of), requested_by="x", requested_at=NOW, **more
        )

    made("failed", "2026-01-14")
    published = made("published", "2026-01-15")
    assert run_in_trouble(published) is None
    made("failed", "2026-01-10")  # a run for the past
    made("failed", "2026-01-16", is_dry_run=True)
    made("queued", "2026-01-16")
    assert run_in_trouble(published) is None
    failed = made("failed", "2026-01-16")
    made("historical", "2026-01-12")  # one that went well hides nothing
    assert run_in_trouble(published) == failed
    retried = made("queued", "2026-01-17", attempts=1, error_code="database")
    assert run_in_trouble(published) == retried
    assert run_in_trouble(None) == retried
