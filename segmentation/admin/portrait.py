"""The portrait of a group of customers against everybody, and the page to choose a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from config import clock
from segmentation.domain.errors import NotFoundError
from segmentation.models import AccessRecord, Run, Segment
from segmentation.permissions import REQUEST_RUN, row_scope
from segmentation.queries import newest_published_run
from segmentation.services.access_log import record_access
from segmentation.services.cards import note_use
from segmentation.services.portrait_results import Portrait
from segmentation.services.run_catalogs import run_catalog
from segmentation.services.subject_portraits import portrait_of, subject_name
from segmentation.services.subjects import Subject, read_subject, subject_choices
from segmentation.services.wording import listed, named

from . import shown, wording
from .base import EMPTY
from .definitions import visibility_badge
from .exports import export_url
from .looking import looker
from .portrait_lines import class_cards, metric_lines
from .portrait_links import VIEW_CUSTOMER, portrait_url, save_list_url
from .portrait_words import NOTHING_KNOWN, plan_boxes, top_words

KINDS: Mapping[str, Any] = {
    "segment": gettext_lazy("Segment"),
    "list": gettext_lazy("List"),
    "layer": gettext_lazy("Layer"),
    "tag": gettext_lazy("Tag value"),
    "tier": gettext_lazy("Tier"),
}
# Under which name the use of a subject is noted: cards know definitions, not their parts.
_CARDS = {
    "segment": "segment", "list": "list", "layer": "layering", "tag": "tag", "tier": "program",
}  # fmt: skip
_PAGES = {"segment": "segmentation_segment_change", "list": "segmentation_customerlist_change"}


@require_GET
def portrait_view(request: HttpRequest) -> HttpResponse:
    """`subject` names the group, `against` another one to see beside it; without a subject the
    page offers those the reader may see. What is hidden from the reader is 404."""
    if not request.user.has_perm(VIEW_CUSTOMER):
        raise PermissionDenied
    run = newest_published_run()
    asked = request.GET.get("subject", "")
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Portrait"),
        "run": run,
        "choices": [] if run is None else _choices(run, request=request),
    }
    if not asked or run is None:
        if asked:
            raise Http404
        return TemplateResponse(request, "admin/portrait/choose.html", context)
    try:
        subject = read_subject(asked, run=run, viewer=request.user)
        other = _other(request, run=run)
    except NotFoundError:
        raise Http404 from None
    for each in (subject, other):
        if each is not None:
            _note_look(each, request=request)
    context |= _subject_context(subject, other, request=request)
    try:
        found = portrait_of(subject, run=run, viewer=request.user)
        beside = None if other is None else portrait_of(other, run=run, viewer=request.user)
    except NotFoundError as error:
        context["missing"] = error.message
        if request.user.has_perm(REQUEST_RUN):
            context["recompute_url"] = reverse("admin:segmentation_run_recompute")
    else:
        context |= figures_context(found, beside, purpose=_purpose(subject))
    return TemplateResponse(request, "admin/portrait/portrait.html", context)


URLS = (path("admin/portrait/", admin.site.admin_view(portrait_view), name="portrait"),)


def _other(request: HttpRequest, *, run: Run) -> Subject | None:
    asked = request.GET.get("against", "")
    return read_subject(asked, run=run, viewer=request.user) if asked else None


def _note_look(subject: Subject, *, request: HttpRequest) -> None:
    now = clock.real_now()
    note_use(_CARDS[subject.kind], subject.key, now=now)
    if subject.is_hidden:
        record_access(
            AccessRecord.Kind.VIEW_HIDDEN,
            looker=looker(request),
            subject=str(subject),
            now=now,
            is_hidden=True,
            details={"page": "portrait"},
        )


def _choices(run: Run, *, request: HttpRequest) -> list[tuple[Any, list[tuple[str, str, str]]]]:
    """Groups to choose from: heading, then text, name and address of each."""
    found = []
    for choices in subject_choices(run, viewer=request.user):
        heading: Any = KINDS[choices.kind]
        if choices.label is not None:
            heading = named(heading, shown.label_in(choices.label))
        entries = []
        for subject in choices.subjects:
            name = shown.label_in(subject.label) if subject.value is None else subject.value
            if subject.part is not None:
                name = shown.label_in(subject.part)
            text = str(subject)
            entries.append((text, name, portrait_url(text, user=request.user)))
        found.append((heading, entries))
    return found


def _subject_context(
    subject: Subject, other: Subject | None, *, request: HttpRequest
) -> dict[str, Any]:
    name = subject_name(subject)
    page = _PAGES.get(subject.kind)
    stores = row_scope(request.user)
    return {
        "title": _("Portrait: %(name)s") % {"name": name},
        "subject": str(subject),
        "against": "" if other is None else str(other),
        "other_name": "" if other is None else subject_name(other),
        "kind_words": KINDS[subject.kind],
        "badge": visibility_badge(is_hidden=True) if subject.is_hidden else "",
        "page_url": reverse(f"admin:{page}", args=[subject.pk]) if page else "",
        "stores": None if stores is None else listed(stores) or EMPTY,
        "save_url": ""
        if subject.kind == "list"
        else save_list_url(str(subject), user=request.user),
        "export_url": export_url(
            "portrait", user=request.user, parameters={"subject": str(subject)}
        ),
    }


def _purpose(subject: Subject) -> str:
    if subject.kind != "segment":
        return ""
    document = Segment.objects.values_list("document", flat=True).get(key=subject.key)
    return str(wording.PURPOSES.get(document.get("purpose", ""), ""))


def figures_context(found: Portrait, beside: Portrait | None, *, purpose: str) -> dict[str, Any]:
    """What `admin/portrait/figures.html` and the facts above it show; `purpose` in words."""
    catalog = run_catalog(found.run)
    return {
        "portrait": found,
        "facts": [
            (_("Customers"), shown.count(found.size)),
            (_("Share of everybody"), shown.part(found.size, found.base_size)),
            (_("Everybody"), shown.count(found.base_size)),
            (_("As of"), shown.instant(found.run.as_of)),
        ],
        "sentence": top_words(found, catalog=catalog) if found.size else "",
        "boxes": plan_boxes(found, catalog=catalog, purpose=purpose),
        "nothing_known": NOTHING_KNOWN,
        "tags": class_cards(found.tags, beside.tags if beside else ()),
        "layerings": class_cards(found.layerings, beside.layerings if beside else ()),
        "metrics": metric_lines(found.metrics, beside.metrics if beside else ()),
    }
