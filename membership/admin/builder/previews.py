"""The live preview beside the builder: what the draft on the screen would do, not saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from pyroaring import BitMap

from config import clock
from membership.services.draft_checks import answers_at_once
from membership.services.drafts import Work
from membership.services.preview import (
    preview,
    preview_document,
    request_preview,
)
from segmentation.admin import shown
from segmentation.admin.builder.widgets import NodeView
from segmentation.admin.looking import looker
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import AccessRecord, Customer, Job, Run, living
from segmentation.permissions import EDIT_DRAFTS, visible_customers, visible_jobs
from segmentation.services.access_log import record_access

from .context import FORM, Drawn, drawn, viewer_of
from .editor import opened, reference, typed
from .problems import words_of
from .words import names_of

_TEMPLATE = "admin/builder/preview.html"
LOOKED_SECONDS = 600  # one look a person and segment, however often the preview refreshes
_CUSTOMER = "segmentation.view_customer"


def show(request: HttpRequest, kind: str, key: str) -> HttpResponse:
    """The preview of what the form says now; `act=compute` has a slow one done by a job."""
    if request.method != "POST":
        raise Http404
    work = opened(request, reference(kind, key))
    if request.POST.get("view") and viewer_of(request).has_perm(EDIT_DRAFTS):
        document, problems, text = typed(request, work)
    else:
        document, problems, text = work.document, (), None
    view = str(request.POST.get("view") or FORM)
    found = drawn(work, document, view=view, request=request, more=problems, text=text)
    context: dict[str, Any] = {
        "told": found.told,
        "warnings": [words_of(warning) for warning in found.verdict.warnings],
        "preview_url": reverse("admin:builder_preview", args=[kind, key]),
        "is_live": True,
    }
    if text is None and not found.verdict.problems:
        context |= _computed(request, work, found)
    sizes = context.get("sizes", {})
    rows = found.form.get("layers", ())
    context["layer_sizes"] = [(row["layer"], sizes.get(row["layer"], shown.EMPTY)) for row in rows]
    context["about"] = _about(found, context.get("result"))
    context["sentences"] = found.form.get("sentences", ())
    return TemplateResponse(request, _TEMPLATE, context)


def _computed(request: HttpRequest, work: Work, found: Drawn) -> dict[str, Any]:
    user = viewer_of(request)
    subject, document = str(found.found.subject), found.found.document
    try:
        draft = found.verdict.draft
        if draft is None or answers_at_once(draft, found.found.subject):
            note_look(request, work, subject)
            made = preview(document, subject=subject, viewer=user, now=clock.real_now())
            return result_context(request, preview_document(made))
        if request.POST.get("act") != "compute":
            return {"is_slow": True}
        note_look(request, work, subject)
        job = request_preview(
            document, subject=subject, user=user, actor=user.get_username(), now=clock.real_now()
        )
        return {"job": job, "job_url": reverse("admin:builder_preview_job", args=[job.pk])}
    except NotFoundError:
        return {"error": _("Choose another key first.")}
    except TierwiseError as error:
        return {"error": error.message}


def note_look(request: HttpRequest, work: Work, subject: str) -> None:
    """The look at the members of something hidden, once for a while of typing."""
    user = viewer_of(request)
    if not work.is_hidden or not cache.add(f"preview:{user.pk}:{subject}", 1, LOOKED_SECONDS):
        return
    record_access(
        AccessRecord.Kind.VIEW_HIDDEN,
        looker=looker(request),
        subject=subject,
        now=clock.real_now(),
        is_hidden=True,
        details={"page": "preview"},
    )


def follow(request: HttpRequest, job_id: int) -> HttpResponse:
    """A slow preview: how far it is, then what it found. Only for who asked for it."""
    user = viewer_of(request)
    if not user.is_authenticated:
        raise PermissionDenied
    job = visible_jobs(user).filter(pk=job_id, kind="preview", requested_by=user.pk).first()
    if job is None:
        raise Http404
    context: dict[str, Any] = {}
    if job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        context = {"job": job, "job_url": request.get_full_path()}
    elif request.GET.get("then") == "reload":
        return HttpResponse(headers={"HX-Refresh": "true"})
    elif job.status == Job.Status.DONE:
        context = result_context(request, job.result)
    else:
        context["error"] = (job.error or {}).get("message") or _("The preview was cancelled.")
    return TemplateResponse(request, _TEMPLATE, context)


def result_context(request: HttpRequest, result: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of a preview, live or from a job."""
    subject = _ref(result["subject"])
    run = Run.objects.filter(pk=result["run"]).first()
    own = result["movements"]
    moved = [one for one in result["dependents"] if one["entered"] or one["left"]]
    still = [one for one in result["dependents"] if one not in moved]
    return {
        "result": result,
        "subject": subject,
        "run": run,
        "as_of": shown.instant(run.as_of) if run else shown.EMPTY,
        "is_segment": subject.kind == "segment",
        "size": shown.count(result["size"]),
        "entered": shown.change(result["entered"]),
        "left": shown.change(-result["left"]),
        "is_new": all(one["before"] is None for one in own),
        "own": [] if subject.kind == "segment" else _rows(own, with_name=False),
        "dependents": _rows(moved, with_name=True),
        "still": _rows(still, with_name=True),
        "sample": customer_links(request, result["sample"]),
        "sizes": {one["value"]: shown.count(one["size"]) for one in own if one["value"]},
    }


def _ref(text: str) -> Ref:
    kind, _colon, key = text.partition(":")
    return Ref(kind, key)


def _rows(
    movements: Iterable[Mapping[str, Any]], *, with_name: bool
) -> list[tuple[str, str, str, str]]:
    """Whose customers, sizes before and after, and who moved."""
    listed = list(movements)
    names = names_of(_ref(one["ref"]) for one in listed) if with_name else {}
    return [
        (
            " · ".join(part for part in (names.get(_ref(one["ref"]), ""), one["value"]) if part)
            or _("has a value"),
            shown.count(one["before"]),
            shown.count(one["size"]),
            f"{shown.change(one['entered'])} / {shown.change(-one['left'])}",
        )
        for one in listed
    ]


def customer_links(request: HttpRequest, names: Iterable[str]) -> list[tuple[str, str]]:
    """External ids with the pages of those whom this person may open."""
    listed = list(names)
    user = viewer_of(request)
    if not user.has_perm(_CUSTOMER):
        return [(name, "") for name in listed]
    rows = visible_customers(user).filter(external_id__in=listed)
    pages = {
        name: reverse("admin:segmentation_customer_change", args=[pk])
        for pk, name in rows.values_list("pk", "external_id")
    }
    return [(name, pages.get(name, "")) for name in listed]


def external_ids(members: BitMap, *, most: int = 10) -> list[str]:
    """Some of the customers of a bitmap, the first ones recorded."""
    people = Customer.objects.filter(living(), ordinal__in=list(members[:most]))
    return list(people.order_by("ordinal").values_list("external_id", flat=True))


def _about(found: Drawn, result: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What is said at each node: its problems, and how many people have no value there."""
    nodes: list[NodeView] = [node for tree in found.form.get("trees", ()) for node in tree.walk()]
    unknown = {} if result is None else {one["path"]: one for one in result["unknown"]}
    return [
        {
            "node": node,
            "unknown": shown.count(one["count"]) if one and one["count"] else "",
            "can_include": bool(one and one["can_include"]),
        }
        for node in nodes
        for one in (unknown.get(node.path),)
    ]
