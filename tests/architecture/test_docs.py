"""The docs name what there is: commands, variables and links, the same in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.conftest import REPOSITORY

ENGLISH, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md"
PAGES = sorted([ENGLISH, CHINESE, *(REPOSITORY / "docs").rglob("*.md")])
PAGES += sorted((REPOSITORY / "demo").glob("*.md"))
# Lists of this checkout's sources; each reads the environment through config/env.py.
SOURCES = sorted((REPOSITORY / "config").rglob("*.py"))
READ = re.compile(r'\benv\.\w+\(\s*"([A-Z][A-Z_]+)"')


def _blocks(path: Path) -> list[str]:
    """Fenced blocks without their comments."""
    fenced = re.findall(r"```\w*\n(.*?)```", path.read_text(), re.DOTALL)
    return [re.sub(r"\s+#.*", "", block) for block in fenced]


def _targets(path: Path) -> set[str]:
    return set(re.findall(r"\]\(([^)#]+)", path.read_text()))


def test_both_languages_have_the_same_commands_and_links() -> None:
    assert _blocks(CHINESE) == _blocks(ENGLISH)
    assert len(_blocks(ENGLISH)) >= 4
    own = {"README.md", "README.zh-CN.md", "docs/images/home.png", "docs/images/home.zh-CN.png"}
    assert _targets(CHINESE) - own == _targets(ENGLISH) - own
    numbers = re.compile(r"\d[\d,]*\d")
    assert set(numbers.findall(CHINESE.read_text())) == set(numbers.findall(ENGLISH.read_text()))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_and_commands_exist(path: Path) -> None:
    targets = {target for target in _targets(path) if "://" not in target}
    assert {target for target in targets if not (path.parent / target).exists()} == set()
    text = path.read_text()
    verbs = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, re.MULTILINE)) <= {
        pair for verb in verbs for pair in ((verb, ""), ("", verb))
    }
    assert set(re.findall(r"manage\.py ([a-z_]+)", text)) <= set(get_commands())


def test_every_verb_of_the_makefile_is_in_the_readme() -> None:
    verbs = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    told = set(re.findall(r"make ([a-z-]+)", ENGLISH.read_text()))
    assert set(verbs) - {"help"} <= told
    assert len(verbs) == 17  # the contract's, test-parity, screenshots, and help


def test_every_variable_is_in_the_settings_page() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)`", (REPOSITORY / "docs/settings.md").read_text(), re.M))
    read = {name for path in SOURCES for name in READ.findall(path.read_text())}
    assert read - {"TIERWISE_TESTING"} == told
