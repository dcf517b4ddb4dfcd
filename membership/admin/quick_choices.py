"""Selections that people ask a list for every day, as links above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

_POSITION = "after"  # where a page starts: another selection starts at its beginning


@dataclass(frozen=True, slots=True)
class QuickChoice:
    """A selection; choosing the one that is on switches it off."""

    words: Any
    address: str
    is_on: bool


def quick_choices(
    request: HttpRequest, ways: Iterable[tuple[Any, Mapping[str, str]]]
) -> Sequence[QuickChoice]:
    """Each way (its words and parameters) on top of the other filters; one of them at a time."""
    ways = list(ways)
    ours = {name for _words, parameters in ways for name in parameters} | {_POSITION}
    kept = {
        name: values for name, values in request.GET.lists() if name not in ours and any(values)
    }
    given = {name: request.GET.get(name, "") for name in ours - {_POSITION}}
    chosen = {name: value for name, value in given.items() if value}
    found = []
    for words, parameters in ways:
        is_on = chosen == dict(parameters)
        query = urlencode(kept if is_on else {**kept, **parameters}, doseq=True)
        found.append(QuickChoice(words, f"?{query}", is_on))
    return found
