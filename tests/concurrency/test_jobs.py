"""Jobs: asked for once, done once, done again after a kill, cancelled from outside."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from config.clock import real_now
from segmentation.models import FactBatch, Job, Order
from segmentation.services import jobs, uploads
from segmentation.services.job_kinds import _KINDS, Work, job_kind
from segmentation.services.jobs import JobWork, cancel_job, execute_next_job, request_job
from segmentation.services.uploads import request_import
from tests.conftest import REPOSITORY
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.exports import done, looker

from .test_runs import together

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "order_id,customer_id,placed_at,amount\n"
ROWS = "".join(f"O{n},C{n % 10},2026-01-01T10:00:00,5.00\n" for n in range(500))


@pytest.fixture
def cast(settings: Any, tmp_path: Path) -> Cast:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    return make_cast()


@contextmanager
def kind(work: Work) -> Iterator[str]:
    """A kind of job of this test alone."""
    job_kind("test_kind", title="Test")(work)
    try:
        yield "test_kind"
    finally:
        del _KINDS["test_kind"]


def ask(name: str, **more: Any) -> Job:
    return request_job(name, parameters={}, user=None, actor="tester", now=real_now(), **more)


def upload(cast: Cast, *, key: str | None = None) -> Job:
    user = cast.operations_manager
    return request_import(
        "orders",
        file=io.BytesIO((HEADER + ROWS).encode()),
        file_name="o.csv",
        strict=False,
        user=user,
        looker=looker(user),
        key=key,
        now=real_now(),
        project_now=real_now(),
    )


def test_a_double_click_is_one_job(cast: Cast) -> None:
    """Four clicks at the same moment, each in a connection of its own."""
    asked = together(4, lambda: upload(cast, key="one form"))
    assert len({job.pk for job in asked if isinstance(job, Job)}) == 1
    assert Job.objects.count() == 1


def test_control_without_a_key_every_click_is_a_job(cast: Cast) -> None:
    together(4, lambda: upload(cast))
    assert Job.objects.count() == 4


def test_two_workers_never_do_the_same_job(cast: Cast) -> None:
    done_by: list[int] = []

    def work(job: JobWork) -> dict[str, Any]:
        done_by.append(job.job.pk)
        time.sleep(0.05)
        return {}

    with kind(work) as name:
        asked = [ask(name).pk for _ in range(6)]

        def until_empty() -> None:
            while execute_next_job(clock=real_now) is not None:
                pass

        together(4, until_empty)
    assert sorted(done_by) == asked
    assert set(Job.objects.values_list("status", "attempts")) == {("done", 1)}


def test_progress_of_an_import_is_seen_while_it_runs_and_can_be_cancelled(
    cast: Cast, monkeypatch: Any
) -> None:
    """The import is one transaction: its progress goes through another connection, and whoever
    cancels is not made to wait for its end."""
    job = upload(cast)
    seen: list[tuple[int, str]] = []
    reached, go_on = threading.Event(), threading.Event()
    real = uploads.import_file

    def slow(*args: Any, **named: Any) -> Any:
        show = named["on_progress"]

        def shown(progress: Any) -> None:
            show(progress)
            reached.set()
            assert go_on.wait(20)

        return real(*args, **{**named, "on_progress": shown})

    monkeypatch.setattr(uploads, "import_file", slow)
    worker = threading.Thread(target=lambda: (execute_next_job(clock=real_now), connection.close()))
    worker.start()
    assert reached.wait(20)
    now = Job.objects.get(pk=job.pk)
    seen.append((now.done, now.stage))
    assert cancel_job(now, actor="operations_manager", now=real_now())  # does not block
    go_on.set()
    worker.join(20)
    assert seen == [(1000, "Recording: 500 rows")]
    after = Job.objects.get(pk=job.pk)
    assert (after.status, after.result) == (Job.Status.CANCELLED, {})
    assert (Order.objects.count(), FactBatch.objects.count()) == (0, 0)


def test_a_job_taken_over_by_another_worker_records_nothing_twice(
    cast: Cast, monkeypatch: Any
) -> None:
    """A worker that slept through its lease finds at its commit that the job is not its own."""
    job = upload(cast)
    real = uploads._reasons

    def meanwhile(path: Path) -> dict[str, int]:
        def steal() -> None:
            Job.objects.filter(pk=job.pk).update(lease_owner="elsewhere/boot/1/2/3")

        together(1, steal)
        return real(path)

    monkeypatch.setattr(uploads, "_reasons", meanwhile)
    execute_next_job(clock=real_now)
    assert (Order.objects.count(), FactBatch.objects.count()) == (0, 0)
    assert Job.objects.get(pk=job.pk).status == Job.Status.RUNNING  # the other one's


@pytest.mark.parametrize(
    ("point", "recorded"),
    [
        ("segmentation.services.importing.imports:record_staged", 0),
        ("segmentation.services.uploads:_keep_with_the_facts:after", 0),
        ("segmentation.services.uploads:_finish", 500),
    ],
)
def test_a_killed_worker_and_the_next_one(cast: Cast, point: str, recorded: int) -> None:
    """Killed before the commit nothing is recorded, behind it everything; the next attempt ends
    with the same result, and facts are never recorded twice (S06)."""
    job = upload(cast)
    assert _worker_elsewhere(point) == -signal.SIGKILL
    job.refresh_from_db()
    assert job.status == Job.Status.RUNNING  # it could not say goodbye
    assert Order.objects.count() == recorded
    after = done(job)
    assert (after.status, after.attempts) == (Job.Status.DONE, 2)
    assert after.result["counts"] == {
        "read": 500, "inserted": 500, "unchanged": 0, "updated": 0, "rejected": 0,
    }  # fmt: skip
    assert Order.objects.count() == 500
    assert FactBatch.objects.filter(kind="orders").count() == 1


def test_a_job_that_kills_its_worker_is_given_up(cast: Cast) -> None:
    job = upload(cast)
    for _attempt in range(jobs.MOST_ATTEMPTS):
        point = "segmentation.services.importing.imports:record_staged"
        assert _worker_elsewhere(point) == -signal.SIGKILL
    assert execute_next_job(clock=real_now) is None
    after = Job.objects.get(pk=job.pk)
    assert after.error is not None
    assert (after.status, after.error["code"]) == (Job.Status.FAILED, "worker_died")
    assert [line["message"] for line in after.log] == [
        f"attempt {number}: worker died" for number in (1, 2, 3)
    ]
    assert not Order.objects.exists()


def test_a_lease_of_another_machine_must_run_out(cast: Cast) -> None:
    job = upload(cast)
    now = real_now()
    Job.objects.filter(pk=job.pk).update(
        status=Job.Status.RUNNING,
        lease_owner="elsewhere/boot/1/2/3",
        lease_until=now + timedelta(seconds=30),
    )
    assert jobs.free_dead_jobs(now=now) == 0
    assert jobs.free_dead_jobs(now=now + timedelta(seconds=31)) == 1
    assert Job.objects.get(pk=job.pk).status == Job.Status.QUEUED


def test_a_waiting_job_is_cancelled_at_once(cast: Cast) -> None:
    job = upload(cast)
    outcomes = together(4, _cancelling(job))
    assert sorted(map(str, outcomes)) == ["False", "False", "False", "True"]
    assert execute_next_job(clock=real_now) is None
    assert not Order.objects.exists()


def _cancelling(job: Job) -> Callable[[], object]:
    return lambda: cancel_job(Job.objects.get(pk=job.pk), actor="x", now=real_now())


# Does the next job in a process of its own and dies by SIGKILL at a named point.
SCRIPT = """
import sys
import django
django.setup()
from django.db import connection
from config.clock import real_now
from segmentation.services.jobs import execute_next_job
from tests.faults.run_and_die import die_at
die_at(sys.argv[1])
execute_next_job(clock=real_now)
"""


def _worker_elsewhere(point: str) -> int:
    from django.conf import settings

    given = connection.settings_dict
    host = str(given["HOST"])
    port = f":{given['PORT']}" if given["PORT"] else ""
    place = f"@/{given['NAME']}?host={host}" if host.startswith("/") else (
        f"@{host}{port}/{given['NAME']}"
    )  # fmt: skip
    environment = {
        "DATABASE_URL": f"postgresql://{given['USER']}{place}",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TIERWISE_TESTING": "1",
        "TIME_ZONE": "Asia/Shanghai",
        "VAR_DIR": str(settings.VAR_DIR),
    }
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, point],
        cwd=REPOSITORY,
        env=os.environ | environment,
        check=False,
        timeout=120,
    ).returncode
