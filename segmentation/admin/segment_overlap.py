"""How segments overlap: a matrix of those somebody chose, and the page of two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from config import clock
from segmentation.domain.errors import TierwiseError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Run, Segment
from segmentation.permissions import EDIT_DRAFTS, REQUEST_RUN, row_scope, visible_segments
from segmentation.services.cards import note_use
from segmentation.services.hidden_reads import record_hidden_views
from segmentation.services.segment_overlap import (
    MOST,
    VIEW_SEGMENT,
    Measure,
    Overlap,
    largest_segments,
    overlap_matrix,
    shared_members,
)
from segmentation.services.wording import listed

from . import shown
from .base import EMPTY
from .definition_pages import current_run
from .definition_parts import run_trouble
from .documents import as_yaml
from .exports import export_url
from .looking import looker
from .member_tables import VIEW_CUSTOMER, members_context
from .overlap_cells import MEASURES, largest_table, matrix_table

NAME = "segmentation_segment_overlap"
TABS = "segments"
DEFAULT = 12  # segments shown to who chose none
_LARGEST = 20  # overlaps named below the matrix
_LONGEST_KEY, _LONGEST_LABEL = 64, 200


def may_see_overlaps(user: Any) -> bool:
    return bool(user.has_perm(VIEW_SEGMENT))


def overlap_url(key: str) -> str:
    """The matrix of a segment and the largest others."""
    return f"{reverse(f'admin:{NAME}')}?{urlencode({'with': key})}"


def overlap_view(request: HttpRequest) -> HttpResponse:
    """`segment` (a row number, repeated) names the segments, `all` the largest 100, `with` (a key)
    one beside the largest others; without them the largest. `show` is the measure. What is hidden
    from the reader is 404."""
    _require_right(request)
    measure = request.GET.get("show", "count")
    if measure not in MEASURES:
        raise Http404
    run = current_run(request)
    context = {
        **_frame(request, run),
        "title": _("Overlap"),
        "tabs": TABS,
        "most": MOST,
        "default": DEFAULT,
        "may_choose_all": True,
    }
    if run is None:
        return TemplateResponse(request, "admin/overlap/matrix.html", context)
    rows = _chosen(request, run)
    context["choices"] = _choices(request, rows)
    try:
        matrix = overlap_matrix([row.key for row in rows], run=run, viewer=request.user)
    except TierwiseError as error:
        context["problem"] = error.message
        return TemplateResponse(request, "admin/overlap/matrix.html", context)
    _note_looks(request, rows)
    chosen = cast(Measure, measure)
    numbers = [("segment", row.pk) for row in rows]
    context |= {
        "matrix": matrix_table(matrix, measure=chosen) if len(matrix.segments) > 1 else None,
        "measure": measure,
        "measure_words": MEASURES[chosen],
        "measures": [
            (words, f"?{urlencode([*numbers, ('show', name)])}", name == measure)
            for name, words in MEASURES.items()
        ],
        "largest": largest_table(matrix.largest(_LARGEST, by=chosen)),
        "shows_hidden": any(one.is_hidden for one in matrix.segments),
        "not_computed": listed(shown.label_in(one.label) for one in matrix.not_computed),
        "export_url": export_url(
            "overlap", user=request.user, parameters={"segment": [row.pk for row in rows]}
        ),
    }
    return TemplateResponse(request, "admin/overlap/matrix.html", context)


def pair_view(request: HttpRequest) -> HttpResponse:
    """`first` and `second` (row numbers): what two segments share, and who is in both."""
    _require_right(request)
    asked = [request.GET.get(name, "") for name in ("first", "second")]
    rows = _named(request, asked)
    run = current_run(request)
    if len(rows) < 2:
        raise Http404
    names = [shown.label(row) for row in rows]
    _note_looks(request, rows)
    for row in rows:
        note_use("segment", row.key, now=clock.real_now())
    context = {
        **_frame(request, run),
        "title": _("“%(first)s” and “%(second)s”") % {"first": names[0], "second": names[1]},
        "is_restricted": any(row.is_hidden for row in rows),
        "matrix_url": f"{reverse(f'admin:{NAME}')}?{urlencode({'with': rows[0].key})}",
    }
    if run is None:
        return TemplateResponse(request, "admin/overlap/pair.html", context)
    matrix, members = shared_members(rows[0].key, rows[1].key, run=run, viewer=request.user)
    if matrix.not_computed:
        context["not_computed"] = listed(shown.label_in(one.label) for one in matrix.not_computed)
        return TemplateResponse(request, "admin/overlap/pair.html", context)
    overlap = matrix.overlap(0, 1)
    context |= {"overlap": overlap, "facts": list(_facts(overlap))}
    if not overlap.is_suppressed:
        context["builder_url"] = _builder_url(rows, user=request.user)
        if request.user.has_perm(VIEW_CUSTOMER):
            empty = _("Nobody that you may see is in both.")
            context |= members_context(members, request=request, title=_("In both"), empty=empty)
    return TemplateResponse(request, "admin/overlap/pair.html", context)


def overlap_urls() -> list[URLPattern]:
    """To stand before the address of one segment."""

    def page(address: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
        return path(address, admin.site.admin_view(require_GET(view)), name=name)

    return [
        page("overlap/", overlap_view, NAME),
        page("overlap/pair/", pair_view, "segmentation_segment_pair"),
    ]


def _require_right(request: HttpRequest) -> None:
    if not may_see_overlaps(request.user):
        raise PermissionDenied


def _frame(request: HttpRequest, run: Run | None) -> dict[str, Any]:
    stores = row_scope(request.user)
    may_run = request.user.has_perm(REQUEST_RUN)
    return {
        **admin.site.each_context(request),
        "opts": Segment._meta,
        "run": run,
        "trouble": run_trouble(run, user=request.user),
        "stores": None if stores is None else listed(stores) or EMPTY,
        "recompute_url": reverse("admin:segmentation_run_recompute") if may_run else "",
    }


def _chosen(request: HttpRequest, run: Run) -> list[Segment]:
    """The segments of the matrix, in its order."""
    numbers, near = request.GET.getlist("segment"), request.GET.get("with", "")
    if numbers and not request.GET.get("all"):
        return _named(request, numbers)
    many = MOST if request.GET.get("all") else DEFAULT
    keys = largest_segments(run, viewer=request.user, number=many)
    if near:
        keys = [near, *(key for key in keys if key != near)][:many]
    return _ordered(request, "key", keys)


def _named(request: HttpRequest, numbers: Iterable[str]) -> list[Segment]:
    wanted = [row_number(text) for text in numbers]
    if None in wanted:
        raise Http404
    return _ordered(request, "pk", list(dict.fromkeys(wanted)))


def _ordered(request: HttpRequest, name: str, wanted: list[Any]) -> list[Segment]:
    if any("\x00" in str(each) for each in wanted):
        raise Http404
    visible = visible_segments(request.user).filter(**{f"{name}__in": wanted})
    found = {getattr(row, name): row for row in visible}
    if len(found) < len(wanted):
        raise Http404
    return [found[each] for each in wanted]


def _choices(request: HttpRequest, chosen: Iterable[Segment]) -> list[Mapping[str, Any]]:
    """What can be chosen: segments in use, and those that are chosen."""
    numbers = {row.pk for row in chosen}
    rows = visible_segments(request.user).defer("document").order_by(shown.label_field(), "key")
    return [
        {"pk": row.pk, "name": shown.label(row), "key": row.key, "is_hidden": row.is_hidden,
         "is_chosen": row.pk in numbers}
        for row in rows
        if row.retired_at is None or row.pk in numbers
    ]  # fmt: skip


def _note_looks(request: HttpRequest, rows: list[Segment]) -> None:
    now = clock.real_now()
    record_hidden_views(rows, looker=looker(request), page="overlap", now=now)


def _facts(overlap: Overlap) -> Iterable[tuple[Any, Any]]:
    """Figures at the head of the page of two; of a suppressed one the sizes alone."""
    first, second, shared = overlap.first, overlap.second, overlap.shared
    names = {"first": shown.label_in(first.label), "second": shown.label_in(second.label)}
    for segment, name in ((first, names["first"]), (second, names["second"])):
        page = shown.link("segmentation_segment_change", args=[segment.pk], text=name)
        yield page, shown.count(segment.size)
    if shared is None:
        return
    yield _("In both"), shown.count(shared)
    yield _("Only “%(first)s”") % names, shown.count(first.size - shared)
    yield _("Only “%(second)s”") % names, shown.count(second.size - shared)
    yield _("Share of “%(first)s”") % names, shown.ratio(overlap.first_share)
    yield _("Share of “%(second)s”") % names, shown.ratio(overlap.second_share)
    yield MEASURES["jaccard"], shown.ratio(overlap.jaccard)


def _builder_url(rows: list[Segment], *, user: Any) -> str:
    """Where a segment of those in both is begun, its rule filled in; "" without the right."""
    if not user.has_perm(EDIT_DRAFTS):
        return ""
    first, second = rows
    document = {
        "key": f"{first.key}_and_{second.key}"[:_LONGEST_KEY].rstrip("_"),
        "label": {
            "en": f"{first.label_en or first.key} and {second.label_en or second.key}"[
                :_LONGEST_LABEL
            ],
            "zh-hans": f"{first.label_zh_hans or first.key}且{second.label_zh_hans or second.key}"[
                :_LONGEST_LABEL
            ],
        },
        "purpose": first.document.get("purpose", "research"),
        "visibility": "hidden" if first.is_hidden or second.is_hidden else "internal",
        "rule": {"all": [{"segment": row.key, "cmp": "member"} for row in rows]},
    }
    text = as_yaml({"segments": [document]})
    return f"{reverse('admin:builder_start')}?{urlencode({'kind': 'segment', 'text': text})}"
