"""`--json`: one document on standard output whatever goes wrong, and the exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import ManagementUtility, call_command
from django.db import OperationalError
from django.test import override_settings

from membership.management.commands.profile import Command as ProfileCommand
from segmentation.models import Run

Captured = pytest.CaptureFixture[str]


def _refused(capsys: Captured, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the error document of `manage.py words --json`."""
    argv = ["manage.py", *words, "--json"]
    with pytest.raises(SystemExit) as end:
        ManagementUtility(argv).fetch_command(words[0]).run_from_argv(argv)
    assert isinstance(end.value.code, int)
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["code", "message", "details"]
    return end.value.code, document


@pytest.mark.parametrize(
    "words",
    [
        ["apply"],
        ["import"],
        ["import", "orders"],
        ["import", "orders", "orders.csv", "--bogus"],
        ["import", "orders", "orders.csv", "--rejects"],
        ["recompute", "--as-of"],
        ["segment"],
        ["membership"],
        ["profile"],
        ["explain", "C1"],
        ["verify_run"],
        ["verify_run", "first"],
        ["simulate"],
        ["simulate", "gold", "--version", "newest"],
        ["api_key"],
        ["api_key", "print"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_answered_with_a_document(capsys: Captured, words: list[str]) -> None:
    code, document = _refused(capsys, *words)
    assert code == 1
    assert document["code"] == "invalid"
    assert [problem["code"] for problem in document["details"]] == ["wrong_arguments"]


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "gold"],
        ["simulate", "gold", "--version", "2", "--from", "2018-01-01", "--to", "2018-06-01"],
    ],
    ids=" ".join,
)
def test_a_command_of_a_later_release_exits_with_3(capsys: Captured, words: list[str]) -> None:
    code, document = _refused(capsys, *words)
    assert code == 3
    assert document["code"] == "not_available"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("url", "code", "name"),
    [("spark://cluster:7077", 3, "not_available"), ("postgresql://x", 1, "invalid")],
)
def test_another_engine_queues_nothing(capsys: Captured, url: str, code: int, name: str) -> None:
    with override_settings(ENGINE_URL=url), pytest.raises(SystemExit) as end:
        call_command("recompute", "--json", "--wait", "--as-of", "2018-01-01")
    document = json.loads(capsys.readouterr().out)
    assert (end.value.code, document["code"]) == (code, name)
    assert url in document["message"]
    assert not Run.objects.exists()


def test_an_unreachable_database_is_an_answer(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(ProfileCommand, "answer", answer)
    code, document = _refused(capsys, "profile", "C1")
    assert code == 1
    assert document["code"] == "database_unavailable"
    assert "connection refused" in document["message"]


def test_a_defect_is_an_answer_and_a_traceback(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ProfileCommand, "answer", answer)
    argv = ["manage.py", "profile", "C1", "--json"]
    with pytest.raises(ZeroDivisionError):
        ManagementUtility(argv).fetch_command("profile").run_from_argv(argv)
    assert json.loads(capsys.readouterr().out)["code"] == "internal_error"
