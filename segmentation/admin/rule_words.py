"""Rules in words: as a sentence, and as lines below each other with the interval of each metric.

These words follow the stored document; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, override
from django.utils.translation import gettext as _

from segmentation.domain.definitions import Window
from segmentation.domain.windows import resolve
from segmentation.models import (
    CustomerList,
    DefinitionVersion,
    Layering,
    Metric,
    Segment,
    TagGroup,
)
from segmentation.services.wording import (
    ATTRIBUTE_LABELS,
    comparison_words,
    interval_words,
    window_words,
)

_SUBJECTS = ("metric", "tag", "attr", "layer", "segment", "tier", "list", "score", "field")
_COUNTED: tuple[Any, ...] = ("days", "months", "hours")
LANGUAGES = (("en", "English"), ("zh-hans", "简体中文"))

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Names:
    """Labels of what a rule mentions, by kind and key, in the language that is active when asked;
    and the windows of metrics, layers included."""

    by_kind: Mapping[str, Mapping[str, Any]]
    windows: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str, key: str) -> str:
        found = self.by_kind.get(kind, {}).get(key, key)
        if isinstance(found, tuple):
            english, chinese = found
            found = chinese if (get_language() or "").startswith("zh") else english
        return str(found or key)

    def window(self, kind: str, key: str) -> Window | None:
        """The window of a metric, or of the metric a layering cuts; a formula has none."""
        document = self.windows.get(kind, {}).get(key)
        return read_window(document) if document else None


def names() -> Names:
    """Labels of metrics, tags, layerings, segments, lists, programs and customer columns: six
    queries.

    Only for wording rules the reader may see: a rule names a hidden segment only if it is hidden
    itself.
    """
    kinds: dict[str, Any] = {
        "tag": TagGroup, "segment": Segment, "list": CustomerList, "metric": Metric,
        "layer": Layering,
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    documents: dict[str, dict[str, Any]] = {"metric": {}, "layer": {}}
    for kind, model in kinds.items():
        columns = ["key", "label_en", "label_zh_hans"]
        columns += ["document"] if kind in documents else []
        found[kind] = {}
        for key, english, chinese, *rest in model.objects.order_by().values_list(*columns):
            found[kind][key] = (english, chinese)
            if rest:
                documents[kind][key] = rest[0]
    found["attr"] = dict(ATTRIBUTE_LABELS)
    found["tier"], found["tier value"] = _programs()
    metrics = {key: document.get("window") for key, document in documents["metric"].items()}
    layers = {
        key: metrics.get(str(document.get("metric")))
        for key, document in documents["layer"].items()
    }
    windows = {
        kind: {key: window for key, window in of_kind.items() if window}
        for kind, of_kind in (("metric", metrics), ("layer", layers))
    }
    return Names(found, windows)


def _programs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Names of programs by key, and of their tiers by "program/tier", in the newest versions."""
    programs: dict[str, Any] = {}
    tiers: dict[str, Any] = {}
    versions = DefinitionVersion.objects.filter(kind="program").order_by("key", "-number")
    for key, document in versions.distinct("key").values_list("key", "document"):
        programs[key] = _labels(document)
        for tier in (document.get("version") or {}).get("tiers") or ():
            tiers[f"{key}/{tier.get('key')}"] = _labels(tier)
    return programs, tiers


def _labels(document: Mapping[str, Any]) -> tuple[str, str]:
    label = document.get("label") or {}
    return str(label.get("en") or ""), str(label.get("zh-hans") or "")


def read_window(document: Mapping[str, Any]) -> Window:
    """The window of a stored metric document."""
    if "calendar" in document:
        offset = int(document.get("offset") or 0)
        return Window("calendar", calendar=document["calendar"], offset=offset)
    for kind in _COUNTED:
        if kind in document:
            return Window(kind, int(document[kind]), to_now=bool(document.get("to_now")))
    return Window("all")


def in_both_languages(make: Callable[[], _Made]) -> list[tuple[str, str, _Made]]:
    """What `make` gives in each language of the interface: code, name of the language, result."""
    made = []
    for code, name in LANGUAGES:
        with override(code):
            made.append((code, name, make()))
    return made


def _value(value: Any) -> str:
    if value is True or value is False:
        return _("yes") if value else _("no")
    return str(value)


def leaf_words(leaf: Mapping[str, Any], *, known: Names) -> str:
    """One comparison as a sentence."""
    if "bucket" in leaf:
        bucket = leaf["bucket"]
        return _("random group %(start)s up to %(end)s of 10000 (salt %(salt)s)") % {
            "start": bucket.get("from"),
            "end": bucket.get("to"),
            "salt": bucket.get("salt"),
        }
    kind = next((kind for kind in _SUBJECTS if kind in leaf), "")
    subject = known.of(kind, str(leaf.get(kind, "")))
    if kind == "segment":
        return _("in the segment “%(segment)s”") % {"segment": subject}
    if kind == "list":
        return _("on the list “%(list)s”") % {"list": subject}
    value = leaf.get("value")
    if kind == "tier":
        value = known.of("tier value", f"{leaf['tier']}/{value}").removeprefix(f"{leaf['tier']}/")
        subject = _("tier in “%(program)s”") % {"program": subject}
    texts = [_value(each) for each in value] if isinstance(value, list) else _value(value)
    comparison = comparison_words(str(leaf.get("cmp")), None if value is None else texts)
    words = _("%(subject)s: %(comparison)s") % {"subject": subject, "comparison": comparison}
    if leaf.get("if_missing") == "match":
        words = _("%(condition)s, or is not known") % {"condition": words}
    return words


def rule_sentence(node: Any, *, known: Names) -> str:
    """The whole rule in one sentence, groups inside groups in parentheses."""
    return _sentence(node, known, is_inside=False)


def _sentence(node: Any, known: Names, *, is_inside: bool) -> str:
    if not isinstance(node, Mapping):
        return str(node)
    if "not" in node:
        inner = _sentence(node["not"], known, is_inside=True)
        return _("not (%(condition)s)") % {"condition": _bare(inner)}
    for name, between, nothing in (
        ("all", _(" and "), _("everybody")),
        ("any", _(" or "), _("nobody")),
    ):
        if name in node:
            children = node[name]
            inside = len(children) > 1
            parts = [_sentence(child, known, is_inside=inside) for child in children]
            joined = between.join(parts) or nothing
            many = len(parts) > 1
            return _("(%(condition)s)") % {"condition": joined} if is_inside and many else joined
    return leaf_words(node, known=known)


def _bare(text: str) -> str:
    """Without the parentheses that the "not" around it writes anyway."""
    opening, closing = _("(%(condition)s)").split("%(condition)s")
    whole = text.startswith(opening) and text.endswith(closing)
    inner = text[len(opening) : len(text) - len(closing)]
    return inner if whole and opening not in inner else text


@dataclass(frozen=True)
class RuleLine:
    """One node of a rule: how deep, its words, and what a metric's window is there."""

    depth: int
    words: str
    note: str = ""


def rule_tree(node: Any, *, known: Names, as_of: datetime | None, zone: ZoneInfo) -> list[RuleLine]:
    """The nodes of a rule in order; a leaf on a metric or layer says its window and, with an
    `as_of`, both ends of its interval there."""
    return [
        RuleLine(depth, words, _window_note(leaf, known=known, as_of=as_of, zone=zone))
        for depth, words, leaf in _walk(node, known=known)
    ]


def rule_lines(node: Any, *, known: Names) -> list[tuple[int, str]]:
    """A rule as (depth, words), one line a node."""
    return [(depth, words) for depth, words, _leaf in _walk(node, known=known)]


def rule_html(node: Any, *, known: Names) -> SafeString:
    """The lines of a rule, indented."""
    return format_html_join(
        "", '<div class="tw-rule tw-rule-{}">{}</div>', rule_lines(node, known=known)
    )


def tree_html(lines: list[RuleLine]) -> SafeString:
    """The lines of a rule, indented, with their notes."""
    return format_html_join(
        "",
        '<div class="tw-rule tw-rule-{}">{}{}</div>',
        (
            (
                line.depth,
                line.words,
                format_html(' <span class="tw-note">{}</span>', line.note) if line.note else "",
            )
            for line in lines
        ),
    )


def _walk(
    node: Any, *, known: Names, depth: int = 0
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    if not isinstance(node, Mapping):
        yield depth, str(node), {}
        return
    for name, words in (("all", _("All of these:")), ("any", _("At least one of these:"))):
        if name in node:
            yield depth, words, {}
            for child in node[name]:
                yield from _walk(child, known=known, depth=depth + 1)
            return
    if "not" in node:
        yield depth, _("Not:"), {}
        yield from _walk(node["not"], known=known, depth=depth + 1)
        return
    yield depth, leaf_words(node, known=known), node


def _window_note(
    leaf: Mapping[str, Any], *, known: Names, as_of: datetime | None, zone: ZoneInfo
) -> str:
    for kind in ("metric", "layer"):
        if kind not in leaf:
            continue
        window = known.window(kind, str(leaf[kind]))
        if window is None:
            return ""
        if as_of is None:
            return window_words(window)
        ends = interval_words(resolve(window, as_of=as_of, zone=zone), zone=zone)
        return _("%(window)s: %(interval)s") % {"window": window_words(window), "interval": ends}
    return ""
