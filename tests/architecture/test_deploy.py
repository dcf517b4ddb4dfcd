"""What is deployed is what there is: units, compose file and image name things that exist."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config.supervisor import Services
from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PYTHON = "/opt/tierwise/.venv/bin/python"
NOT_OURS = {"POSTGRES_PASSWORD", "OWNER_PASSWORD", "APP_PASSWORD"}


def unit(path: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment, method-assign]
    found.read(path)
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    for path in UNITS:
        first, *words = shlex.split(unit(path)["Service"]["ExecStart"].replace("%%", "%"))
        assert first == PYTHON
        yield path.name, words
    for name, service in compose()["services"].items():
        if service.get("image") in (None, "tierwise") and "command" in service:
            first, *words = service["command"]
            assert first == "python"
            yield name, words
    image = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.M)
    assert image is not None
    yield "image", yaml.safe_load(image[1])[1:]


@pytest.mark.parametrize(("name", "words"), list(commands()))
def test_every_command_exists(name: str, words: list[str]) -> None:
    if words[0] == "manage.py":
        assert words[1] in get_commands(), name
        return
    assert words[0] == "-m", name
    assert importlib.util.find_spec(words[1]) is not None, name
    if words[1] == "gunicorn":
        assert importlib.util.find_spec(words[2]) is not None
    else:
        assert words[2:4] == ["-A", "config"]
        assert {"worker", "beat"} & set(words)


def test_units_and_compose_run_what_the_supervisor_runs() -> None:
    """The same services, queues and number of workers for runs: one."""
    services = Services(Path("/nowhere"), web=False, beat=True, secret_key="x" * 50)
    planned = {child.name for child in services._planned()} | {"web"}
    assert {path.stem.removeprefix("tierwise-") for path in UNITS} == planned
    ours = {name for name, found in compose()["services"].items() if "<<" in found or name}
    assert planned | {"setup", "postgresql", "redis", "proxy"} == ours
    wanted = unit(DEPLOY / "systemd/tierwise.target")["Unit"]["Wants"].split()
    assert set(wanted) == {path.name for path in UNITS}
    for name, words in commands():
        if "worker-runs" in name:
            assert words[words.index("--queues") + 1] == "runs"
            assert words[words.index("--concurrency") + 1] == "1"


def test_variables_are_settings() -> None:
    known = set(
        re.findall(r"^\| `([A-Z_]+)` \|", (REPOSITORY / "docs/settings.md").read_text(), re.M)
    )
    named = set(compose()["x-tierwise"]["environment"])
    for name in ("systemd/tierwise.env.example", "compose.env.example"):
        named |= set(re.findall(r"^([A-Z_]+)=", (DEPLOY / name).read_text(), re.M))
    assert named - NOT_OURS <= known
    given = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text()))
    assert given <= known | NOT_OURS


def test_the_image_copies_what_there_is() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY")]
    for sources in copied:
        for source in sources:
            assert (REPOSITORY / source).exists(), source
    packages = {path.parent.name for path in REPOSITORY.glob("*/apps.py")}
    assert packages <= {source for sources in copied for source in sources}
    for mount in re.findall(r"- (\./[^:]+):", (DEPLOY / "compose.yaml").read_text()):
        assert (DEPLOY / mount).exists(), mount


def test_the_page_names_every_file() -> None:
    page = (REPOSITORY / "docs/deploy.md").read_text()
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".service":
            assert path.name in page, path
