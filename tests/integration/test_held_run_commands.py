"""`release_run` and `reject_run`: the decision of the run's page, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import ManagementUtility

from segmentation.models import Run
from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.held import hold_run
from tests.fixtures.sample import make_shop

pytestmark = pytest.mark.django_db(transaction=True)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def held(settings: Any, tmp_path: Path) -> Run:
    settings.VAR_DIR = tmp_path
    return hold_run(make_shop())


@pytest.fixture
def cast() -> Cast:
    return make_cast()


def manage(capsys: Captured, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `manage.py words --json`."""
    argv = ["manage.py", *words, "--json"]
    code: object = 0
    try:
        ManagementUtility(argv).fetch_command(words[0]).run_from_argv(argv)
    except SystemExit as end:
        code = end.code
    document = json.loads(capsys.readouterr().out)
    assert isinstance(code, int)
    return code, document


@pytest.mark.parametrize(
    ("command", "decision", "status"),
    [("release_run", "released", "published"), ("reject_run", "rejected", "failed")],
)
def test_a_held_run_is_decided_once(
    held: Run, cast: Cast, capsys: Captured, command: str, decision: str, status: str
) -> None:
    words = (command, str(held.pk), "--reason", "looked at it", "--user", "operations_manager")
    code, found = manage(capsys, *words)
    assert (code, found) == (0, {
        "run": held.pk, "as_of": found["as_of"], "status": status, "decision": decision,
        "decided_by": "operations_manager", "reason": "looked at it",
    })  # fmt: skip
    held.refresh_from_db()
    assert (held.status, held.decision, held.decided_by) == (status, decision, "operations_manager")
    decided_at = held.decided_at
    assert manage(capsys, *words) == (0, found)  # again is the same
    held.refresh_from_db()
    assert held.decided_at == decided_at
    other = "reject_run" if command == "release_run" else "release_run"
    code, refused = manage(capsys, other, *words[1:])
    assert (code, refused["code"]) == (1, "wrong_state")


def test_who_may_not_decides_nothing(held: Run, cast: Cast, capsys: Captured) -> None:
    number, why = str(held.pk), ("--reason", "x")
    for words, code in (
        ((number, *why, "--user", "analyst"), "forbidden"),
        ((number, *why, "--user", "nobody"), "invalid"),
        ((number, "--reason", "  ", "--user", "operations_manager"), "reason_required"),
        ((number, "--user", "operations_manager"), "invalid"),
        ((number, *why), "invalid"),
        (("999999", *why, "--user", "operations_manager"), "not_found"),
        (("9" * 30, *why, "--user", "operations_manager"), "not_found"),
        (("x", *why, "--user", "operations_manager"), "invalid"),
    ):
        for command in ("release_run", "reject_run"):
            end, refused = manage(capsys, command, *words)
            assert (end, refused["code"]) == (1, code), (command, words)
    cast.operations_manager.is_active = False
    cast.operations_manager.save()
    end, refused = manage(capsys, "release_run", number, *why, "--user", "operations_manager")
    assert (end, refused["code"]) == (1, "forbidden")
    held.refresh_from_db()
    assert (held.status, held.decision) == ("held", "")
