"""The builder's page: one draft as a form or as a document, saved with a look at who else did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from config import clock
from membership.services.draft_documents import KINDS, SECTIONS
from membership.services.drafts import NEW, DraftConflict, Work, save_draft, work_on
from segmentation.admin.builder.fields import read_definition
from segmentation.admin.builder.naming import keyed
from segmentation.admin.builder.rows import acted
from segmentation.admin.builder.widgets import NodeView
from segmentation.admin.looking import looker
from segmentation.admin.portrait_links import VIEW_CUSTOMER
from segmentation.admin.shown import document_label
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.models import AccessRecord
from segmentation.permissions import EDIT_DRAFTS, publish_permission
from segmentation.services.access_log import record_access

from .context import DOCUMENT, FORM, drawn, viewer_of, words_for
from .documents import parsed
from .words import conflict_rows, kind_words

VIEW_DRAFTS = "segmentation.view_draft"


def edit(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """Show the draft, or do what was asked for: a change of its shape, another view, saving."""
    ref = reference(kind, key)
    work = opened(request, ref)
    if request.method == "POST":
        return _posted(request, work, site=site)
    note_look(request, work)
    view = str(request.GET.get("view") or FORM)
    return page(request, work, work.document, view=view, site=site)


def reference(kind: str, key: str) -> Ref:
    """What an address names; 404 for a kind that there is not."""
    if kind not in KINDS:
        raise Http404
    return Ref(kind, key)


def opened(request: HttpRequest, ref: Ref) -> Work:
    """What is worked on. Only who may edit opens what nobody edits yet."""
    user = viewer_of(request)
    may_edit = user.has_perm(EDIT_DRAFTS)
    if not (may_edit or user.has_perm(VIEW_DRAFTS)):
        raise PermissionDenied
    try:
        work = work_on(ref, viewer=user)
    except NotFoundError:
        if request.method != "POST" or not may_edit:
            raise Http404 from None
        # Published or discarded meanwhile: what was typed must not be lost.
        return Work(ref, {}, 0, NEW, is_hidden=False)
    if not work.is_saved and not may_edit:
        raise Http404
    return work


def note_look(request: HttpRequest, work: Work, *, page: str = "draft") -> None:
    """Write down a look at something hidden."""
    if work.is_hidden:
        record_access(
            AccessRecord.Kind.VIEW_HIDDEN,
            looker=looker(request),
            subject=str(work.ref),
            now=clock.real_now(),
            is_hidden=True,
            details={"page": page},
        )


def typed(request: HttpRequest, work: Work) -> tuple[Any, tuple[Problem, ...], str | None]:
    """What was sent: the document; or, if it is none, what is wrong with it and the text."""
    if request.POST.get("view") == DOCUMENT:
        text = str(request.POST.get("text", ""))
        document, problems = parsed(text)
        if not problems and not isinstance(document, Mapping):
            message = _("Write one definition: names with their values, one a line.")
            problems = (Problem("", "wrong_type", message),)
        return (document, (), None) if not problems else (work.document, problems, text)
    if work.ref.kind == "program":
        return work.document, (), None
    fields = keyed(request.POST, words=lambda: words_for(request))
    return read_definition(work.ref.kind, fields), (), None


def _posted(request: HttpRequest, work: Work, *, site: AdminSite) -> HttpResponse:
    if not viewer_of(request).has_perm(EDIT_DRAFTS):
        raise PermissionDenied
    document, problems, text = typed(request, work)
    view = str(request.POST.get("view") or FORM)
    act = str(request.POST.get("act", ""))
    verb, _colon, name = act.partition(":")
    if verb == "view":
        view = name
    elif text is None and act and verb != "save":
        document = acted(work.ref.kind, document, act)
    if verb == "save" and text is None:
        return _saved(request, work, document, view=view, site=site)
    return page(
        request, work, document, view=view, site=site, more=problems, text=text,
        focus=_focus(verb, name), stamp=str(request.POST.get("stamp", NEW)),
    )  # fmt: skip


def _focus(verb: str, name: str) -> str:
    """Where the keyboard goes on after an act: the node, or for what is added, the new one."""
    return f"+{name}" if verb in ("add", "group", "row_add") else name


def _focused(trees: Iterable[NodeView], focus: str) -> str:
    """The name of the condition that the keyboard goes to: of a group, its last one."""
    nodes = {node.name: node for tree in trees for node in tree.walk()}
    node = nodes.get(focus.removeprefix("+"))
    while focus.startswith("+") and node is not None and node.children:
        node = node.children[-1]
    return "" if node is None else node.name


def _saved(
    request: HttpRequest, work: Work, document: Mapping[str, Any], *, view: str, site: AdminSite
) -> HttpResponse:
    user = viewer_of(request)
    stamp = str(request.POST.get("stamp", NEW))
    try:
        saved = save_draft(
            work, document=document, stamp=stamp, viewer=user, actor=user.get_username()
        )
    except DraftConflict as conflict:
        now = conflict.current
        return page(
            request, work, document, view=view, site=site, conflict=conflict,
            stamp=NEW if now is None else now.stamp, status=409,
        )  # fmt: skip
    except TierwiseError as error:
        problems = error.problems or (Problem("", error.code, error.message),)
        root = f"/{SECTIONS[work.ref.kind]}/0"
        more = tuple(Problem(f"{root}{one.path}", one.code, one.message) for one in problems)
        return page(
            request, work, document, view=view, site=site, more=more, stamp=stamp, status=422
        )
    place = [saved.ref.kind, saved.ref.key]
    if request.POST.get("act") == "save:publish":
        return HttpResponseRedirect(reverse("admin:builder_publish", args=place))
    if request.POST.get("act") == "save:portrait" and saved.ref.kind == "segment":
        return HttpResponseRedirect(reverse("admin:builder_portrait", args=place))
    messages.success(request, _("Saved. Nothing is published yet."))
    return HttpResponseRedirect(f"{reverse('admin:builder_draft', args=place)}?view={view}")


def page(
    request: HttpRequest,
    work: Work,
    document: Mapping[str, Any],
    *,
    view: str,
    site: AdminSite,
    more: tuple[Problem, ...] = (),
    text: str | None = None,
    focus: str = "",
    conflict: DraftConflict | None = None,
    stamp: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """The whole page, or for the builder's own requests the part of it that changed."""
    user = viewer_of(request)
    shown = drawn(work, document, view=view, request=request, more=more, text=text)
    kind, key = work.ref.kind, work.ref.key
    name = document_label(document, key=key)
    context = {
        "work": work,
        "kind": kind,
        "kind_words": kind_words(kind),
        "view": shown.view,
        "form": shown.form,
        "told": shown.told,
        "warnings": shown.verdict.warnings,
        "companions": shown.found.companions,
        "stamp": work.stamp if stamp is None else stamp,
        "focus": _focused(shown.form.get("trees", ()), focus),
        "conflict": conflict,
        "conflict_rows": conflict_rows(conflict) if conflict else [],
        "may_edit": user.has_perm(EDIT_DRAFTS),
        "may_portrait": kind == "segment" and user.has_perm(VIEW_CUSTOMER),
        "may_publish": user.has_perm(publish_permission(kind)),
        "draft_url": reverse("admin:builder_draft", args=[kind, key]),
        "preview_url": reverse("admin:builder_preview", args=[kind, key]),
        "publish_url": reverse("admin:builder_publish", args=[kind, key]),
        "portrait_url": reverse("admin:builder_portrait", args=[kind, key]),
        "discard_url": reverse("admin:builder_discard", args=[kind, key]),
    }
    if request.headers.get("HX-Request"):
        response: HttpResponse = TemplateResponse(request, "admin/builder/editor.html", context)
        response["HX-Trigger-After-Settle"] = "builder-changed"
        return response
    context |= {
        **site.each_context(request),
        "title": _("Draft of %(kind)s “%(name)s”") % {"kind": kind_words(kind), "name": name},
        "subtitle": None,
    }
    return TemplateResponse(request, "admin/builder/draft.html", context, status=status)
