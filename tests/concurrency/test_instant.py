"""S15: the instant path, runs and writers at the same time; one lock keeps their tiers apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection

from config.clock import real_now
from membership.models import Membership, Transition
from membership.services import instant, instant_tiers, publish_run
from membership.services.instant import Done, do_batch
from membership.services.instant_loop import serve
from membership.services.recompute import execute_next_run, request_run
from segmentation.models import CustomerMark, Run
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS, ORDERS = 4, 12


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    found.order("anna", "2026-03-01T09:00:00", "1")
    CustomerMark.objects.update(due_at=day("2026-03-01"))
    found.run("2026-03-02T02:00:00")
    return found


def thread(work: Callable[[], object], found: list[object]) -> threading.Thread:
    def one() -> None:
        try:
            found.append(work())
        except Exception as error:  # the test looks at it
            found.append(error)
        finally:
            connection.close()

    started = threading.Thread(target=one, daemon=True)
    started.start()
    return started


@pytest.fixture
def meeting(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[object]]:
    """A batch and a run that both give anna silver; the batch has read that she has none, and
    writes only when the run has had a second to publish."""
    world.order("anna", "2026-03-02T09:00:00", "200")
    CustomerMark.objects.update(due_at=day("2026-03-02T09:00:00"))
    asked = request_run(as_of=day("2026-03-03T02:00:00"), actor="tester", now=real_now())
    computed, compute = threading.Event(), instant._compute

    def slow(*args: Any, **named: Any) -> Any:
        answer = compute(*args, **named)
        computed.set()
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            if Run.objects.get(pk=asked.pk).status == Run.Status.PUBLISHED:
                break
            time.sleep(0.05)
        return answer

    def run() -> Run | None:
        assert computed.wait(20)
        return execute_next_run(clock=real_now)

    def meet() -> list[object]:
        monkeypatch.setattr(instant, "_compute", slow)
        batches: list[object] = []
        both = [
            thread(
                lambda: do_batch(clock=lambda: day("2026-03-02T10:00:00"), real=real_now), batches
            ),
            thread(run, []),
        ]
        for each in both:
            each.join(30)
        return batches

    return meet


def test_a_run_waits_for_a_batch_that_decides(
    meeting: Callable[[], list[object]], world: World
) -> None:
    assert meeting() == [Done(customers=1, changes=1)]
    assert Run.objects.order_by("-pk")[0].status == Run.Status.PUBLISHED
    assert world.tiers() == {"anna": "silver"}
    assert Membership.objects.get().since == day("2026-03-02T10:00:00")
    assert list(Transition.objects.values_list("kind", "at")) == [
        ("entry", day("2026-03-02T10:00:00"))
    ]


def test_without_the_lock_they_collide(
    meeting: Callable[[], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the same meeting, and both give the tier."""
    for module in (instant, publish_run):
        monkeypatch.setattr(module, "lock_tiers", lambda: None)
    (found,) = meeting()
    assert isinstance(found, IntegrityError)


def test_writers_loops_and_runs_together(world: World) -> None:
    """Four tills send orders while two loops and two runs decide: everybody is silver once, and
    nobody was ever anything else (no flicker)."""
    found: list[object] = []
    stop = threading.Event()

    def till(number: int) -> None:
        for turn in range(ORDERS):
            name = f"c{number}-{turn % 4}"
            world_of = World(counter=1000 * (number + 1) + turn)
            world_of.order(name, f"2026-03-02T09:{turn:02}:00", "60")
            CustomerMark.objects.filter(customer__external_id=name).update(
                due_at=day("2026-03-02T09:30:00")
            )

    tills = [thread(lambda n=number: till(n), found) for number in range(WRITERS)]  # type: ignore[misc]
    loops = [
        thread(lambda: serve(stop, clock=lambda: day("2026-03-02T10:00:00"), real=real_now), found)
        for _ in range(2)
    ]
    try:
        for as_of in ("2026-03-02T10:00:00", "2026-03-02T11:00:00"):
            request_run(as_of=day(as_of), actor="tester", now=real_now())
            done = execute_next_run(clock=real_now)
            assert done is not None
            assert done.status == Run.Status.PUBLISHED, done.error
        for each in tills:
            each.join(60)
        deadline = time.monotonic() + 30
        while CustomerMark.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:  # or the loops go on in the tests to come
        stop.set()
        for each in (*tills, *loops):
            each.join(60)
    assert [one for one in found if one is not None] == []
    assert not CustomerMark.objects.exists()
    everybody = {f"c{number}-{turn}" for number in range(WRITERS) for turn in range(4)}
    assert world.tiers() == dict.fromkeys(everybody, "silver")
    moves = Transition.objects.values_list("customer__external_id", "kind")
    assert sorted(moves) == sorted((name, "entry") for name in everybody)


def test_two_loops_give_a_tier_once(world: World) -> None:
    assert instant_tiers.newest_batch() == 0
    world.order("anna", "2026-03-02T09:00:00", "200")
    CustomerMark.objects.update(due_at=day("2026-03-02T09:00:00"))
    found: list[object] = []
    at = day("2026-03-02T10:00:00")
    both = [thread(lambda: do_batch(clock=lambda: at, real=real_now), found) for _ in range(2)]
    for each in both:
        each.join(30)
    assert sum(one.changes for one in found if isinstance(one, Done)) == 1
    assert Transition.objects.count() == 1
