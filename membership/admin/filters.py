"""Filters of the lists of memberships and transitions.

Their parameters are the ones exports follow (membership/services/export_sources.py): what a list
shows is what its export holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from membership.models import Program, Transition
from segmentation.admin import shown
from segmentation.admin.timed import DayRangeFilter
from segmentation.domain.row_numbers import row_number
from segmentation.services.wording import named

from .wording import tier_names

if TYPE_CHECKING:
    DropdownFilter = admin.SimpleListFilter
else:
    from unfold.contrib.filters.admin import DropdownFilter


def of_program(rows: QuerySet[Any], program: str) -> QuerySet[Any]:
    """Rows of the program with this key, or, as older addresses have it, this number."""
    if program.isdecimal():
        number = row_number(program)
        return rows.none() if number is None else rows.filter(program_id=number)
    # Its number first: the database then knows that it is one, and its index.
    number = Program.objects.filter(key=program).values_list("pk", flat=True).first()
    return rows.filter(program_id=number) if number else rows.none()


class ProgramFilter(DropdownFilter):
    """Filters by program, with its name in the language of the request."""

    title = _("program")
    parameter_name = "program"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(row.key, shown.label(row)) for row in Program.objects.defer("document")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        program = self.value()
        return of_program(queryset, program) if program else queryset


class TierFilter(DropdownFilter):
    """Filters by a tier's key; programs may share one, then its names stand beside each other."""

    title = _("tier")
    parameter_name = "tier"
    column = "tier"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        program = request.GET.get("program", "")
        names: dict[str, list[str]] = {}
        several = len({key for key, _tier in tier_names()}) > 1 and not program
        for (key, tier), (program_name, tier_name) in tier_names().items():
            if program and not program.isdecimal() and key != program:
                continue
            words = named(program_name, tier_name) if several else tier_name
            if words not in names.setdefault(tier, []):
                names[tier].append(words)
        return [(tier, " / ".join(words)) for tier, words in names.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        tier = self.value()
        return queryset.filter(**{self.column: tier}) if tier else queryset


class ToTierFilter(TierFilter):
    title = _("to tier")
    parameter_name = column = "to_tier"


class FromTierFilter(TierFilter):
    title = _("from tier")
    parameter_name = column = "from_tier"


CAME = "entry,upgrade"
WENT = "downgrade,exit"


class KindFilter(DropdownFilter):
    """Filters by what was decided, one kind or those that lead up or down."""

    title = _("decision")
    parameter_name = "kind__in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        both = [(CAME, _("Entry or upgrade")), (WENT, _("Downgrade or exit"))]
        return [*both, *Transition.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kinds = (self.value() or "").split(",")
        return queryset.filter(kind__in=kinds) if kinds != [""] else queryset


class GraceFilter(DropdownFilter):
    """Members whose term is over and whose tier is still kept."""

    title = _("grace period")
    parameter_name = "grace_until__isnull"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("False", _("In grace")), ("True", _("Not in grace"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("False", "True"):
            return queryset
        return queryset.filter(grace_until__isnull=self.value() == "True")


class UntilFilter(DayRangeFilter):
    """The days on which terms end."""

    parameter_name = "until"
