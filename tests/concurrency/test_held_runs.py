"""A held run is decided once, whoever clicks at the same moment; the control shows the race."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from config.clock import real_now
from membership.models import Membership, Transition
from membership.services import held_runs, recompute
from membership.services.held_runs import held_moves, reject_run, release_run
from membership.services.recompute import request_run
from segmentation.domain.errors import TierwiseError
from segmentation.models import Run
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.daily import DailyShop
from tests.fixtures.world import day

pytestmark = pytest.mark.django_db(transaction=True)
Act = Callable[..., Run]


@pytest.fixture
def held(settings: Any, tmp_path: Path) -> Run:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    shop = DailyShop()
    shop.open(until="2026-03-11")
    shop.mornings("2026-03-11", 7)
    return shop.run("2026-03-18")


def together(*acts: Callable[[], object]) -> list[str]:
    """The outcome of each act, all let go at the same moment, each with its own connection."""
    gate = threading.Barrier(len(acts))
    found = [""] * len(acts)

    def one(place: int) -> None:
        try:
            connection.ensure_connection()
            gate.wait()
            found[place] = str(acts[place]())
        except TierwiseError as error:
            found[place] = error.code
        except Exception as error:
            found[place] = f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def deciding(act: Act, run: Run, user: User) -> Callable[[], str]:
    def decide() -> str:
        return act(run.pk, user=user, reason="r", now=real_now()).decision

    return decide


def test_released_many_times_at_once_it_is_released_once(held: Run) -> None:
    user = make_cast().operations_manager
    moves = sum(move.customers for move in held_moves(held))
    before = Transition.objects.count()
    release = deciding(release_run, held, user)
    assert together(*[release] * 6) == ["released"] * 6
    held.refresh_from_db()
    assert held.status == Run.Status.PUBLISHED
    assert Transition.objects.count() == before + moves
    assert len([line for line in held.log if "released" in line["message"]]) == 1


@pytest.mark.parametrize("attempt", range(3))
def test_released_and_rejected_at_once_it_is_one_of_both(held: Run, attempt: int) -> None:
    cast: Cast = make_cast()
    manager = cast.operations_manager
    before = Transition.objects.count(), Membership.objects.count()
    found = together(
        deciding(release_run, held, manager), deciding(reject_run, held, manager)
    )  # fmt: skip
    held.refresh_from_db()
    if found[0] == "released":
        assert found[1] == "wrong_state"
        assert held.status == Run.Status.PUBLISHED
        assert Transition.objects.count() > before[0]
    else:
        assert found == ["wrong_state", "rejected"]
        assert held.status == Run.Status.FAILED
        assert (Transition.objects.count(), Membership.objects.count()) == before


def test_control_without_the_locks_both_decide(held: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the locks prevent: both read a held run, then both write."""
    manager = make_cast().operations_manager
    read = threading.Barrier(2)

    def unlocked(run_id: int) -> Run:
        run = Run.objects.get(pk=run_id)
        read.wait(timeout=30)
        return run

    monkeypatch.setattr(held_runs, "_locked", unlocked)
    monkeypatch.setattr(held_runs, "lock_definitions", lambda *, exclusive: None)
    monkeypatch.setattr(held_runs, "_remove_changes", lambda run_id: None)
    found = together(
        deciding(release_run, held, manager), deciding(reject_run, held, manager)
    )  # fmt: skip
    assert found == ["released", "rejected"]
    held.refresh_from_db()
    if held.status == Run.Status.FAILED:  # rejected, and its tier changes are written all the same
        assert Transition.objects.filter(run=held).exists()


def test_a_run_under_way_starts_again_from_what_was_released_meanwhile(
    held: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had computed from memberships that are not current any more."""
    manager = make_cast().operations_manager
    shop = DailyShop(counter=100_000)
    shop.serve([date(2026, 3, 18)])
    wanted = request_run(as_of=day("2026-03-19"), actor="tester", now=real_now())
    compute = recompute._compute
    released: list[Run] = []

    def slowly(*args: Any, **kwargs: Any) -> Any:
        found = compute(*args, **kwargs)
        if not released:
            released.append(release_run(held.pk, user=manager, reason="r", now=real_now()))
        return found

    monkeypatch.setattr(recompute, "_compute", slowly)
    first = recompute.execute_next_run(clock=real_now)
    assert first is not None
    assert (first.pk, first.status, first.error_code) == (
        wanted.pk,
        "queued",
        "definitions_changed",
    )
    Run.objects.filter(pk=wanted.pk).update(not_before=None)
    second = recompute.execute_next_run(clock=real_now)
    assert second is not None
    assert (second.pk, second.base_run_id) == (wanted.pk, held.pk)
    assert second.status == Run.Status.PUBLISHED
