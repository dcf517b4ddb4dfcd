"""Starting drafts: from nothing, from another definition, from a document, from a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from membership.services.draft_documents import KINDS
from membership.services.drafts import Work, new_work
from membership.services.template_drafts import (
    blank,
    cloned,
    drafts_from_document,
    drafts_from_template,
)
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.permissions import EDIT_DRAFTS
from segmentation.services.templates_catalog import TEMPLATES, template_named
from segmentation.services.templates_data import needs
from segmentation.services.templates_shapes import Template

from .context import viewer_of
from .documents import MOST_BYTES, parsed
from .problems import words_of
from .words import kind_words


def _require_right(request: HttpRequest) -> None:
    if not viewer_of(request).has_perm(EDIT_DRAFTS):
        raise PermissionDenied


def start(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """A new draft: of which kind, under which key, from what."""
    _require_right(request)
    source = request.POST if request.method == "POST" else request.GET
    kind = str(source.get("kind") or "segment")
    origin = str(source.get("from", ""))
    if kind not in KINDS:
        raise Http404
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": _("Clone") if origin else _("New draft"),
        "subtitle": origin or None,
        "kinds": [(name, kind_words(name), name == kind) for name in KINDS],
        "kind": kind,
        "origin": origin,
        "key": str(source.get("key", "")),
        "text": str(source.get("text", "")),
        # Another page wrote the document: nothing to start from but this.
        "is_prepared": bool(request.GET.get("text")) and not origin,
        "templates_url": reverse("admin:builder_templates"),
    }
    if origin:
        _require_origin(request, kind, origin)
    if request.method != "POST":
        return TemplateResponse(request, "admin/builder/start.html", context)
    try:
        if request.POST.get("act") == "document":
            return _from_document(request)
        return _opened(_from_nothing(request, kind, origin, key=context["key"].strip()))
    except TierwiseError as error:
        context["problems"] = _told(error)
        context["is_document"] = request.POST.get("act") == "document"
        return TemplateResponse(request, "admin/builder/start.html", context, status=422)


def _require_origin(request: HttpRequest, kind: str, origin: str) -> None:
    try:
        cloned(Ref(kind, origin), key="", viewer=viewer_of(request))
    except NotFoundError:
        raise Http404 from None


def _from_nothing(request: HttpRequest, kind: str, origin: str, *, key: str) -> Work:
    user = viewer_of(request)
    document = cloned(Ref(kind, origin), key=key, viewer=user) if origin else blank(kind, key=key)
    return new_work(Ref(kind, key), document, viewer=user, actor=user.get_username())


def _from_document(request: HttpRequest) -> HttpResponse:
    user = viewer_of(request)
    text = _text(request)
    document, problems = parsed(text)
    if problems:
        raise TierwiseError(problems[0].message, problems=problems)
    if not isinstance(document, Mapping):
        message = _("Write a definitions document: sections such as “segments:”.")
        raise TierwiseError(message, problems=(Problem("", "wrong_type", message),))
    works = drafts_from_document(document, viewer=user, actor=user.get_username())
    if len(works) == 1:
        return _opened(works[0])
    messages.success(request, _("%(count)d drafts are made.") % {"count": len(works)})
    return HttpResponseRedirect(reverse("admin:segmentation_draft_changelist"))


def _text(request: HttpRequest) -> str:
    """What was uploaded, else what was pasted."""
    upload = request.FILES.get("file")
    if upload is None:
        return str(request.POST.get("text", ""))
    if (upload.size or 0) > MOST_BYTES:
        message = _("The file is too large for definitions.")
        raise TierwiseError(message, problems=(Problem("/file", "too_large", message),))
    try:
        return str(upload.read(), "utf-8-sig")
    except UnicodeDecodeError:
        message = _("The file is not UTF-8 text.")
        raise TierwiseError(message, problems=(Problem("/file", "syntax", message),)) from None


def _opened(work: Work) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:builder_draft", args=[work.ref.kind, work.ref.key]))


def _told(error: TierwiseError) -> list[str]:
    return [words_of(problem) for problem in error.problems] or [error.message]


def templates(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """All templates, with what each needs and whether it is there."""
    _require_right(request)
    context = {
        **site.each_context(request),
        "title": _("Templates"),
        "subtitle": None,
        "templates": [
            {
                "label": _label(template),
                "other": template.label_en if _is_chinese() else template.label_zh_hans,
                "about": template.about,
                "icon": template.icon,
                "needs": needs(template),
                "url": reverse("admin:builder_template", args=[template.name]),
            }
            for template in TEMPLATES
        ],
    }
    return TemplateResponse(request, "admin/builder/templates.html", context)


def template(request: HttpRequest, name: str, *, site: AdminSite) -> HttpResponse:
    """Fill a template in; its definitions become drafts."""
    _require_right(request)
    chosen = template_named(name)
    if chosen is None:
        raise Http404
    given = {parameter.name: parameter.default for parameter in chosen.parameters}
    given["key"] = chosen.name
    problems: dict[str, str] = {}
    others: list[str] = []
    status = 200
    if request.method == "POST":
        given = {name: str(request.POST.get(name, "")) for name in given}
        user = viewer_of(request)
        try:
            return _opened(
                drafts_from_template(chosen, given, viewer=user, actor=user.get_username())
            )
        except TierwiseError as error:
            for problem in error.problems:
                place = problem.path.removeprefix("/").replace("group", "key")
                if place in given:
                    problems[place] = words_of(problem)
                else:
                    others.append(words_of(problem))
            if not error.problems:
                others.append(error.message)
            status = 422
    context = {
        **site.each_context(request),
        "title": _label(chosen),
        "subtitle": None,
        "template": chosen,
        "needs": needs(chosen),
        "fields": [
            (parameter, given[parameter.name], problems.get(parameter.name, ""))
            for parameter in chosen.parameters
        ],
        "key": given["key"],
        "key_problem": problems.get("key", ""),
        "others": others,
    }
    return TemplateResponse(request, "admin/builder/template.html", context, status=status)


def _is_chinese() -> bool:
    return (get_language() or "").startswith("zh")


def _label(template: Template) -> str:
    return template.label_zh_hans if _is_chinese() else template.label_en
