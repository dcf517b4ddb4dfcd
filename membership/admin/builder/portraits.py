"""The portrait of a segment that is not published: whom its draft would have, against everybody."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from config import clock
from membership.services.draft_checks import answers_at_once, judged
from membership.services.draft_documents import bundle
from membership.services.drafts import Work
from membership.services.preview import preview
from segmentation.admin import wording
from segmentation.admin.base import EMPTY
from segmentation.admin.definitions import visibility_badge
from segmentation.admin.portrait import figures_context
from segmentation.admin.portrait_links import VIEW_CUSTOMER
from segmentation.admin.shown import document_label
from segmentation.domain.errors import TierwiseError
from segmentation.permissions import row_scope
from segmentation.services.portraits import portrait
from segmentation.services.wording import listed

from .context import viewer_of
from .editor import note_look, opened, reference
from .previews import LOOKED_SECONDS
from .problems import words_of

_FIGURES = "figures"


def show(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """The page, and with `?part=figures` what it asks for after it is drawn: at a million
    customers computing the members takes longer than a page may."""
    if not request.user.has_perm(VIEW_CUSTOMER):
        raise PermissionDenied
    if request.method != "GET" or kind != "segment":
        raise Http404
    work = opened(request, reference(kind, key))
    seen = f"portrait:{viewer_of(request).pk}:{work.ref}"
    if request.GET.get("part") == _FIGURES:
        if cache.add(seen, 1, LOOKED_SECONDS):  # not as a part of a page that was looked at
            note_look(request, work, page="portrait")
        return TemplateResponse(
            request, "admin/builder/portrait_figures.html", _figures(request, work)
        )
    cache.set(seen, 1, LOOKED_SECONDS)
    note_look(request, work, page="portrait")
    stores = row_scope(viewer_of(request))
    name = document_label(work.document, key=key)
    context = {
        **site.each_context(request),
        "title": _("Portrait: %(name)s") % {"name": _("%(name)s (draft)") % {"name": name}},
        "subtitle": None,
        "badge": visibility_badge(is_hidden=True) if work.is_hidden else "",
        "draft_url": reverse("admin:builder_draft", args=[kind, key]),
        "publish_url": reverse("admin:builder_publish", args=[kind, key]),
        "stores": None if stores is None else listed(stores) or EMPTY,
    }
    return TemplateResponse(request, "admin/builder/portrait.html", context)


def _figures(request: HttpRequest, work: Work) -> dict[str, Any]:
    """The figures, or in their place why there are none."""
    user, now = viewer_of(request), clock.real_now()
    found = bundle(work.ref, work.document, viewer=user, stamp=work.stamp)
    verdict = judged(found.document, viewer=user)
    if verdict.draft is None:
        told = " ".join(words_of(problem) for problem in verdict.problems)
        return {"missing": _("The draft has problems: %(problems)s") % {"problems": told}}
    try:
        if not answers_at_once(verdict.draft, work.ref):
            return {
                "missing": _(
                    "A metric here is new or changed: its values come with the first run after "
                    "publishing, and the portrait with them."
                )
            }
        made = preview(found.document, subject=str(work.ref), viewer=user, now=now)
        # Hidden now or then: small cells stay suppressed; who objects is left out only then.
        figures = portrait(
            made.run, made.members, viewer=user, is_hidden=made.is_hidden, are_seen=True
        )
    except FileNotFoundError:
        return {"missing": _("The files of this run are gone; recompute.")}
    except TierwiseError as error:
        return {"missing": error.message}
    purpose = str(wording.PURPOSES.get(work.document.get("purpose", ""), ""))
    return figures_context(figures, None, purpose=purpose)
