"""Both languages are complete: every text of the code, the templates and the theme is translated.

The texts are found without gettext's programs: in Python by reading the calls, in templates by
Django's own lexer.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
import unfold
from django.template import Template
from django.template.base import Node, TextNode
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils import translation
from django.utils.translation import gettext, ngettext

from tests.conftest import REPOSITORY

CATALOGUE = REPOSITORY / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
PACKAGES = ("config", "segmentation", "membership")
CALLS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
CHINESE = re.compile(r"[一-鿿]")
SAME_IN_BOTH = {"ID", "API", "TGI"}
ARGUMENT = re.compile(r"""\b_\((?P<quote>["'])(?P<text>.+?)(?P=quote)\)""")
FIELD = re.compile(r"%\(\w+\)(?:\.\d+)?[sdf]|\{\w*\}")


def _python_texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        if "migrations" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
                continue
            if call.func.id not in CALLS or not call.args:
                continue
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, str(path.relative_to(REPOSITORY))


def _template_texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.html")):
        for quoted in ARGUMENT.finditer(path.read_text()):  # {% include ... with text=_("...") %}
            yield quoted["text"], path.name
        for node in _nodes(Template(path.read_text()).nodelist):
            if isinstance(node, TranslateNode):
                literal = node.filter_expression.var
                if isinstance(literal, str):
                    yield literal, path.name
                elif getattr(literal, "literal", None):
                    yield str(literal.literal), path.name
            elif isinstance(node, BlockTranslateNode):
                text, _names = node.render_token_list(node.singular)
                yield (text.strip() if node.trimmed else text), path.name


def _nodes(nodes: object) -> Iterator[Node]:
    for node in nodes or ():  # type: ignore[attr-defined]
        if isinstance(node, TextNode):
            continue
        yield node
        for name in ("nodelist", "nodelist_true", "nodelist_false", "nodelist_loop",
                     "nodelist_empty"):  # fmt: skip
            yield from _nodes(getattr(node, name, None))
        for _condition, branch in getattr(node, "conditions_nodelists", ()):
            yield from _nodes(branch)


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(CATALOGUE), check_for_duplicates=True)


def test_every_entry_is_translated(catalogue: polib.POFile) -> None:
    assert [entry.msgid for entry in catalogue if entry.fuzzy or not entry.translated()] == []


def test_translations_keep_their_fields(catalogue: polib.POFile) -> None:
    """A lost or misspelt %(name)s would be an error on a page."""
    wrong = []
    for entry in catalogue:
        asked = set(FIELD.findall(entry.msgid_plural or entry.msgid))
        given = entry.msgstr or entry.msgstr_plural[0]
        if set(FIELD.findall(given)) != asked:
            wrong.append(entry.msgid)
    assert wrong == []


def test_translations_are_chinese(catalogue: polib.POFile) -> None:
    """A copied English text counts as untranslated; the word 暗分 stays off the screens."""
    english = []
    for entry in catalogue:
        given = entry.msgstr or entry.msgstr_plural[0]
        words = re.sub(FIELD, "", entry.msgid)
        if re.search("[A-Za-z]{2}", words) and not CHINESE.search(given):
            english.append(entry.msgid)
        assert "暗分" not in given
    assert sorted(set(english) - SAME_IN_BOTH) == []


def test_every_text_of_the_project_is_in_the_catalogue(catalogue: polib.POFile) -> None:
    known = {entry.msgid for entry in catalogue}
    texts = [pair for name in PACKAGES for pair in _python_texts(REPOSITORY / name)]
    texts += _template_texts(REPOSITORY / "templates")
    assert len(texts) > 400
    missing = {text: place for text, place in texts if text not in known}
    with translation.override("zh-hans"):  # Django's own words need no entry of ours
        assert {text: place for text, place in missing.items() if gettext(text) == text} == {}


@pytest.mark.django_db
def test_every_text_of_the_theme_is_chinese() -> None:
    folder = Path(unfold.__file__).parent / "templates"
    with translation.override("zh-hans"):
        texts = [
            (text, place)
            for part in ("admin", "registration", "unfold")
            for text, place in _template_texts(folder / part)
            # Templates count the words that have a plural; a plain gettext finds those only from
            # Python 3.11.5 or so on.
            if gettext(text) == text == ngettext(text, text, 1)
            and re.search("[A-Za-z]{2}", re.sub(FIELD, "", text))
        ]
    assert texts == []
