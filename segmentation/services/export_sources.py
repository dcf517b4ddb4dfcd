"""Exports of lists as the admin shows them: customers, orders, runs. The list's filter is passed,
its rows never are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import F, Model, Q, QuerySet, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import TierwiseError
from segmentation.domain.values import currency_decimals
from segmentation.domain.windows import local_midnight
from segmentation.models import Customer, Order, Run
from segmentation.permissions import of_visible_customers, row_scope
from segmentation.queries import newest_published_run
from segmentation.queries.customers import find_customers

from .export_basis import (
    CUSTOMER_COLUMNS,
    CUSTOMER_FIELDS,
    exported_customers,
    run_lines,
)
from .exporting import ExportColumn, ExportScope, ExportSource, register_source
from .list_filters import SEARCH, ListFilters, Narrow, Query
from .spreadsheets import Cell, Row

_PORTION = 2000


class ListSource(ExportSource):
    """A list with its filter. Parameters: `query`, the list's query string as name -> values."""

    model: ClassVar[type[Model]]
    filters: ClassVar[ListFilters]

    def base(self, scope: ExportScope) -> QuerySet[Any]:
        """All rows this person may see, in the order of the file."""
        raise NotImplementedError

    def selected(self, scope: ExportScope) -> QuerySet[Any]:
        """The rows the list shows with this filter and search."""
        return self.filters.apply(self.base(scope), self.query(scope))

    def query(self, scope: ExportScope) -> Query:
        found: Query = scope.parameters.get("query") or {}
        return found

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        self.selected(scope)  # refuses what it can't follow, now and not in the job
        return self.parameters_of(self.query(scope))

    def about(self, scope: ExportScope) -> str:
        return self.filters.words(self.query(scope), model=self.model) or _("everything")

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        return [(_("Recorded up to"), scope.now)]

    def parameters_of(self, query: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
        return {"query": {name: list(values) for name, values in query.items()}}


def _customer_search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    return find_customers(rows, term=term)


def _objects(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(objection__isnull=False) if value == "yes" else rows


def _day(text: str, *, later: int = 0) -> datetime:
    """The start of a local day, or of the one `later` days after it."""
    day = date.fromisoformat(text) + timedelta(days=later)
    return local_midnight(day, ZoneInfo(settings.TIME_ZONE))


def day_filters(time: str, *, name: str = "day") -> Mapping[str, Narrow]:
    """`day_from` and `day_to`: the first and the last of some local days, both included."""
    return {
        f"{name}_from": lambda rows, text: rows.filter(**{f"{time}__gte": _day(text)}),
        f"{name}_to": lambda rows, text: rows.filter(**{f"{time}__lt": _day(text, later=1)}),
    }


def _order_search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    customer = Subquery(Customer.objects.filter(external_id=term.strip()).values("pk")[:1])
    return rows.filter(Q(external_id=term.strip()) | Q(customer_id=customer))


@register_source
class Customers(ListSource):
    name = "customers"
    title = gettext_lazy("Customers")
    permissions = ("segmentation.view_customer",)
    model = Customer
    filters = ListFilters(
        choices=frozenset(
            {"city", "region", "channel", "home_store", "gender", "is_staff", "is_stub",
             "consent_marketing"}
        ),
        ranges=frozenset({"registered_at", "birth_date"}),
        named={SEARCH: _customer_search, "objects": _objects},
    )  # fmt: skip

    def base(self, scope: ExportScope) -> QuerySet[Customer]:
        return exported_customers(scope).order_by("external_id")

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (*CUSTOMER_COLUMNS, ExportColumn("is_stub", _("Known by ID only")))

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        found = self.selected(scope).values_list(*CUSTOMER_FIELDS, "is_stub")
        return iter(found.iterator(_PORTION))


_ORDER = (
    ("external_id", gettext_lazy("Order ID")),
    ("customer_external_id", gettext_lazy("Customer ID")),
    ("placed_at", gettext_lazy("Placed at")),
    ("paid_at", gettext_lazy("Paid at")),
    ("completed_at", gettext_lazy("Completed at")),
    ("status", gettext_lazy("Status")),
    ("amount", gettext_lazy("Amount")),
    ("discount", gettext_lazy("Discount")),
    ("goods_amount", gettext_lazy("Goods amount")),
    ("shipping_amount", gettext_lazy("Shipping amount")),
    ("channel", gettext_lazy("Channel")),
    ("store_id", gettext_lazy("Store")),
    ("staff_id", gettext_lazy("Sales assistant")),
    ("is_promotion", gettext_lazy("Promotion order")),
)


@register_source
class Orders(ListSource):
    name = "orders"
    title = gettext_lazy("Orders")
    permissions = ("segmentation.view_order",)
    model = Order
    filters = ListFilters(
        choices=frozenset({"status", "channel", "store_id", "is_promotion", "currency"}),
        ranges=frozenset({"placed_at", "paid_at", "completed_at", "amount"}),
        named={SEARCH: _order_search, **day_filters("placed_at")},
    )

    def base(self, scope: ExportScope) -> QuerySet[Order]:
        mine = of_visible_customers(Order.objects.all(), user=scope.user)
        return mine.filter(customer__erased_at=None).order_by("pk")

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return tuple(ExportColumn(name, title) for name, title in _ORDER)

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        return [*super().heading(scope), (_("Currency"), settings.BASE_CURRENCY)]

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        names = [name for name, _title in _ORDER]
        words = {value: str(label) for value, label in Order.Status.choices}
        status = names.index("status")
        found = self.selected(scope).annotate(customer_external_id=F("customer__external_id"))
        step = Decimal(1).scaleb(-currency_decimals(settings.BASE_CURRENCY))
        for row in found.values_list(*names).iterator(_PORTION):
            cells = [
                cell.quantize(step, ROUND_HALF_UP) if isinstance(cell, Decimal) else cell
                for cell in row
            ]
            cells[status] = words.get(row[status], row[status])
            yield cells


_RUN = (
    ("id", gettext_lazy("Run")),
    ("as_of", gettext_lazy("As of")),
    ("status", gettext_lazy("Status")),
    ("requested_by", gettext_lazy("Requested by")),
    ("requested_at", gettext_lazy("Requested at")),
    ("started_at", gettext_lazy("Started at")),
    ("finished_at", gettext_lazy("Finished at")),
    ("customers", gettext_lazy("Number of customers")),
    ("watermark", gettext_lazy("Facts up to generation")),
    ("recorded_hash", gettext_lazy("Result hash")),
    ("parity_checked", gettext_lazy("Checked by the oracle")),
)


@register_source
class Runs(ListSource):
    """Runs without their logs and errors, which may name what not everybody may know."""

    name = "runs"
    title = gettext_lazy("Runs")
    permissions = ("segmentation.view_run",)
    model = Run
    filters = ListFilters(choices=frozenset({"status"}), ranges=frozenset({"as_of"}))

    def base(self, scope: ExportScope) -> QuerySet[Run]:
        if row_scope(scope.user) is not None:  # a run counts the customers of all stores
            raise TierwiseError(_("You may not export this."), code="forbidden")
        return Run.objects.order_by("pk")

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return tuple(ExportColumn(name, title) for name, title in _RUN)

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        newest = newest_published_run()
        return [*super().heading(scope), *(run_lines(newest) if newest else ())]

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        names = [name for name, _title in _RUN]
        words = {value: str(label) for value, label in Run.Status.choices}
        status = names.index("status")
        for row in self.selected(scope).values_list(*names).iterator(_PORTION):
            yield (*row[:status], words.get(row[status], row[status]), *row[status + 1 :])
