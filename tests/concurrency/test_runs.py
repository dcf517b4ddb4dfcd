"""Runs are claimed once, whoever asks, and never interleave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, InterfaceError, connection

from segmentation.models import Run
from segmentation.services import leases, runs
from tests.fixtures.world import day

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 1, 15, tzinfo=UTC)


def together(count: int, work: Callable[[], object]) -> list[object]:
    """What `count` threads got, all let go at the same moment, each with its own connection."""
    gate = threading.Barrier(count)
    found: list[object] = []

    def one() -> None:
        try:
            connection.ensure_connection()
            gate.wait()
            found.append(work())
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def ask(as_of: str = "2026-01-15") -> Run:
    return runs.request_run(as_of=day(as_of), actor="tester", now=NOW)


def test_one_of_many_workers_gets_the_run() -> None:
    asked = ask()
    ask("2026-01-16")  # a second one waits: only one run is ever in progress
    claimed = together(8, lambda: runs.claim_next_run(now=NOW))
    got = [run for run in claimed if run is not None]
    assert [run.pk for run in got if isinstance(run, Run)] == [asked.pk]
    assert Run.objects.filter(status=Run.Status.RUNNING).count() == 1
    assert Run.objects.get(pk=asked.pk).attempts == 1


def test_many_who_ask_for_one_as_of_get_one_run() -> None:
    """S17: a herd at midnight queues one run, which sees every fact recorded until it starts."""
    asked = together(8, ask)
    assert len({run.pk for run in asked if isinstance(run, Run)}) == 1
    assert Run.objects.count() == 1
    started = runs.claim_next_run(now=NOW)
    assert started is not None
    assert ask().pk > started.pk  # it may have looked already: the next one is another


def test_control_without_the_lock_many_runs_are_queued() -> None:
    """What the lock prevents: all look before one of them has written."""
    gate = threading.Barrier(4)

    def look_then_write() -> Run:
        same = Run.objects.filter(as_of=day("2026-01-15"), status=Run.Status.QUEUED).first()
        gate.wait()
        return same or Run.objects.create(
            as_of=day("2026-01-15"), requested_by="tester", requested_at=NOW
        )

    together(4, look_then_write)
    assert Run.objects.count() == 4


def test_control_without_the_condition_several_workers_get_it() -> None:
    """What the conditional UPDATE and the constraint prevent: read, then write."""
    asked = ask()
    gate = threading.Barrier(4)

    def read_then_write() -> bool:
        run = Run.objects.get(pk=asked.pk)
        gate.wait()
        if run.status == Run.Status.QUEUED:
            Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING)
            return True
        return False

    assert together(4, read_then_write) == [True] * 4


def test_the_database_itself_refuses_a_second_running_run() -> None:
    first, second = ask(), ask("2026-01-16")
    Run.objects.filter(pk=first.pk).update(status=Run.Status.RUNNING)
    with pytest.raises(IntegrityError):
        Run.objects.filter(pk=second.pk).update(status=Run.Status.RUNNING)


def test_a_lease_of_another_machine_must_run_out() -> None:
    """A process that can't be looked at is believed until its lease ends; ours is looked at."""
    asked = ask()
    Run.objects.filter(pk=asked.pk).update(
        status=Run.Status.RUNNING,
        lease_owner="elsewhere/boot/1/2/3",
        lease_until=NOW + timedelta(seconds=30),
    )
    assert runs.free_dead_runs(now=NOW) == 0
    assert runs.run_in_progress(now=NOW) is True
    later = NOW + timedelta(seconds=31)
    assert runs.run_in_progress(now=later) is False
    assert runs.free_dead_runs(now=later) == 1
    assert Run.objects.get(pk=asked.pk).status == Run.Status.QUEUED


def test_an_owner_in_another_container_is_believed() -> None:
    """Containers may share host name and boot id: process ids of one mean nothing in another."""
    ours = leases.lease_owner()
    host, boot, _process, _started, _rest = ours.split("/")
    assert leases.owner_is_gone(ours) is False
    assert leases.owner_is_gone(f"{host}/{boot}/1/0/x") is True  # id 1 started at another time
    boot_id, _space, namespace = boot.rpartition("-")
    assert leases.owner_is_gone(f"{host}/{boot_id}-{int(namespace) + 1}/1/0/x") is False


def test_a_broken_connection_passes() -> None:
    """S06: the run is tried again, whichever of its errors the driver raises."""
    ask()
    run = runs.claim_next_run(now=NOW)
    assert run is not None
    runs.fail_run(run, InterfaceError("the cursor is closed"), now=NOW)
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    assert run.not_before is not None
    assert run.finished_at is None
