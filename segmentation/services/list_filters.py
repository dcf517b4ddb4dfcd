"""The filter of a list on a screen, applied again by work that runs later.

"Select all" of a list with a million rows passes its filter and search, never the rows. What comes
here is the list's query string, so nothing in it is trusted: only declared filters are applied, and
an unknown one refuses the whole request instead of selecting more than the person saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldDoesNotExist, FieldError, ValidationError
from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import Problem, TierwiseError

from .wording import listed

SEARCH = "q"
_NOT_FILTERS = frozenset({"o", "p", "all", "after"})  # order and position of a page
_RANGE = ("gt", "gte", "lt", "lte")
_CHOICE = ("exact", "in", "isnull")
_SIGNS = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤"}

_NAMED = {
    SEARCH: gettext_lazy("search"),
    "day_from": gettext_lazy("first day"),
    "day_to": gettext_lazy("last day"),
    "until_from": gettext_lazy("until, first day"),
    "until_to": gettext_lazy("until, last day"),
    "program": gettext_lazy("program"),
    "objects": gettext_lazy("objects to personalised decisions"),
}

Query = Mapping[str, Sequence[str]]
Narrow = Callable[[QuerySet[Any], str], QuerySet[Any]]


@dataclass(frozen=True)
class ListFilters:
    """Which filters a list has: columns by value, columns by range, and those with a meaning of
    their own by name (`q` is the search)."""

    choices: frozenset[str] = frozenset()
    ranges: frozenset[str] = frozenset()
    named: Mapping[str, Narrow] = field(default_factory=dict)

    def apply(self, rows: QuerySet[Any], query: Query) -> QuerySet[Any]:
        """The rows the list would show. Errors: `unknown_filter`, `bad_filter`, all at once."""
        problems: list[Problem] = []
        for name, values in sorted(query.items()):
            texts = [value for value in values if value != ""]
            if _is_no_filter(name) or not texts:
                continue
            try:
                rows = self._narrow(rows, name, texts)
                _check(rows)
            except LookupError:
                message = _("An export cannot follow the filter %(name)s.") % {"name": name}
                problems.append(Problem(f"/query/{name}", "unknown_filter", message))
            except (ValueError, OverflowError, ValidationError, FieldError, TypeError):
                message = _("The filter %(name)s has a value that is none.") % {"name": name}
                problems.append(Problem(f"/query/{name}", "bad_filter", message))
        if problems:
            text = _("This selection cannot be exported.")
            raise TierwiseError(text, code=problems[0].code, problems=tuple(problems))
        return rows

    def words(self, query: Query, *, model: type[Model]) -> str:
        """The filter for a person to read: columns by their names, values as they are."""
        parts = []
        for name, values in sorted(query.items()):
            texts = [value for value in values if value != ""]
            if _is_no_filter(name) or not texts:
                continue
            column, lookup = _split(name)
            title = str(_NAMED[name]) if name in _NAMED else _column_title(model, column)
            shown = listed(_choice_words(model, column, text) for text in texts)
            parts.append(f"{title} {_SIGNS.get(lookup, '=')} {shown}")
        return _("; ").join(parts)

    def _narrow(self, rows: QuerySet[Any], name: str, texts: list[str]) -> QuerySet[Any]:
        if name in self.named:
            for text in texts:
                rows = self.named[name](rows, text)
            return rows
        column, lookup = _split(name)
        allowed = (column in self.choices and lookup in _CHOICE) or (
            column in self.ranges and lookup in (*_RANGE, *_CHOICE)
        )
        if not allowed:
            raise LookupError(name)
        wanted = Q()
        for text in texts:
            wanted |= Q(**{f"{column}__{lookup}": _value(lookup, text)})
        return rows.filter(wanted)


def _split(name: str) -> tuple[str, str]:
    column, _sign, lookup = name.rpartition("__")
    return (column, lookup) if column and lookup in (*_RANGE, *_CHOICE) else (name, "exact")


def _is_no_filter(name: str) -> bool:
    return name in _NOT_FILTERS or name.startswith("_")


def _choice_words(model: type[Model], column: str, text: str) -> str:
    try:
        choices = dict(getattr(model._meta.get_field(column), "flatchoices", ()))
    except FieldDoesNotExist:
        choices = {}
    return str(choices.get(text, text))


def _column_title(model: type[Model], column: str) -> str:
    try:
        return str(getattr(model._meta.get_field(column), "verbose_name", column))
    except FieldDoesNotExist:
        return column


def _value(lookup: str, text: str) -> Any:
    if lookup == "in":
        return text.split(",")
    if lookup == "isnull":
        return text.lower() not in ("0", "false")
    return text


def _check(rows: QuerySet[Any]) -> None:
    """Compile it: a value that is no date or number shows here and not in the job."""
    try:
        rows.query.sql_with_params()
    except EmptyResultSet:
        return
