"""What is fixed at set-up stays: stored values are used when unset, others are refused."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config.embedded import Cluster
from tests.conftest import REPOSITORY, Manage, new_var_dir, outside_environment

_SHOW = (
    "from django.conf import settings as s; from segmentation.queries import installation as i;"
    "print(s.TIME_ZONE, s.BASE_CURRENCY, s.CLOCK_START, i().time_zone, i().base_currency)"
)


def _shown(manage: Manage, **environment: str) -> str:
    done = manage("shell", "-v0", "-c", _SHOW, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_stored_values_are_used_and_others_refused(manage: Manage) -> None:
    assert manage("setup", TIME_ZONE="Europe/Paris", BASE_CURRENCY="EUR").returncode == 0
    assert _shown(manage) == "Europe/Paris EUR None Europe/Paris EUR"
    assert _shown(manage, TIME_ZONE="Europe/Paris") == "Europe/Paris EUR None Europe/Paris EUR"
    for variable, value in (
        ("TIME_ZONE", "Asia/Shanghai"),
        ("BASE_CURRENCY", "CNY"),
        ("CLOCK_START", "2018-01-01T00:00:00Z"),
    ):
        for command in (["setup"], ["api_key", "list", "--json"]):
            done = manage(*command, **{variable: value})
            assert done.returncode == 1
            assert f"{variable}=" in done.stderr
            assert "was set up with" in done.stderr
            if "--json" not in command:
                assert done.stdout == ""
                continue
            document = json.loads(done.stdout)
            assert document["code"] == "cannot_start"
            assert document["message"] in done.stderr
            assert document["details"] == []
    assert _shown(manage) == "Europe/Paris EUR None Europe/Paris EUR"


def test_unused_database_takes_other_values_only_when_told(manage: Manage) -> None:
    """`make setup`, then `make demo`, which brings its own zone, currency and clock."""
    demo = {
        "TIME_ZONE": "America/New_York",
        "BASE_CURRENCY": "USD",
        "CLOCK_START": "2018-01-01T00:00:00-05:00",
    }
    assert manage("setup").returncode == 0
    assert manage("setup", **demo).returncode == 1
    assert manage("setup", "--replace-unused", **demo).returncode == 0
    expected = "America/New_York USD 2018-01-01 05:00:00+00:00 America/New_York USD"
    assert _shown(manage) == expected
    done = manage("api_key", "create", "checkout", "--scopes", "facts:write", "--json")
    assert done.returncode == 0, done.stderr


def test_first_command_sets_up_and_prints_only_its_own(manage: Manage) -> None:
    done = manage("api_key", "list", "--json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    assert "Database ready: Asia/Shanghai, CNY" in done.stderr
    again = manage("api_key", "list", "--json")
    assert again.stdout == done.stdout
    assert again.stderr == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIME_ZONE", "Mars/Olympus"),
        ("BASE_CURRENCY", "yuan"),
        ("BASE_CURRENCY", "QQQ"),
        ("CLOCK_START", "2018-01-01T00:00:00"),
        ("DEBUG", "maybe"),
        ("LOG_LEVEL", "loud"),
        ("API_THROTTLE_RATE", "0/minute"),
        ("VAR_DIR", "/proc/nowhere/var"),
    ],
)
def test_wrong_value_stops_with_its_name(manage: Manage, variable: str, value: str) -> None:
    done = manage("setup", **{variable: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{variable}=")
    assert "write" in done.stderr


def test_two_installations_have_secrets_of_their_own(manage: Manage, other_manage: Manage) -> None:
    show = "from django.conf import settings; print(settings.SECRET_KEY)"
    first, again, other = (
        run("shell", "-v0", "-c", show).stdout.strip() for run in (manage, manage, other_manage)
    )
    assert len(first) >= 32
    assert first == again
    assert first != other


def test_no_service_starts_with_default_zone_and_currency() -> None:
    """A database that is down when a web server starts must not leave it in another zone and
    currency than it was set up with. The entry point is enough, whatever server loads it."""
    done = subprocess.run(
        [sys.executable, "-c", "import config.wsgi"],
        cwd=REPOSITORY,
        env=outside_environment(new_var_dir())
        | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "SECRET_KEY": "x" * 32},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The database can't be reached or is not set up")


def test_clean_removes_what_was_embedded_also_beside_another_database() -> None:
    var_dir = new_var_dir()
    cluster = Cluster(var_dir, durable=False)
    cluster.use()
    folder = cluster.folder
    (var_dir / ".tierwise-left").mkdir()  # by a restore that was killed
    try:
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), "clean"],
            env=outside_environment(var_dir)
            | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert not folder.exists()
        assert not var_dir.exists()
    finally:
        var_dir.mkdir(exist_ok=True)
        cluster.remove()
        cluster.release()
