"""A customer's page: who it is, what was promised, the portrait, why, and what happened.

The page itself reads a few rows by index. What needs a run's files, and older happenings, are
parts that the browser fetches after it. Opening the page is written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from config import clock
from membership.models import Membership, Program, ProgramVersion, Transition
from membership.services.customer_page import portrait
from segmentation.admin import shown
from segmentation.admin.customer_timeline import may_see_timeline, timeline_part
from segmentation.admin.customers import CustomerAdmin, contact
from segmentation.admin.looking import looker, typed
from segmentation.models import AccessRecord, Customer
from segmentation.permissions import (
    REVEAL_PERSONAL,
    may_see_hidden,
    visible_ordinals,
    visible_segments,
)
from segmentation.queries import newest_published_run
from segmentation.services.access_log import record_access

from . import wording
from .customer_explain import explain_part, may_explain, subjects_part
from .customer_merge import merge_view, merges_panel, survivor_of
from .customer_portrait import portrait_context, terms_words
from .customer_privacy import privacy_answer, privacy_panel
from .memberships import metric_labels, moved_words
from .programs import tier_table

_TRANSITIONS = 20
_MEMBERSHIPS = "membership.view_membership"
_TRANSITION_ROWS = "membership.view_transition"


@dataclass(frozen=True, slots=True)
class Standing:
    """A program and the customer's place in it; `tier` "" without one."""

    program: str
    label: str
    tier: str
    since: str
    until: str
    grace_until: str


class CustomerPage(CustomerAdmin):
    """The list with the page that knows memberships."""

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            customer = self.visible(request, object_id)
        except Http404:
            survivor = survivor_of(object_id, user=request.user)
            messages.info(
                request,
                gettext("This ID was merged: the customer is %(id)s.")
                % {"id": survivor.external_id},
            )
            address = reverse("admin:segmentation_customer_change", args=[survivor.pk])
            return HttpResponseRedirect(address)
        record_access(
            AccessRecord.Kind.VIEW_CUSTOMER,
            looker=looker(request),
            subject=f"customer:{customer.external_id}",
            now=clock.real_now(),
            rows=1,
        )
        user = request.user
        context = {
            **self.admin_site.each_context(request),
            **contact(customer),
            "opts": self.opts,
            "title": customer.external_id,
            "heading": f"{customer.external_id} {customer.name or ''}".strip(),
            "original": customer,
            "objection": getattr(customer, "objection", None),
            "may_reveal": user.has_perm(REVEAL_PERSONAL) and (customer.phone or customer.email),
            "may_see_batch": user.has_perm("segmentation.view_factbatch"),
            "standings": _standings(customer) if user.has_perm(_MEMBERSHIPS) else None,
            "transitions": _transitions(customer) if user.has_perm(_TRANSITION_ROWS) else None,
            "may_explain": may_explain(user),
            "merges": merges_panel(customer, user=user),
            "privacy": privacy_panel(customer, user=user),
            "timeline": timeline_part(customer, user=user, wanted=(), after="")
            if may_see_timeline(user)
            else None,
        }
        return TemplateResponse(request, "admin/customers/page.html", context)

    def parts(self) -> dict[str, Any]:
        return {
            **super().parts(),
            "portrait": require_GET(self.portrait_view),
            "terms/<slug:program>": require_GET(self.terms_view),
            "subjects": require_GET(self.subjects_view),
            "explain": require_GET(self.explain_view),
            "privacy": require_POST(self.privacy_view),
            "merge": require_http_methods(["GET", "POST"])(self.merge_view),
        }

    def portrait_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The portrait, and out of band the gaps to the next tiers."""
        customer = self.visible(request, pk)
        run = newest_published_run()
        found, only = None, visible_ordinals(request.user)
        if run is not None:
            found = portrait(
                customer,
                run=run,
                visible_segments=dict(
                    visible_segments(request.user).values_list("key", "is_hidden")
                ),
                objects=hasattr(customer, "objection"),
                sees_hidden=may_see_hidden(request.user),
                only=only,
                layering=request.GET.get("layering"),
                zone=ZoneInfo(settings.TIME_ZONE),
                currency=settings.BASE_CURRENCY,
            )
        hidden = [each.key for each in found.segments if each.is_hidden] if found else []
        if hidden:
            record_access(
                AccessRecord.Kind.VIEW_HIDDEN,
                looker=looker(request),
                subject=f"customer:{customer.external_id}",
                now=clock.real_now(),
                is_hidden=True,
                rows=len(hidden),
                details={"segments": hidden},
            )
        context: dict[str, Any] = {
            "customer": customer,
            "has_run": run is not None,
            "is_scoped": only is not None,
        }
        if found is not None:
            context |= portrait_context(found, user=request.user)
        return TemplateResponse(request, "admin/customers/portrait.html", context)

    def terms_view(self, request: HttpRequest, pk: int, program: str) -> HttpResponse:
        """The program's terms in force: how a tier is reached, kept and lost."""
        customer = self.visible(request, pk)
        if not request.user.has_perm("membership.view_programversion"):
            raise PermissionDenied
        row = Program.objects.filter(key=program).first()
        if row is None:
            raise Http404
        today = clock.now().astimezone(ZoneInfo(row.timezone)).date()
        version = (
            ProgramVersion.objects.filter(program=row, effective_from__lte=today)
            .order_by("-number")
            .first()
        )
        context: dict[str, Any] = {"customer": customer, "version": version}
        if version is not None:
            context |= {"terms": terms_words(version), "table": tier_table(version)}
        return TemplateResponse(request, "admin/customers/terms.html", context)

    def subjects_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        context = subjects_part(
            self.visible(request, pk), user=request.user, term=typed(request.GET.get("q"))
        )
        return TemplateResponse(request, "admin/customers/subjects.html", context)

    def explain_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        context = explain_part(
            self.visible(request, pk), request=request, subject=typed(request.GET.get("subject"))
        )
        return TemplateResponse(request, "admin/customers/explain.html", context)

    def merge_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        customer = self.visible(request, pk)
        answer: HttpResponse = merge_view(customer, request=request, context=context)
        return answer

    def privacy_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return privacy_answer(self.visible(request, pk), request=request)


def _standings(customer: Customer) -> list[Standing]:
    """Every living program, and those that ended while the customer still holds a tier."""
    held = {
        row.program_id: row
        for row in Membership.objects.filter(customer=customer).annotate(
            tier_name=wording.tier_label("tier")
        )
    }
    found = []
    for program in Program.objects.defer("document").order_by("key"):
        row: Any = held.get(program.pk)
        if row is None and program.retired_at is not None:
            continue
        found.append(
            Standing(
                program=program.key,
                label=shown.label(program),
                tier="" if row is None else str(row.tier_name or row.tier),
                since="" if row is None else shown.instant(row.since),
                until="" if row is None or row.until is None else shown.instant(row.until),
                grace_until=""
                if row is None or row.grace_until is None
                else shown.instant(row.grace_until),
            )
        )
    return found


def _transitions(customer: Customer) -> list[dict[str, Any]]:
    latest = (
        Transition.objects.filter(customer=customer)
        .select_related("program")
        .defer("program__document")
        .annotate(from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier"))
        .order_by("-pk")[:_TRANSITIONS]
    )
    labels = metric_labels()
    return [
        {
            "at": shown.instant(row.at),
            "program": shown.label(row.program),
            "kind": wording.kind_badge(row),
            "moved": moved_words(row),
            "reasons": wording.reason_words(row.reasons),
            "values": wording.values_words(row.values, labels=labels),
        }
        for row in latest
    ]


admin.site.register(Customer, CustomerPage)
