"""What can be exported: sources of rows, each known by a name. Who gets them is `exporting.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from segmentation.domain.errors import NotFoundError

from .spreadsheets import Cell, Row


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A column: its stable name, its title, and whether it needs the right to personal data."""

    name: str
    title: Any
    is_personal: bool = False


@dataclass(frozen=True, slots=True)
class ExportScope:
    """What was asked for and who asked, with the rights of now. `now` is the real clock's."""

    parameters: Mapping[str, Any]
    user: User
    now: datetime
    zone: ZoneInfo


class ExportSource:
    """Where rows come from. Subclasses are registered once, by `register_source`.

    `permissions` are the rights to see the rows at all; `rows` must be a stream in constant memory,
    keep to the row scope of `scope.user` and give one cell for each of `columns`.
    """

    name: str
    title: Any
    permissions: tuple[str, ...]
    # The log of looks: who may read it may take it along, without the right to export lists.
    is_evidence = False

    def parameters_of(self, query: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
        """The parameters that an address names in its query string."""
        return {name: values[-1] for name, values in query.items() if values}

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        raise NotImplementedError

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        raise NotImplementedError

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        """The parameters the job keeps: complete, checked, the run named.

        Raises NotFoundError for something this person may not know of, TierwiseError for what
        makes no sense."""
        return scope.parameters

    def is_hidden(self, parameters: Mapping[str, Any]) -> bool:
        """Whether only people who may see hidden segments may have it, or know of it. Of now."""
        return False

    def subject(self, parameters: Mapping[str, Any]) -> str:
        """What the access log calls it, as `kind:key`."""
        return f"rows:{self.name}"

    def subjects(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """Whatever an export is a look at, each written down; more than one where it tells of
        several hidden things."""
        return [self.subject(parameters)]

    def about(self, scope: ExportScope) -> str:
        """What the rows are, in the person's language: a segment's name, a filter in words."""
        return ""

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        """Lines above the rows: as-of, interval and whatever the figures depend on."""
        return ()

    def size(self, scope: ExportScope) -> int | None:
        """How many rows there will be, where that costs nothing."""
        return None


_SOURCES: dict[str, ExportSource] = {}


def register_source(source: type[ExportSource]) -> type[ExportSource]:
    """Class decorator: make the source known by its name."""
    if source.name in _SOURCES:
        raise ValueError(f"two export sources are called {source.name}")
    _SOURCES[source.name] = source()
    return source


def export_source(name: str) -> ExportSource:
    """The source of that name. Raises NotFoundError."""
    found = _SOURCES.get(name)
    if found is None:
        raise NotFoundError(_("There is no such export."))
    return found


def export_sources() -> Mapping[str, ExportSource]:
    """All sources by name."""
    return dict(_SOURCES)
