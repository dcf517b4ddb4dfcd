"""Saying at the desk that two ids are one person: both side by side, what moves, why; and the undo.

Nothing is shown of a customer or a hidden thing that the reader may not know of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from config import clock
from membership.models import Program, Tier
from membership.services.merge_jobs import request_merge, request_undo
from membership.services.merged_places import KeptIn
from membership.services.merging import DryRun, dry_run
from segmentation.admin import shown
from segmentation.admin.looking import looker
from segmentation.domain.errors import TierwiseError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Customer, CustomerMerge, Job
from segmentation.permissions import (
    MERGE_CUSTOMERS,
    visible_customers,
    visible_lists,
    visible_merges,
    visible_segments,
)
from segmentation.services.jobs import new_key

THIS, OTHER = "this", "other"
_SIDES = (
    (THIS, _("This customer's ID stays, the other becomes its alias")),
    (OTHER, _("The other customer's ID stays, this one becomes its alias")),
)


class OtherForm(forms.Form):
    """The other id, and which of the two stays."""

    other = forms.ModelChoiceField(
        label=_("Other customer"), queryset=Customer.objects.none(), to_field_name="pk"
    )
    stays = forms.ChoiceField(
        label=_("Which ID stays"), choices=_SIDES, initial=THIS, widget=UnfoldAdminRadioSelectWidget
    )

    def __init__(self, *args: Any, user: Any, customer: Customer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = cast("forms.ModelChoiceField[Customer]", self.fields["other"])
        relation = CustomerMerge._meta.get_field("merged")
        field.widget = AutocompleteSelect(relation, admin.site)
        field.queryset = visible_customers(user).exclude(pk=customer.pk)


class ReasonForm(forms.Form):
    """Why, and what was shown."""

    reason = forms.CharField(
        label=_("Reason"), max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )
    digest = forms.CharField(widget=forms.HiddenInput, required=False)
    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=100)


def merge_view(customer: Customer, *, request: HttpRequest, context: dict[str, Any]) -> Any:
    """Choose the other one; see both and what moves; confirm with a reason."""
    if not request.user.has_perm(MERGE_CUSTOMERS):
        raise PermissionDenied
    asked = request.GET or None
    chosen = OtherForm(asked, user=request.user, customer=customer)
    context |= {
        "customer": customer,
        "title": gettext("Merge with another customer"),
        "form": chosen,
    }
    if asked is None or not chosen.is_valid():
        return TemplateResponse(request, "admin/customers/merge.html", context)
    pair = (customer, chosen.cleaned_data["other"])
    survivor, merged = pair if chosen.cleaned_data["stays"] == THIS else pair[::-1]
    found = dry_run(survivor, merged)
    posted = request.POST if request.method == "POST" else None
    initial = {"digest": found.digest, "key": new_key()}
    form = ReasonForm(posted, initial=initial)
    if posted is not None and form.is_valid():
        try:
            job = request_merge(
                survivor,
                merged,
                reason=form.cleaned_data["reason"],
                digest=form.cleaned_data["digest"],
                looker=looker(request),
                now=clock.real_now(),
                project_now=clock.now(),
                key=form.cleaned_data["key"] or None,
            )
        except TierwiseError as error:
            messages.error(request, error.message)
            # What is shown below is what is true now, to be confirmed anew.
            form = ReasonForm(initial={**initial, "reason": form.cleaned_data["reason"]})
        else:
            return _asked_for(job, survivor, request=request)
    context |= {"confirm": form, "sides": _sides(found), "lines": _lines(found, request.user)}
    context |= {"survivor": survivor, "merged": merged}
    return TemplateResponse(request, "admin/customers/merge.html", context)


def undo_view(merge: CustomerMerge, *, request: HttpRequest, context: dict[str, Any]) -> Any:
    """Asks for the reason; a job does it."""
    if not request.user.has_perm(MERGE_CUSTOMERS):
        raise PermissionDenied
    form = ReasonForm(request.POST or None, initial={"key": new_key()})
    if request.method == "POST" and form.is_valid():
        try:
            job = request_undo(
                merge,
                reason=form.cleaned_data["reason"],
                looker=looker(request),
                now=clock.real_now(),
                project_now=clock.now(),
                key=form.cleaned_data["key"] or None,
            )
        except TierwiseError as error:
            messages.error(request, error.message)
        else:
            return _asked_for(job, merge.survivor, request=request)
    context |= {"merge": merge, "title": gettext("Undo the merge"), "form": form}
    return TemplateResponse(request, "admin/customers/undo_merge.html", context)


def _asked_for(job: Job, customer: Customer, *, request: HttpRequest) -> HttpResponseRedirect:
    """To the job, or to the customer for who may see no jobs."""
    if request.user.has_perm("segmentation.view_job"):
        return HttpResponseRedirect(reverse("admin:segmentation_job_change", args=[job.pk]))
    messages.success(request, gettext("Asked for; a job does it within a minute."))
    return HttpResponseRedirect(reverse("admin:segmentation_customer_change", args=[customer.pk]))


def merges_panel(customer: Customer, *, user: Any) -> dict[str, Any] | None:
    """Which ids are this customer's too, and the way to merge; None without a right to either."""
    may_merge = user.has_perm(MERGE_CUSTOMERS)
    if not may_merge and not user.has_perm("segmentation.view_customermerge"):
        return None
    rows = visible_merges(user).filter(survivor=customer, undone_at=None).order_by("-pk")
    now = clock.real_now()
    return {
        "may_merge": may_merge,
        "merges": [(row, may_merge and now < row.until) for row in rows.select_related("merged")],
    }


def survivor_of(object_id: str, *, user: Any) -> Customer:
    """Who a merged id is now, for a page that was asked for by the old one. Raises Http404."""
    number = row_number(object_id)
    if number is None:
        raise Http404
    found = visible_customers(user).filter(aliases=number).first()
    if found is None:
        raise Http404
    return found


def _sides(found: DryRun) -> list[tuple[Any, str, str, str]]:
    """Both customers line by line: what, the one who stays, the other, and what will be."""
    survivor, merged, moves = found.survivor, found.merged, found.moves
    lines: list[tuple[Any, str, str, str]] = []
    for name in ("name", "home_store", "city", "channel", "registered_at", "birth_date"):
        own, other = (_text(getattr(each, name)) for each in (survivor, merged))
        lines.append((_title(name), own, other, other if name in moves.filled else own))
    own, other = (_yes_no(each.consent_marketing) for each in (survivor, merged))
    lines.append((_title("consent_marketing"), own, other, _yes_no(moves.consent)))
    programs = {row.pk: shown.label(row) for row in Program.objects.defer("document")}
    held = [each.program for each in found.places]
    labels = {  # of several versions the newest names a tier
        (tier.version.program_id, tier.key): shown.label(tier)
        for tier in Tier.objects.filter(version__program__in=held)
        .select_related("version")
        .defer("version__document")
        .order_by("version__number")
    }
    for place in found.places:
        lines.append((programs.get(place.program, ""), *_tiers(place, labels)))
    return lines


def _title(column: str) -> Any:
    field: Any = Customer._meta.get_field(column)
    return field.verbose_name


def _tiers(place: KeptIn, labels: Mapping[tuple[int, str], str]) -> tuple[str, str, str]:
    def words(held: Any) -> str:
        if held is None:
            return gettext("no tier")
        until = gettext("for good") if held.until is None else shown.instant(held.until)
        return f"{labels.get((place.program, held.tier), held.tier)} · {until}"

    return words(place.survivor), words(place.merged), words(place.kept.place)


def _lines(found: DryRun, user: Any) -> list[tuple[Any, str]]:
    """What moves, in words; of hidden segments and lists only what the reader may know of."""
    moves = found.moves
    segments = {
        row.key: shown.label(row)
        for row in visible_segments(user).filter(key__in=[key for _kind, key in moves.manual])
    }
    lists = visible_lists(user).filter(pk__in=moves.lists)
    names = [_title(name) for name in moves.filled]
    told: list[tuple[Any, Any]] = [
        (_("Orders with their lines and refunds"), shown.count(moves.orders)),
        (_("Events"), shown.count(moves.events)),
        (_("Referrals"), shown.count(moves.referrals)),
        (_("Referrals of one by the other: set aside, they count nowhere"),
         shown.count(moves.set_aside) if moves.set_aside else ""),
        (_("Tags"), ", ".join(moves.tags)),
        (_("Attributes taken over because they are missing"), ", ".join(map(str, names))),
        (_("Places on lists"), ", ".join(shown.label(row) for row in lists)),
        (_("Manual includes"), _manual(moves.manual, "include", segments)),
        (_("Manual excludes"), _manual(moves.manual, "exclude", segments)),
        (_("Objects to personalised decisions"), gettext("yes") if moves.objects else ""),
        (_("IDs merged before"), ", ".join(moves.aliases)),
    ]  # fmt: skip
    return [(title, text) for title, text in told if text]


def _manual(rows: Any, kind: str, segments: dict[str, str]) -> str:
    return ", ".join(segments[key] for each, key in rows if each == kind and key in segments)


def _text(value: Any) -> str:
    if value is None or value == "":
        return shown.EMPTY
    return shown.instant(value) if hasattr(value, "hour") else str(value)


def _yes_no(value: bool | None) -> str:
    return shown.EMPTY if value is None else gettext("yes") if value else gettext("no")
