"""What differs between two documents, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.domain.reading import pointer


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One place that differs: its JSON pointer, and what stood and stands there (None: nothing)."""

    path: str
    before: Any
    after: Any


def field_changes(before: Any, after: Any, *, path: str = "") -> tuple[FieldChange, ...]:
    """The deepest places where two documents differ; () exactly when they are equal.

    Lists are compared position by position, so an item put in front shows as changes behind it.
    """
    return tuple(_differences(before, after, path))


def _differences(before: Any, after: Any, path: str) -> Iterator[FieldChange]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(before.get(name), after.get(name), pointer(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        for position in range(max(len(before), len(after))):
            old = before[position] if position < len(before) else None
            new = after[position] if position < len(after) else None
            yield from _differences(old, new, pointer(path, position))
    elif type(before) is not type(after) or before != after:
        yield FieldChange(path, before, after)
