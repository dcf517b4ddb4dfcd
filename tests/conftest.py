"""What every test has: sockets only to this machine, and a `VAR_DIR` of the session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket
from django.conf import settings
from django.utils import translation

from config.embedded import Cluster

Manage = Callable[..., subprocess.CompletedProcess[str]]

# A busy machine is no failure: time limits of single examples say nothing about the product.
# CI draws the same examples each time; a person's run draws new ones.
hypothesis.settings.register_profile(
    "tierwise",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("tierwise")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_runtest_setup() -> None:
    pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def language() -> Iterator[None]:
    """Each test starts in English: a request in Chinese leaves its language in the thread."""
    with translation.override("en"):
        yield


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """An embedded cluster of the test's own; removed at the end, whoever uses it."""
    var_dir = new_var_dir()
    found = Cluster(var_dir, durable=False)
    yield found
    Cluster(var_dir).remove()


def new_var_dir() -> Path:
    """A fresh `VAR_DIR` inside the session's folder: removed with it even after a kill."""
    count = sum(1 for _ in settings.SESSION_DIR.iterdir())
    folder: Path = settings.SESSION_DIR / f"v{count}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def manage() -> Iterator[Manage]:
    """`manage(*words, **environment)` runs `manage.py` as a user would, in a `VAR_DIR` of the
    test's own with its own embedded database."""
    yield from _installation()


@pytest.fixture
def other_manage() -> Iterator[Manage]:
    """A second installation, which must not meet the first."""
    yield from _installation()


def _installation() -> Iterator[Manage]:
    var_dir = new_var_dir()

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env=outside_environment(var_dir) | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    yield run
    Cluster(var_dir).remove()


def outside_environment(var_dir: Path) -> dict[str, str]:
    """The environment of a user's shell with this `VAR_DIR`: nothing of the test session's."""
    ours = ("TIERWISE_TESTING", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "CELERY_BROKER_URL")
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    return kept | {"VAR_DIR": str(var_dir)}
