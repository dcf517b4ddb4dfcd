"""S15: writers and runs at the same time: nobody deadlocks, and whoever reads sees no member
flicker out and in."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as project
from django.db import connection, transaction

from membership.models import Membership
from membership.services.recompute import execute_next_run, request_run
from membership.services.verification import verify_run
from segmentation.engine.snapshots import read_memberships
from segmentation.models import Order, Run
from segmentation.services.importing import record_rows
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS, BATCHES, CUSTOMERS = 8, 6, 30
State = frozenset[tuple[str, str]]


def real() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    for number in range(CUSTOMERS):
        found.order(f"c{number}", "2026-01-10T09:00:00", f"{number * 40}.00")
    found.run("2026-01-14")
    return found


def write(number: int) -> int:
    """One outside system: batches of orders, refunds and customers that others write as well."""
    luck, rejected = random.Random(number), 0
    for batch in range(BATCHES):
        people = luck.sample(range(CUSTOMERS), 10)
        orders: list[dict[str, object]] = [
            {
                "order_id": f"W{luck.randint(0, 200)}",
                "customer_id": f"c{person}",
                "placed_at": "2026-01-12T09:00:00",
                "amount": f"{luck.randint(1, 900)}.00",
            }
            for person in people
        ]
        customers: list[dict[str, object]] = [
            {"customer_id": f"c{person}", "city": f"city {batch}"} for person in people[::-1]
        ]
        for kind, rows in (("orders", orders), ("customers", customers)):
            found = record_rows(
                kind, rows, actor=f"writer {number}", zone=ZoneInfo(project.TIME_ZONE),
                base_currency=project.BASE_CURRENCY, now=real(), recorded_at=real(),
            )  # fmt: skip
            rejected += sum(row.status == "rejected" for row in found.results)
    return rejected


def seen() -> tuple[int, State]:
    """The newest published run and all memberships, of one moment."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        run = Run.objects.filter(status="published").order_by("-as_of", "-pk").first()
        assert run is not None
        rows = Membership.objects.values_list("customer__external_id", "tier")
        return run.pk, frozenset(rows)


class Threads:
    """Threads that never let an error pass unseen."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []

    def start(self, work: Callable[[], object]) -> threading.Thread:
        def one() -> None:
            try:
                work()
            except BaseException as error:
                self.errors.append(error)
            finally:
                connection.close()

        thread = threading.Thread(target=one)
        thread.start()
        self.threads.append(thread)
        return thread

    def join(self) -> None:
        for thread in self.threads:
            thread.join(300)
            assert not thread.is_alive()


def test_eight_writers_and_two_runs(world: World) -> None:
    for as_of in ("2026-01-15", "2026-01-16"):
        request_run(as_of=day(as_of), actor="tester", now=real())
    over, looks, rejected = threading.Event(), [], []

    def look() -> None:
        while not over.is_set():
            looks.append(seen())

    def work() -> None:
        while Run.objects.filter(status__in=("queued", "running")).exists():
            if execute_next_run(clock=real) is None:
                over.wait(0.05)

    threads, reading = Threads(), Threads()
    reading.start(look)
    for number in range(WRITERS):
        threads.start(lambda number=number: rejected.append(write(number)))  # type: ignore[misc]
    for _ in range(2):
        threads.start(work)
    threads.join()
    over.set()
    reading.join()
    assert threads.errors == reading.errors == []
    assert rejected == [0] * WRITERS
    runs = list(Run.objects.order_by("pk"))
    assert [(run.status, run.attempts) for run in runs] == [("published", 1)] * 3
    published: dict[int, State] = {
        run.pk: frozenset((row["external_id"], row["tier"]) for row in read_memberships(run))
        for run in runs
    }
    assert len(looks) > 10
    assert runs[0].pk in {run for run, _ in looks}
    for run, memberships in looks:
        assert memberships == published[run]
    assert seen() == (runs[2].pk, published[runs[2].pk])
    for run in runs:
        assert verify_run(run.pk, now=real()).equal
    last = world.run("2026-01-17")  # what was written too late for both is in the next one
    assert last.rows["facts"] >= Order.objects.count()


def test_control_published_piece_by_piece_members_flicker(world: World) -> None:
    """What one transaction prevents: taken out first and put in afterwards, they are seen gone."""
    before, looks = seen(), []
    rows = list(Membership.objects.all())
    Membership.objects.all().delete()  # each of these commits on its own
    looks.append(seen())
    Membership.objects.bulk_create(rows)
    looks.append(seen())
    assert looks[0][1] == frozenset() != before[1]
    assert looks[1] == before
