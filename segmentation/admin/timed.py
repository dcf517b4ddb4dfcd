"""Lists of facts in the order in which they happened, with a range of local days.

The order is (time, id), newest first, on an index of the two: a page starts where the last one
ended, and a range of days is a range of the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.contrib.filters.forms import RangeDateForm

from segmentation.domain.windows import local_midnight

from .base import ExactSearchAdmin, KeysetChangeList


class DayRangeFilter(admin.SimpleListFilter):
    """From the first to the last of two local days, both included; either may be left open."""

    title = _("day")
    parameter_name = "day"
    template = RangeDateFilter.template

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        self.request = request
        self.time: str = model_admin.time
        self.title = model._meta.get_field(self.time).verbose_name
        self.days = {name: _last(params.pop(name, "")) for name in self._names}
        super().__init__(request, params, model, model_admin)
        self.used_parameters.update({name: day for name, day in self.days.items() if day})

    def expected_parameters(self) -> list[str | None]:
        return [*self._names]

    @property
    def _names(self) -> tuple[str, str]:
        return (f"{self.parameter_name}_from", f"{self.parameter_name}_to")

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (_day(self.days[name]) for name in self._names)
        zone = ZoneInfo(settings.TIME_ZONE)
        if first is not None:
            queryset = queryset.filter(**{f"{self.time}__gte": local_midnight(first, zone)})
        if last is not None:
            end = local_midnight(last + timedelta(days=1), zone)
            queryset = queryset.filter(**{f"{self.time}__lt": end})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        form = RangeDateForm(name=self.parameter_name, data=self.days)
        yield {"request": self.request, "parameter_name": self.parameter_name, "form": form}


def _last(value: Any) -> str:
    found = value[-1] if isinstance(value, list) else value
    return str(found or "").strip()


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        day = parse_date(text)
    except ValueError as error:
        raise IncorrectLookupParameters(error) from error
    if day is None or not date.min < day < date.max - timedelta(days=2):
        raise IncorrectLookupParameters(text)
    return day


class TimedChangeList(KeysetChangeList):
    """A page after a position of two parts: the time in microseconds and the row's id."""

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        remaining = super().get_filters_params(params)
        # The base class knows positions of one part only: it gets none.
        self.place, self.position = self.position, None
        return remaining

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return [f"-{self.model_admin.time}", "-pk"]  # type: ignore[attr-defined]

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        if not self.place:
            return rows
        time: str = self.model_admin.time  # type: ignore[attr-defined]
        at, pk = _read_position(self.place)
        older = Q(**{f"{time}__lt": at}) | Q(**{time: at}, pk__lt=pk)
        return rows.filter(older, **{f"{time}__lte": at})

    @property
    def next_url(self) -> str | None:
        if not self.has_more:
            return None
        last = self.result_list[len(self.result_list) - 1]
        at = getattr(last, self.model_admin.time)  # type: ignore[attr-defined]
        return self._query(**{self.POSITION: f"{(at - _EPOCH) // _MICROSECOND}_{last.pk}"})

    @property
    def first_url(self) -> str | None:
        return self._query() if self.place else None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _read_position(text: str) -> tuple[datetime, int]:
    try:
        micros, pk = (int(part) for part in text.split("_"))
        return _EPOCH + micros * _MICROSECOND, pk
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters(error) from error


class TimedAdmin(ExactSearchAdmin):
    """A list of facts in the order of `time`, a column with an index (time, id)."""

    time: ClassVar[str]
    list_filter = (DayRangeFilter,)
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TimedChangeList

    def get_ordering(self, request: HttpRequest) -> list[str | Combinable]:
        return [f"-{self.time}", "-pk"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in ("day_from", "day_to") or super().lookup_allowed(lookup, value, request)
