"""A killed run leaves nothing half-published, and the next process finishes it (S06)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from membership.models import Membership, Transition
from membership.services.recompute import execute_next_run, request_run
from segmentation.engine.results import run_folder
from segmentation.models import FactBatch, MirrorManifest, Run, RunCount, SegmentResult
from segmentation.services import runs
from tests.conftest import REPOSITORY
from tests.fixtures.world import CLUB, World, day

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = {
    "mirror files are being written": "segmentation.engine.mirror_files:MirrorWriter._partition",
    "mirror files are written, not published": "segmentation.engine.mirror:_publish",
    "the engine is about to compute": "membership.services.recompute:compute",
    "everything is computed": "membership.services.recompute:write_snapshot:after",
    "the breaker has decided": "membership.services.recompute:findings_of:after",
    "files are in place, nothing published": "membership.services.recompute:settle:after",
    "segments are stored": "membership.services.publish_run:_store_segments:after",
    "memberships are changed": "membership.services.publish_run:apply_run_changes:after",
}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    found = World()
    found.apply(CLUB)
    found.order("anna", "2026-01-10T09:00:00", "150.00")
    found.order("bert", "2026-01-10T09:00:00", "20.00")
    return found


def elsewhere(var_dir: Path) -> dict[str, str]:
    """The environment of another process that works on the test's database."""
    given = connection.settings_dict
    host = given["HOST"]
    address = f"?host={host}" if str(host).startswith("/") else ""
    port = f":{given['PORT']}" if given["PORT"] else ""
    place = "" if address else f"{host}{port}"
    return os.environ | {
        "DATABASE_URL": f"postgresql://{given['USER']}@{place}/{given['NAME']}{address}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TIERWISE_TESTING": "1",
        "TIME_ZONE": "Asia/Shanghai",
        "VAR_DIR": str(var_dir),
    }


def run_elsewhere(var_dir: Path, point: str, *, work: str = "run") -> int:
    """The exit code of another process that does the next run (`work` "instant": the next batch
    of the instant path) and dies at `point`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.run_and_die", point, work],
        cwd=REPOSITORY,
        env=elsewhere(var_dir),
        check=False,
        timeout=120,
    ).returncode


def published_state() -> list[Any]:
    return [
        list(
            Membership.objects.values_list("customer__external_id", "tier").order_by(
                "customer__external_id"
            )
        ),
        list(Transition.objects.order_by("pk").values_list("kind", "to_tier", "values")),
        SegmentResult.objects.count(),
        RunCount.objects.count(),
    ]


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_killed_at_each_stage(world: World, settings: Any, point: str) -> None:
    asked = request_run(as_of=day("2026-01-15"), actor="tester", now=now())
    assert run_elsewhere(settings.VAR_DIR, point) == -signal.SIGKILL
    asked.refresh_from_db()
    assert asked.status == Run.Status.RUNNING  # it could not say goodbye
    assert published_state() == [[], [], 0, 0]
    assert (
        FactBatch.objects.filter(generation=None).exists()
        is not MirrorManifest.objects.filter(generation__gt=0).exists()
    )
    done = execute_next_run(clock=now)  # finds that the process is gone; nobody waits for a lease
    assert done is not None
    assert (done.pk, done.status, done.attempts) == (asked.pk, Run.Status.PUBLISHED, 2)
    state = published_state()
    assert state[:2] == [[("anna", "silver")], [("entry", "silver", {"spend": "150.00"})]]
    left_over = [path.name for path in run_folder(done.pk).parent.iterdir()]
    assert left_over == [str(done.pk)]
    fresh = world.run("2026-01-15")
    assert fresh.recorded_hash == done.recorded_hash
    assert published_state()[:2] == state[:2]


def test_a_run_that_ends_well_elsewhere_is_the_control(world: World, settings: Any) -> None:
    asked = request_run(as_of=day("2026-01-15"), actor="tester", now=now())
    assert run_elsewhere(settings.VAR_DIR, "-") == 0
    asked.refresh_from_db()
    assert asked.status == Run.Status.PUBLISHED
    assert published_state()[0] == [("anna", "silver")]


def test_a_worker_that_keeps_dying_fails_visibly(world: World, settings: Any) -> None:
    """Back-off never hides a run: after five deaths it says so."""
    asked = request_run(as_of=day("2026-01-15"), actor="tester", now=now())
    Run.objects.filter(pk=asked.pk).update(
        status=Run.Status.RUNNING, attempts=runs.MOST_ATTEMPTS, lease_owner="a/b/1/2/3",
        lease_until=now() - timedelta(seconds=1),
    )  # fmt: skip
    assert execute_next_run(clock=now) is None
    asked.refresh_from_db()
    assert asked.status == Run.Status.FAILED
    assert asked.error == "The worker died 5 times during this run."


def test_a_taken_over_run_publishes_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was only slow finds its lease gone and writes nothing."""
    from membership.services import recompute

    request_run(as_of=day("2026-01-15"), actor="tester", now=now())
    real = recompute.publish

    def late(run: Run, *args: Any, **named: Any) -> None:
        Run.objects.filter(pk=run.pk).update(lease_owner="somebody/else/1/2/3")
        real(run, *args, **named)

    monkeypatch.setattr(recompute, "publish", late)
    done = execute_next_run(clock=now)
    assert done is not None
    assert done.status == Run.Status.RUNNING
    assert done.lease_owner == "somebody/else/1/2/3"
    assert published_state() == [[], [], 0, 0]


def test_a_slow_worker_leaves_the_files_of_the_one_that_took_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and rows of a published run are one worker's, whichever moved last."""
    from membership.services import recompute

    asked = request_run(as_of=day("2026-01-15"), actor="tester", now=now())
    real = recompute._compute
    published: dict[str, bytes] = {}

    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run_folder(asked.pk).iterdir()}

    def slow(run: Run, *args: Any, **named: Any) -> Any:
        monkeypatch.setattr(recompute, "_compute", real)
        computed = real(run, *args, **named)
        world.order("carl", "2026-01-11T09:00:00", "500.00")
        Run.objects.filter(pk=run.pk).update(status=Run.Status.QUEUED, lease_owner="")
        taken_over = execute_next_run(clock=now)
        assert taken_over is not None
        assert taken_over.status == Run.Status.PUBLISHED
        published.update(files())
        return computed

    monkeypatch.setattr(recompute, "_compute", slow)
    execute_next_run(clock=now)
    asked.refresh_from_db()
    assert asked.status == Run.Status.PUBLISHED
    assert len(published) == 4
    assert files() == published
    assert published_state()[0] == [("anna", "silver"), ("carl", "silver")]
