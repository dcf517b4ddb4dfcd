"""A document while it is read: its scalars untyped, each with its place, all problems collected.

A scalar keeps the text it was written with, so each field decides what it is: `yes`, `007` and
`2017-01-01` stay text where text is wanted, `0.1` is exactly `Decimal("0.1")` where a number is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeAlias

from ..definitions import Label
from ..errors import Problem

KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
# No leading zeros, underscores, hexadecimal or sexagesimal: readers of YAML disagree about them.
NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?\Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
NULLS = ("", "~", "null", "Null", "NULL")
TRUES = ("true", "True", "TRUE")
FALSES = ("false", "False", "FALSE")

# What keeps sums, products and comparisons exact in the 38 digits of a decimal column.
MAX_DIGITS = 18
MAX_DECIMALS = 9
MAX_LABEL = 200
MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Scalar:
    """The text of one value; a quoted one is never a number, boolean or null by itself."""

    text: str
    is_quoted: bool = False

    @property
    def is_null(self) -> bool:
        return not self.is_quoted and self.text in NULLS

    @property
    def is_number(self) -> bool:
        return not self.is_quoted and NUMBER.match(self.text) is not None


Raw: TypeAlias = "Scalar | list[Raw] | dict[str, Raw]"


@dataclass(slots=True)
class Report:
    """Everything found while reading: problems refuse the document, warnings do not."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


def pointer(path: str, token: str | int) -> str:
    """The JSON pointer (RFC 6901) of a child."""
    return f"{path}/{str(token).replace('~', '~0').replace('/', '~1')}"


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A remedy: the nearest option, or all of a short list; "" when there is nothing to offer."""
    names = list(options)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f' Did you mean "{close[0]}"?'
    if 0 < len(names) <= 14:
        return f" Possible here: {', '.join(names)}."
    return ""


class Place:
    """A value of the document, its JSON pointer and the report it complains to.

    The readers return None after they have reported a problem. `pinned` children complain at
    the parent's path: a rule's problems carry the path of their node.
    """

    __slots__ = ("is_pinned", "path", "raw", "report")

    def __init__(self, raw: Raw, path: str, report: Report, *, is_pinned: bool = False) -> None:
        self.raw = raw
        self.path = path
        self.report = report
        self.is_pinned = is_pinned

    def pinned(self) -> Place:
        return Place(self.raw, self.path, self.report, is_pinned=True)

    def _child(self, raw: Raw, token: str | int) -> Place:
        path = self.path if self.is_pinned else pointer(self.path, token)
        return Place(raw, path, self.report, is_pinned=self.is_pinned)

    def refuse(self, code: str, message: str) -> None:
        self.report.problems.append(Problem(self.path, code, message))

    def warn(self, code: str, message: str) -> None:
        self.report.warnings.append(Problem(self.path, code, message))

    def at(self, key: str) -> Place:
        """The child of a mapping that has it."""
        if not isinstance(self.raw, dict):
            raise TypeError(f"{self.path} is no mapping")
        return self._child(self.raw[key], key)

    @property
    def is_null(self) -> bool:
        return isinstance(self.raw, Scalar) and self.raw.is_null

    @property
    def shown(self) -> str:
        """What stands here, short enough for a message."""
        if isinstance(self.raw, Scalar):
            return f'"{self.raw.text[:80]}"'
        return "a list" if isinstance(self.raw, list) else "a mapping"

    def fields(
        self, known: Sequence[str], *, required: Sequence[str] = ()
    ) -> dict[str, Place] | None:
        """The children of a mapping by key, those with null left out.

        Reports unknown keys (at the key, unless pinned) and missing ones (here). None when this
        is no mapping.
        """
        if not isinstance(self.raw, dict):
            keys = ", ".join(known)
            self.refuse("wrong_type", f"Expected a mapping with {keys}, not {self.shown}.")
            return None
        children: dict[str, Place] = {}
        for key, raw in self.raw.items():
            if key not in known:
                path = self.path if self.is_pinned else pointer(self.path, key)
                where = Place(raw, path, self.report)
                where.refuse("unknown_key", f'Unknown key "{key}".{did_you_mean(key, known)}')
                continue
            child = self._child(raw, key)
            if not child.is_null:
                children[key] = child
        for key in required:
            if key not in children:
                self.refuse("missing_key", f'"{key}" is missing.')
        return children

    def items(self, *, at_least: int = 0) -> list[Place] | None:
        """The children of a list."""
        if not isinstance(self.raw, list):
            self.refuse("wrong_type", f"Expected a list, not {self.shown}; write it as [...].")
            return None
        if len(self.raw) < at_least:
            self.refuse("out_of_range", f"Expected at least {at_least} in this list.")
            return None
        return [self._child(raw, position) for position, raw in enumerate(self.raw)]

    def _scalar(self, expected: str) -> Scalar | None:
        if isinstance(self.raw, Scalar) and not self.raw.is_null:
            return self.raw
        shown = "nothing" if self.is_null else self.shown
        self.refuse("wrong_type", f"Expected {expected}, not {shown}.")
        return None

    def text(self, *, longest: int = MAX_TEXT, may_be_empty: bool = False) -> str | None:
        """Text exactly as written, whatever YAML would take it for."""
        scalar = self._scalar("text")
        if scalar is None:
            return None
        if len(scalar.text) > longest:
            self.refuse("out_of_range", f"Longer than {longest} characters.")
            return None
        if not scalar.text and not may_be_empty:
            self.refuse("out_of_range", "The text is empty.")
            return None
        if "\x00" in scalar.text:
            self.refuse("out_of_range", "The text contains a null character.")
            return None
        return scalar.text

    def key(self) -> str | None:
        """The name of a new definition."""
        text = self.text()
        if text is None:
            return None
        if not KEY.match(text):
            self.refuse(
                "invalid_key",
                f'"{text}" is no key: up to 64 lower case letters, digits and "_", a letter first.',
            )
            return None
        return text

    def choice(self, options: Sequence[str], *, code: str = "unknown_value") -> str | None:
        text = self.text(may_be_empty=True)
        if text is None:
            return None
        if text not in options:
            self.refuse(code, f'"{text}" is not possible here.{did_you_mean(text, options)}')
            return None
        return text

    def boolean(self) -> bool | None:
        scalar = self._scalar("true or false")
        if scalar is None:
            return None
        if not scalar.is_quoted and scalar.text in TRUES + FALSES:
            return scalar.text in TRUES
        self.refuse("wrong_type", f"Expected true or false, not {self.shown}.")
        return None

    def integer(self, low: int, high: int) -> int | None:
        """A whole number written as a number, from `low` to `high`."""
        scalar = self._scalar("a whole number")
        if scalar is None:
            return None
        if scalar.is_quoted or not INTEGER.match(scalar.text) or len(scalar.text) > 40:
            self.refuse("wrong_type", f"Expected a whole number, not {self.shown}.")
            return None
        value = int(scalar.text)
        if not low <= value <= high:
            self.refuse("out_of_range", f"{value} is not between {low} and {high}.")
            return None
        return value

    def number(self) -> Decimal | None:
        """An exact decimal, written as a number or as a string, without needless zeros."""
        scalar = self._scalar("a number")
        if scalar is None:
            return None
        if not NUMBER.match(scalar.text) or len(scalar.text) > 80:
            self.refuse("wrong_type", f"Expected a number, not {self.shown}.")
            return None
        value = plain(Decimal(scalar.text))
        exponent = value.as_tuple().exponent
        decimals = -exponent if isinstance(exponent, int) and exponent < 0 else 0
        if value and (value.adjusted() >= MAX_DIGITS or len(value.as_tuple().digits) > MAX_DIGITS):
            self.refuse("out_of_range", f"{scalar.text} has more than {MAX_DIGITS} digits.")
            return None
        if decimals > MAX_DECIMALS:
            self.refuse("out_of_range", f"{scalar.text} has more than {MAX_DECIMALS} decimals.")
            return None
        return value

    def day(self) -> date | None:
        scalar = self._scalar("a date like 2026-01-31")
        if scalar is None:
            return None
        try:
            if DAY.match(scalar.text):
                return date.fromisoformat(scalar.text)
        except ValueError:
            pass
        self.refuse("wrong_type", f"Expected a date like 2026-01-31, not {self.shown}.")
        return None

    def label(self) -> Label | None:
        """A name in both languages; one text serves for both, a missing language for the other."""
        if isinstance(self.raw, Scalar):
            text = self.text(longest=MAX_LABEL)
            return None if text is None else Label(en=text, zh_hans=text)
        names = self.fields(("en", "zh-hans"))
        if names is None:
            return None
        texts = {language: place.text(longest=MAX_LABEL) for language, place in names.items()}
        if not texts:
            self.refuse("missing_key", 'A label needs "en" or "zh-hans".')
            return None
        english, chinese = texts.get("en"), texts.get("zh-hans")
        if None in texts.values():
            return None
        return Label(en=english or chinese or "", zh_hans=chinese or english or "")


def plain(value: Decimal) -> Decimal:
    """The same number with the fewest digits: 2000.00 and 2E+3 are 2000, -0 is 0."""
    if not value:
        return Decimal(0)
    normalised = value.normalize() if len(value.as_tuple().digits) <= 28 else value
    exponent = normalised.as_tuple().exponent
    if isinstance(exponent, int) and 0 < exponent <= MAX_DIGITS:
        return normalised.quantize(Decimal(1))
    return normalised
