"""Exports of what we promise: members of a tier, and who moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import CharField, F, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.models import Membership, Program, Tier, Transition
from segmentation.domain.errors import NotFoundError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Customer, living
from segmentation.permissions import of_visible_customers
from segmentation.queries import newest_published_run
from segmentation.queries.customers import find_customers
from segmentation.services.export_basis import (
    CUSTOMER_COLUMNS,
    CUSTOMER_FIELDS,
    label_column,
    run_lines,
)
from segmentation.services.export_sources import ListSource, day_filters
from segmentation.services.exporting import ExportColumn, ExportScope, register_source
from segmentation.services.list_filters import SEARCH, ListFilters
from segmentation.services.spreadsheets import Cell, Row

from .reason_words import reason_words

_PORTION = 2000
_VIEW_CUSTOMER = "segmentation.view_customer"


def _customer_search(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    found = find_customers(Customer.objects.filter(living()), term=term)
    return rows.filter(customer__in=found.values("pk"))


def _of_program(rows: QuerySet[Any], key: str) -> QuerySet[Any]:
    """By the row's number, as lists filter, or by the program's key, as pages link."""
    if not key.isdecimal():
        return rows.filter(program__key=key)
    number = row_number(key)
    return rows.none() if number is None else rows.filter(program_id=number)


def _tier_label(column: str) -> Subquery:
    tiers = Tier.objects.filter(
        version__program=OuterRef("program_id"), key=OuterRef(column)
    ).order_by("-version__number")
    return Subquery(tiers.values(label_column())[:1], output_field=CharField())


@register_source
class Memberships(ListSource):
    """Members of all programs, of one program or of one tier, as they are now."""

    name = "memberships"
    title = gettext_lazy("Members of tiers")
    permissions = ("membership.view_membership", _VIEW_CUSTOMER)
    model = Membership
    filters = ListFilters(
        choices=frozenset({"tier"}),
        ranges=frozenset({"since", "until", "grace_until"}),
        named={
            SEARCH: _customer_search,
            "program": _of_program,
            **day_filters("until", name="until"),
        },
    )

    def base(self, scope: ExportScope) -> QuerySet[Membership]:
        mine = of_visible_customers(Membership.objects.all(), user=scope.user)
        return mine.filter(customer__erased_at=None).order_by("pk")

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        _require_program(self, scope)
        return super().pinned(scope)

    def subject(self, parameters: Mapping[str, Any]) -> str:
        query = parameters.get("query") or {}
        program, tier = (next(iter(query.get(name) or ()), "") for name in ("program", "tier"))
        return f"tier:{program}/{tier}" if program and tier else "rows:memberships"

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        newest = newest_published_run()
        return [*super().heading(scope), *(run_lines(newest) if newest else ())]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (
            *CUSTOMER_COLUMNS,
            ExportColumn("program", _("Program")),
            ExportColumn("tier", _("Tier")),
            ExportColumn("since", _("Since")),
            ExportColumn("until", _("Until")),
            ExportColumn("grace_until", _("Grace until")),
        )

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        found = self.selected(scope).annotate(
            program_name=F(f"program__{label_column()}"), tier_name=_tier_label("tier")
        )
        names = [f"customer__{name}" for name in CUSTOMER_FIELDS]
        names += ["program_name", "tier", "tier_name", "since", "until", "grace_until"]
        for row in found.values_list(*names).iterator(_PORTION):
            *customer, program, tier, tier_name, since, until, grace_until = row
            yield (*customer, program, tier_name or tier, since, until, grace_until)


@register_source
class Transitions(ListSource):
    name = "transitions"
    title = gettext_lazy("Transitions")
    permissions = ("membership.view_transition",)
    model = Transition
    filters = ListFilters(
        choices=frozenset({"kind", "from_tier", "to_tier", "run"}),
        ranges=frozenset({"at"}),
        named={SEARCH: _customer_search, "program": _of_program, **day_filters("at")},
    )

    def base(self, scope: ExportScope) -> QuerySet[Transition]:
        mine = of_visible_customers(Transition.objects.all(), user=scope.user)
        return mine.filter(customer__erased_at=None).order_by("pk")

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        _require_program(self, scope)
        return super().pinned(scope)

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        newest = newest_published_run()
        return [*super().heading(scope), *(run_lines(newest) if newest else ())]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (
            ExportColumn("at", _("As of")),
            ExportColumn("run", _("Run")),
            ExportColumn("customer_id", _("Customer ID")),
            ExportColumn("program", _("Program")),
            ExportColumn("version", _("Version")),
            ExportColumn("kind", _("Decision")),
            ExportColumn("from_tier", _("From tier")),
            ExportColumn("to_tier", _("To tier")),
            ExportColumn("since", _("Since")),
            ExportColumn("until", _("Until")),
            ExportColumn("grace_until", _("Grace until")),
            ExportColumn("reasons", _("Reasons")),
            ExportColumn("values", _("Values that decided")),
        )

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        found = self.selected(scope).annotate(
            program_name=F(f"program__{label_column()}"),
            from_name=_tier_label("from_tier"),
            to_name=_tier_label("to_tier"),
        )
        kinds = {value: str(label) for value, label in Transition.Kind.choices}
        names = (
            "at", "run_id", "customer__external_id", "program_name", "version__number", "kind",
            "from_tier", "from_name", "to_tier", "to_name", "since", "until", "grace_until",
            "reasons", "values",
        )  # fmt: skip
        for row in found.values_list(*names).iterator(_PORTION):
            at, run, customer, program, version, kind, *rest = row
            from_tier, from_name, to_tier, to_name, since, until, grace, reasons, values = rest
            yield (
                at, run, customer, program, version, kinds.get(kind, kind),
                from_name or from_tier, to_name or to_tier, since, until, grace,
                reason_words(reasons), _values_words(values),
            )  # fmt: skip


def _require_program(source: ListSource, scope: ExportScope) -> None:
    for program in source.query(scope).get("program", ()):
        is_number = row_number(program) is not None
        if program and not is_number and not Program.objects.filter(key=program).exists():
            raise NotFoundError(_("There is no such program."))


def _values_words(values: Mapping[str, Any]) -> str:
    pairs = (f"{key}: {value}" for key, value in sorted(values.items()) if value is not None)
    return ", ".join(pairs)
