"""Pages of transitions: who moved to which tier, when and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config import clock
from membership.models import Membership, Transition
from segmentation.admin import shown
from segmentation.admin.base import EMPTY
from segmentation.admin.facts import customer_link
from segmentation.admin.timed import DayRangeFilter, TimedAdmin, TimedChangeList

from . import wording
from .filters import FromTierFilter, KindFilter, ProgramFilter, ToTierFilter
from .links import project_day
from .memberships import MembershipPage, metric_labels, moved_words
from .quick_choices import QuickChoice, quick_choices

_MONTHS = 6


@admin.register(Transition)
class TransitionAdmin(MembershipPage, TimedAdmin):
    """Decisions of runs, newest first; the page of one says why."""

    time: ClassVar[str] = "at"
    export_source = "transitions"
    extra_parameters = frozenset({"day_from", "day_to"})
    list_display = (
        "shown_at", "shown_customer", "shown_program", "shown_kind", "moved", "shown_reasons",
        "shown_values",
    )  # fmt: skip
    list_display_links = ("shown_at",)
    list_filter: ClassVar[Any] = (
        ProgramFilter,
        KindFilter,
        ToTierFilter,
        FromTierFilter,
        DayRangeFilter,
    )
    nothing_yet = _("Nobody has entered, changed or left a tier yet.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.select_related("program", "customer", "version")
        rows = rows.defer("program__document", "version__document").annotate(
            from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier")
        )
        return rows

    def choices(self, request: HttpRequest) -> Sequence[QuickChoice]:
        """This month, the last one, and the months before by their number."""
        month = project_day(clock.now()).replace(day=1)
        ways: list[tuple[Any, dict[str, str]]] = []
        near = (gettext("This month"), gettext("Last month"))
        for back in range(_MONTHS):
            last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
            days = {"day_from": month.isoformat(), "day_to": last.isoformat()}
            ways.append((near[back] if back < len(near) else f"{month:%Y-%m}", days))
            month = (month - timedelta(days=1)).replace(day=1)
        return quick_choices(request, ways)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DecisionChangeList

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        add_words([row])
        membership = Membership.objects.filter(
            program=row.program_id, customer=row.customer_id
        ).values_list("pk", flat=True)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": self.heading(row),
            "heading": self.heading(row),
            "facts": self._facts(row, may_see_runs=request.user.has_perm("segmentation.view_run")),
            "kind": wording.kind_badge(row),
            "moved": moved_words(row),
            "reasons": wording.reason_words(row.reasons),
            "values": row.value_words,
            "membership": membership.first()
            if request.user.has_perm("membership.view_membership")
            else None,
        }
        return TemplateResponse(request, "admin/memberships/transition.html", context)

    def _facts(self, row: Transition, *, may_see_runs: bool) -> list[tuple[Any, Any]]:
        return [
            (_("Customer"), customer_link(row.customer)),
            (_("Program"), shown.label(row.program)),
            (_("As of"), shown.instant(row.at)),
            (_("Since"), self.shown_since(row)),
            (_("Until"), self.shown_until(row)),
            (_("Grace until"), self.shown_grace(row)),
            (
                _("Decided between runs, after run")
                if row.instant_batch_id
                else _("Decided by run"),
                self.shown_run(row) if may_see_runs else row.run_id,
            ),
            (_("Rule version"), row.version.number),
        ]

    @admin.display(description=_("as of"))
    def shown_at(self, row: Transition) -> str:
        return shown.instant(row.at)

    @admin.display(description=_("decision"))
    def shown_kind(self, row: Transition) -> SafeString:
        return wording.kind_badge(row)

    @admin.display(description=_("from → to"))
    def moved(self, row: Any) -> str:
        return moved_words(row)

    @admin.display(description=_("reasons"))
    def shown_reasons(self, row: Transition) -> str:
        return wording.reason_words(row.reasons) or EMPTY

    @admin.display(description=_("values that decided"))
    def shown_values(self, row: Any) -> str:
        return row.value_words or EMPTY


class DecisionChangeList(TimedChangeList):
    """A page of decisions with the values that decided, the names of metrics read once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        add_words(self.result_list)


def add_words(rows: Iterable[Any]) -> None:
    """Give each decision the values that decided it in words, as `value_words`."""
    labels = metric_labels()
    for row in rows:
        row.value_words = wording.values_words(row.values, labels=labels)
