"""An installation on Debian's servers, as production has it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import REPOSITORY, Manage, new_var_dir, outside_environment

BROKERS = {"redis": "TEST_REDIS_URL", "rabbitmq": "TEST_RABBITMQ_URL"}
Worker = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture(params=sorted(BROKERS))
def broker_url(request: pytest.FixtureRequest) -> str:
    return os.environ[BROKERS[request.param]]


@pytest.fixture
def production(broker_url: str) -> Iterator[dict[str, str]]:
    """The environment of an installation with a database of its own on Debian's PostgreSQL."""
    server = os.environ["DATABASE_URL"]
    name = f"production_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    var_dir: Path = new_var_dir()
    yield outside_environment(var_dir) | {
        "DATABASE_URL": f"{server.rpartition('/')[0]}/{name}",
        "CELERY_BROKER_URL": broker_url,
        "SECRET_KEY": os.environ["SECRET_KEY"],
    }
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def production_manage(production: dict[str, str]) -> Manage:
    """`manage.py` in that installation, set up."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env=production | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    done = run("setup")
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def worker(production: dict[str, str], production_manage: Manage) -> Iterator[Worker]:
    """`worker()` starts a real Celery worker for both queues; ended after the test."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        words = ["-A", "config", "--quiet", "worker", "-Q", "runs,default", "-c", "1"]
        found = subprocess.Popen(
            [sys.executable, "-W", "ignore:::celery.platforms", "-m", "celery", *words],
            cwd=REPOSITORY,
            env=production,
        )
        started.append(found)
        return found

    yield start
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
