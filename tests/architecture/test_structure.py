"""What keeps the code base in its shape: import contracts, file length, admin, migrations."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command

from segmentation.queries.changes import event_models
from tests.conftest import REPOSITORY

LONGEST_FILE = 500
CLOCKS_AND_FILES = frozenset({"now", "today", "utcnow", "open", "input", "print"})


def _sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        found = [REPOSITORY / name for name in names if name.endswith(".py")]
    else:  # a release without its repository
        found = [
            path
            for path in REPOSITORY.rglob("*.py")
            if not any(part.startswith(".") for part in path.relative_to(REPOSITORY).parts)
        ]
    return [path for path in found if path.is_file() and "migrations" not in path.parts]


def test_import_contracts() -> None:
    """config -> membership -> segmentation, and the layers inside each app."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def _calls(source: str) -> Iterator[str]:
    """The last name of everything that is called: `now` of `datetime.now(UTC)`."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
            if isinstance(name, str):
                yield name


def test_domain_reads_no_clock_and_no_file() -> None:
    """What import-linter can't see: `datetime.now()` and `open()` need no import of their own."""
    domain = [path for path in _sources() if "domain" in path.relative_to(REPOSITORY).parts]
    found = {
        str(path.relative_to(REPOSITORY)): names
        for path in domain
        if (names := CLOCKS_AND_FILES.intersection(_calls(path.read_text())))
    }
    assert len(domain) > 30
    assert found == {}
    assert "now" in _calls("from datetime import UTC, datetime\ndatetime.now(UTC)")  # the control


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): count
        for path in _sources()
        if (count := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


# Shown on the page of what they belong to, and nowhere else.
WITHOUT_PAGE = {
    "AlertRoute": "channels on the page of an alert rule",
    "Card": "folder and owner on a definition's page",
    "CustomerListMember": "members on a list's page",
    "InstantStanding": "the gap to the next tier on a membership's page",
    "LastUse": "the filter of unused definitions",
    "Person": "a proxy of User that keeps its history",
    "PersonRight": "rights on a person's page",
    "PersonRole": "roles on a person's page",
    "RedirectedFact": "what an undo of a merge gives back",
    "RequestKey": "idempotency keys of the API",
    "Role": "a proxy of Group that keeps its history",
    "RoleRight": "rights on a role's page",
    "RunErasure": "the verification of a run",
    "StaffScope": "the row scope on a person's page",
    "Star": "the stars in lists",
}


def test_every_model_has_its_page() -> None:
    """A page, or the operations log for what triggers keep, or a reason above."""
    models = [
        model
        for app in ("segmentation", "membership")
        for model in apps.get_app_config(app).get_models()
    ]
    logged = set(event_models())
    without = {
        model._meta.object_name
        for model in models
        if not admin.site.is_registered(model) and model not in logged
    }
    assert without == set(WITHOUT_PAGE)


@pytest.mark.django_db
def test_migrations_are_complete() -> None:
    answer = StringIO()
    try:
        call_command("makemigrations", check=True, dry_run=True, stdout=answer, stderr=answer)
    except SystemExit:
        pytest.fail(answer.getvalue())
