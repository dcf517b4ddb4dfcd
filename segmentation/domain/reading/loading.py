"""Text to untyped document: YAML or JSON, without tags, merge keys or anything that runs.

Aliases are allowed and expanded, within a bound on the size of the whole. A key written twice is
a problem at its place; the first one is read on, so that all problems come at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

from ..errors import Problem
from .place import Place, Raw, Report, Scalar, pointer

MAX_NODES = 200_000
MAX_DEPTH = 64
MAX_CHARACTERS = 10_000_000

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"
_MAPPING_TAG = "tag:yaml.org,2002:map"
_SEQUENCE_TAG = "tag:yaml.org,2002:seq"
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}


class _Unreadable(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class _Pairs(list[tuple[str, "_Parsed"]]):
    """A mapping as written, repeated keys included."""


_Parsed: TypeAlias = "Scalar | list[_Parsed] | _Pairs"


def load_text(text: str, report: Report, *, name: str = "") -> Place | None:
    """The document's root, or None after reporting why it can't be read.

    Text that starts like JSON is read as JSON (a file named .json always is), else as YAML.
    Codes: `syntax`, `unsafe_yaml`, `too_large`, `too_deep`, `duplicate_key`.
    """
    try:
        if len(text) > MAX_CHARACTERS:
            raise _Unreadable("too_large", f"Longer than {MAX_CHARACTERS} characters.")
        parsed = _parse(text.removeprefix("\ufeff"), name)
    except _Unreadable as error:
        report.problems.append(Problem("", error.code, error.message))
        return None
    count = [0]
    try:
        raw = _without_repeats(parsed, "", report, count, 0)
    except _Unreadable as error:
        report.problems.append(Problem("", error.code, error.message))
        return None
    return Place(raw, "", report)


def load_value(value: Any, report: Report) -> Place:
    """The root of a document that is Python data already (stored JSON, a form, a request)."""
    return Place(_from_value(value, 0), "", report)


def _from_value(value: Any, depth: int) -> Raw:
    if depth > MAX_DEPTH:
        return Scalar("", is_quoted=True)
    if isinstance(value, Mapping):
        return {str(key): _from_value(child, depth + 1) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_from_value(child, depth + 1) for child in value]
    if value is None:
        return Scalar("null")
    if isinstance(value, bool):
        return Scalar("true" if value else "false")
    if isinstance(value, int | float | Decimal):
        return Scalar(str(value))
    if isinstance(value, date):
        return Scalar(value.isoformat(), is_quoted=True)
    return Scalar(str(value), is_quoted=True)


def _parse(text: str, name: str) -> _Parsed:
    is_json = name.lower().endswith(".json")
    if is_json or text.lstrip()[:1] in ("{", "["):
        try:
            return _parse_json(text)
        except json.JSONDecodeError as error:
            if is_json:
                place = f"line {error.lineno}, column {error.colno}"
                raise _Unreadable("syntax", f"Not JSON: {error.msg} at {place}.") from None
    return _parse_yaml(text)


def _parse_json(text: str) -> _Parsed:
    def refuse_constant(constant: str) -> Any:
        raise json.JSONDecodeError(f"{constant} is no number", text, 0)

    def typed(value: Any) -> _Parsed:
        if isinstance(value, _Pairs | Scalar):
            return value
        if isinstance(value, list):
            return [typed(child) for child in value]
        if value is None:
            return Scalar("null")
        if isinstance(value, bool):
            return Scalar("true" if value else "false")
        return Scalar(value, is_quoted=True)

    try:
        document = json.loads(
            text,
            object_pairs_hook=lambda pairs: _Pairs((key, typed(child)) for key, child in pairs),
            parse_int=Scalar,
            parse_float=Scalar,
            parse_constant=refuse_constant,
        )
        return typed(document)
    except RecursionError:
        raise _Unreadable("too_deep", f"Nested deeper than {MAX_DEPTH} levels.") from None


def _parse_yaml(text: str) -> _Parsed:
    """Built from parse events with an own stack: no recursion, no constructors, no resolvers."""
    try:
        return _build(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _Unreadable("syntax", f"Not YAML: {error.problem or error.context}{place}.") from None
    except yaml.YAMLError as error:
        raise _Unreadable("syntax", f"Not YAML: {' '.join(str(error).split())}.") from None


@dataclass(slots=True)
class _Frame:
    """A list or mapping being filled; in a mapping keys and values come in turn."""

    value: list[_Parsed] | _Pairs
    anchor: str | None
    key: str | None = None

    def put(self, child: _Parsed) -> None:
        if not isinstance(self.value, _Pairs):
            self.value.append(child)
        elif self.key is not None:
            self.value.append((self.key, child))
            self.key = None
        elif isinstance(child, Scalar):
            self.key = child.text
        else:
            raise _Unreadable("wrong_type", "A key of a mapping is a list or a mapping.")


def _build(events: Iterator[Any]) -> _Parsed:
    top = _Frame([], None)
    stack = [top]
    anchors: dict[str, _Parsed] = {}  # finished ones only: no value can contain itself
    documents = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Unreadable("syntax", "More than one YAML document in one file.")
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _Unreadable("unsafe_yaml", f'Alias "*{event.anchor}" has no finished anchor.')
            stack[-1].put(anchors[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            scalar = _scalar(event)
            if event.anchor:
                anchors[event.anchor] = scalar
            stack[-1].put(scalar)
        elif isinstance(event, yaml.CollectionStartEvent):
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", _MAPPING_TAG if is_mapping else _SEQUENCE_TAG):
                raise _Unreadable("unsafe_yaml", f"The YAML tag {event.tag} is not allowed.")
            if len(stack) > MAX_DEPTH:
                raise _Unreadable("too_deep", f"Nested deeper than {MAX_DEPTH} levels.")
            stack.append(_Frame(_Pairs() if is_mapping else [], event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = stack.pop()
            if frame.anchor:
                anchors[frame.anchor] = frame.value
            stack[-1].put(frame.value)
    finished = top.value
    return finished[0] if finished and not isinstance(finished, _Pairs) else Scalar("")


def _scalar(event: Any) -> Scalar:
    """A plain scalar may be a number, boolean or null; any quoting or block style makes it text."""
    if event.tag in (None, "!"):
        return Scalar(event.value, is_quoted=not event.implicit[0])
    if event.tag == _TEXT_TAG:
        return Scalar(event.value, is_quoted=True)
    if event.tag in _PLAIN_TAGS:
        return Scalar(event.value)
    raise _Unreadable("unsafe_yaml", f"The YAML tag {event.tag} is not allowed.")


def _without_repeats(
    parsed: _Parsed, path: str, report: Report, count: list[int], depth: int
) -> Raw:
    """The document as dicts and lists; counts what aliases expand to."""
    count[0] += 1
    if count[0] > MAX_NODES:
        raise _Unreadable("too_large", f"More than {MAX_NODES} values, aliases expanded.")
    if depth > MAX_DEPTH:
        raise _Unreadable("too_deep", f"Nested deeper than {MAX_DEPTH} levels.")
    if isinstance(parsed, Scalar):
        _check_characters(parsed.text)
        return parsed
    if isinstance(parsed, _Pairs):
        mapping: dict[str, Raw] = {}
        for key, child in parsed:
            _check_characters(key)
            where = pointer(path, key)
            raw = _without_repeats(child, where, report, count, depth + 1)
            if key in mapping:
                report.problems.append(
                    Problem(where, "duplicate_key", f'"{key}" is written twice; keep one.')
                )
            else:
                mapping[key] = raw
        return mapping
    return [
        _without_repeats(child, pointer(path, position), report, count, depth + 1)
        for position, child in enumerate(parsed)
    ]


def _check_characters(text: str) -> None:
    """An escape can spell half a character, which can be neither stored nor printed."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _Unreadable("syntax", "An escape like \\ud800 without its second half.")
