"""Killed at each stage and at random moments, runs end as if nobody had touched them (S06)."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from membership.models import Membership, Transition
from membership.services.recompute import execute_next_run, request_run
from membership.services.verification import verify_run
from segmentation.engine.results import run_folder
from segmentation.models import Run, SegmentResult
from segmentation.services.run_progress import STAGES
from tests.conftest import REPOSITORY
from tests.fixtures.world import CLUB, World, day

from .test_run_kill import elsewhere

pytestmark = pytest.mark.django_db(transaction=True)
KILLS = 20
SEED = 20261123
DAYS = [f"2026-01-{number:02}" for number in range(12, 32)]


def real() -> datetime:
    return datetime.now(UTC)


class Story:
    """Every day some orders and one run; what came of it."""

    def __init__(self) -> None:
        self.world = World()
        self.world.apply(CLUB)
        self.random = random.Random(SEED)
        self.asked: Run | None = None
        self.days = iter(DAYS)
        self.told: list[int] = []

    def next_day(self) -> None:
        """Orders of the day before, and its run waits; `scheduled`, so nobody gives it up."""
        name = next(self.days)
        before = day(name) - timedelta(hours=self.random.randint(1, 20))
        for _ in range(3):
            self.world.order(
                f"c{self.random.randint(1, 12)}",
                f"{before:%Y-%m-%dT%H:%M:%S}",
                f"{self.random.choice((40, 90, 300, 900))}.00",
            )
        self.asked = request_run(as_of=day(name), actor="schedule", now=real(), is_scheduled=True)

    def is_open(self) -> bool:
        if self.asked is None:
            return False
        self.asked.refresh_from_db()
        return self.asked.status in (Run.Status.QUEUED, Run.Status.RUNNING)

    def finish(self, *, until: int) -> list[Any]:
        """The rest of the days undisturbed; everything that was published."""
        ahead = itertools.count(500)  # no pause is waited for
        while True:
            while self.is_open():
                done = execute_next_run(clock=lambda: real() + timedelta(hours=next(ahead)))
                assert done is None or done.status == Run.Status.PUBLISHED, done.log
            if Run.objects.count() >= until:
                break
            self.next_day()
        runs = list(Run.objects.order_by("pk"))
        assert {run.status for run in runs} == {Run.Status.PUBLISHED}
        days = {run.pk: run.as_of for run in runs}
        names = ("kind", "customer__external_id", "from_tier", "to_tier", "at", "until", "values")
        results = SegmentResult.objects.order_by("run", "segment__key")
        return [
            [(run.as_of, run.recorded_hash, run.customers) for run in runs],
            sorted(map(str, Transition.objects.values_list(*names))),
            sorted(Membership.objects.values_list("customer__external_id", "tier", "since")),
            [
                (days[row.run_id], row.size, row.entered_count, row.left_count, bytes(row.members))
                for row in results
            ],
        ]


@pytest.fixture
def shop(settings: Any, tmp_path: Path) -> Path:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path / "undisturbed"
    return tmp_path


class Forks:
    """Lines to and from tests/faults/forked_runs.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def forks(var_dir: Path) -> Iterator[Forks]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.forked_runs"],
        cwd=REPOSITORY,
        env=elsewhere(var_dir),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Forks(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def nothing_is_half_published(story: Story) -> None:
    assert Run.objects.filter(status=Run.Status.RUNNING).count() <= 1
    published = set(Run.objects.filter(status="published").values_list("pk", flat=True))
    assert set(SegmentResult.objects.values_list("run_id", flat=True)) <= published
    assert set(Transition.objects.values_list("run_id", flat=True)) <= published
    assert set(Membership.objects.values_list("run_id", flat=True)) <= published


def test_killed_on_entering_each_stage_and_twenty_times_at_random(
    shop: Path, settings: Any
) -> None:
    """Nothing wrong at any moment, no hand needed, and in the end the same hashes, members, tiers
    and transitions as in a story without a kill."""
    var_dir = shop / "killed"
    settings.VAR_DIR = var_dir
    story, kills, hours = Story(), 0, 0
    luck = random.Random(SEED)
    with forks(var_dir) as forked:
        story.next_day()
        usual = float(forked.ask("- 0").removeprefix("ended "))
        story.next_day()
        for stage in STAGES:
            hours += 1
            assert forked.ask(f"stage {stage} {hours}") == "killed", stage
            nothing_is_half_published(story)
        while kills < KILLS:
            hours += 1
            if not story.is_open():
                story.next_day()
            kills += forked.ask(f"after {luck.uniform(0, usual):.3f} {hours}") == "killed"
            nothing_is_half_published(story)
    days = Run.objects.count()
    found = story.finish(until=days)
    assert sum(run.attempts - 1 for run in Run.objects.all()) >= len(STAGES)
    for run in Run.objects.all():
        assert verify_run(run.pk, now=real()).equal
        assert run_folder(run.pk).is_dir()
    assert not list(run_folder(1).parent.glob(".writing-*"))

    call_command("flush", interactive=False, verbosity=0)
    settings.VAR_DIR = shop / "undisturbed"
    assert Story().finish(until=days) == found
