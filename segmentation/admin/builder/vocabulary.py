"""What a rule can name, as one person may know it: keys, names in both languages, values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import get_language

from segmentation.domain.rules import ATTRS
from segmentation.domain.windows import resolve
from segmentation.models import Layering, Metric, TagGroup
from segmentation.permissions import Viewer, visible_lists, visible_segments
from segmentation.services.wording import ATTRIBUTE_LABELS, interval_words, named, window_words

from ..rule_words import Names, read_window
from ..wording import metric_words


@dataclass(frozen=True, slots=True)
class Word:
    """One thing a rule can name.

    `values` are what it may be compared with, each with its name: a text, or one a language.
    """

    key: str
    en: str
    zh_hans: str
    document: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[tuple[str, str | tuple[str, str]], ...] = ()
    is_draft: bool = False

    @property
    def label(self) -> str:
        """The name in the active language."""
        return (self.zh_hans if _is_chinese() else self.en) or self.key

    @property
    def names(self) -> tuple[str, ...]:
        """The names in both languages, to be compared with what somebody typed."""
        return (self.en.casefold(), self.zh_hans.casefold())

    def named_values(self) -> dict[str, str]:
        """The values with their names in the active language."""
        place = 1 if _is_chinese() else 0
        return {
            value: (name if isinstance(name, str) else name[place]) or value
            for value, name in self.values
        }


def _is_chinese() -> bool:
    return (get_language() or "").startswith("zh")


@dataclass(frozen=True)
class Vocabulary:
    """Everything by leaf kind and key; `as_of` is what the intervals are printed for."""

    words: Mapping[str, Mapping[str, Word]]
    as_of: datetime
    zone: ZoneInfo

    def of(self, kind: str, key: str) -> Word | None:
        return self.words.get(kind, {}).get(key)

    def names(self) -> Names:
        """Names in both languages, for sentences."""
        found: dict[str, dict[str, Any]] = {
            kind: {key: (word.en, word.zh_hans) for key, word in words.items()}
            for kind, words in self.words.items()
        }
        found["attr"] = dict(ATTRIBUTE_LABELS)
        found["tier value"] = {
            f"{program}/{tier}": name
            for program, word in self.words.get("tier", {}).items()
            for tier, name in word.values
        }
        return Names(found)

    def options(self, kind: str) -> list[tuple[str, str]]:
        """Keys with names, by name, to choose from."""
        if kind == "attr":
            return [(key, str(ATTRIBUTE_LABELS[key])) for key in ATTRS]
        words = self.words.get(kind, {}).values()
        return sorted(((word.key, word.label) for word in words), key=lambda pair: pair[1])

    def key_named(self, kind: str, name: str) -> str | None:
        """The key of the only thing of that kind with this name, in either language; else None."""
        asked = name.casefold()
        found = {word.key for word in self.words.get(kind, {}).values() if asked in word.names}
        if kind == "attr":
            found = {key for key, words in self.options(kind) if words.casefold() == asked}
        return found.pop() if len(found) == 1 else None

    def metric_note(self, key: str) -> str:
        """What a metric computes, over which interval; "" for an unknown one."""
        word = self.of("metric", key)
        if word is None:
            return ""
        return f"{metric_words(word.document)} · {self.window_note(word.document.get('window'))}"

    def window_note(self, window: Any) -> str:
        """A window in words with its interval at `as_of`; "" while it can't be read."""
        if not isinstance(window, Mapping):
            return ""
        try:
            read = read_window(window)
            interval = resolve(read, as_of=self.as_of, zone=self.zone)
            words = window_words(read)
        except (ValueError, TypeError, KeyError, OverflowError):
            return ""  # half typed
        return f"{named(words, interval_words(interval, zone=self.zone))} ({self.zone.key})"


def vocabulary(
    viewer: Viewer,
    *,
    as_of: datetime,
    zone: ZoneInfo,
    programs: Mapping[str, Word],
    drafts: Iterable[tuple[str, Mapping[str, Any]]] = (),
) -> Vocabulary:
    """What is living and visible, and on top of it drafts `(kind, document)` of new definitions."""
    words: dict[str, dict[str, Word]] = {
        "metric": {row.key: _word(row) for row in Metric.objects.filter(retired_at=None)},
        "tag": {row.key: _word(row) for row in TagGroup.objects.filter(retired_at=None)},
        "layer": {row.key: _word(row) for row in Layering.objects.filter(retired_at=None)},
        "segment": {
            row.key: Word(row.key, row.label_en, row.label_zh_hans)
            for row in visible_segments(viewer).filter(retired_at=None).defer("document")
        },
        "list": {
            row.key: Word(row.key, row.label_en, row.label_zh_hans)
            for row in visible_lists(viewer).filter(retired_at=None)
        },
        "tier": dict(programs),
    }
    for kind, document in drafts:
        drafted = _drafted(document)
        section = "layer" if kind == "layering" else kind
        if drafted is not None and section in words:
            words[section].setdefault(drafted.key, drafted)
    return Vocabulary(words, as_of, zone)


def _word(row: Any) -> Word:
    return Word(row.key, row.label_en, row.label_zh_hans, row.document, values_of(row.document))


def _drafted(document: Mapping[str, Any]) -> Word | None:
    key = document.get("key", document.get("group"))
    if not isinstance(key, str) or not key:
        return None
    label = document.get("label")
    names = label if isinstance(label, Mapping) else {"en": label, "zh-hans": label}
    en, zh_hans = (str(names.get(language) or key) for language in ("en", "zh-hans"))
    return Word(key, en, zh_hans, document, values_of(document), is_draft=True)


def values_of(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Values of a tag, or layers of a layering, as (value, name)."""
    found = document.get("layers") or document.get("values")
    if found is None and isinstance(document.get("rules"), list):
        found = [rule.get("value") for rule in document["rules"] if isinstance(rule, Mapping)]
    texts = [str(value) for value in found or () if isinstance(value, str | int)]
    return tuple((text, text) for text in dict.fromkeys(texts))
