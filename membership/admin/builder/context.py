"""What the builder's pages share: the vocabulary of who looks, and how a draft is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.http import HttpRequest

from config import clock
from membership.models import ProgramVersion
from membership.services.definitions import project_zone
from membership.services.draft_checks import Judged, judged
from membership.services.draft_documents import Bundle, bundle
from membership.services.draft_states import saved_state
from membership.services.drafts import Work
from membership.services.template_drafts import blank
from segmentation.admin.builder.drawing import draw
from segmentation.admin.builder.fields import KINDS as FORM_KINDS
from segmentation.admin.builder.fitting import fits
from segmentation.admin.builder.vocabulary import Vocabulary, Word, vocabulary
from segmentation.admin.documents import as_yaml
from segmentation.domain.errors import Problem
from segmentation.permissions import visible_drafts
from segmentation.queries import newest_published_run

from .problems import Told, next_steps, tell

FORM, DOCUMENT = "form", "document"
_FIELDS = (
    "/key", "/group", "/label", "/purpose", "/visibility", "/unit", "/value_kind", "/source",
    "/aggregate", "/aggregate/field", "/window", "/time", "/matured_days", "/formula",
    "/exclusive", "/sensitive", "/public", "/values", "/metric", "/cuts", "/layers",
)  # fmt: skip


def viewer_of(request: HttpRequest) -> User:
    """The logged-in person."""
    user: User = request.user  # type: ignore[assignment]  # the admin lets nobody else in
    return user


def words_for(request: HttpRequest) -> Vocabulary:
    """Everything a rule can name, as this person may know it, and drafts of what is new."""
    run = newest_published_run()
    user = viewer_of(request)
    drafts = visible_drafts(user).filter(base_version=0, kind__in=("metric", "tag", "layering"))
    return vocabulary(
        user,
        as_of=run.as_of if run else clock.now(),
        zone=ZoneInfo(project_zone()),
        programs=_programs(),
        drafts=list(drafts.values_list("kind", "document")),
    )


def _programs() -> dict[str, Word]:
    """Living programs with the tiers of their newest version."""
    found: dict[str, Word] = {}
    versions = (
        ProgramVersion.objects.filter(program__retired_at=None)
        .select_related("program")
        .prefetch_related("tiers")
        .order_by("program__key", "-number")
        .distinct("program__key")
    )
    for version in versions:
        program = version.program
        found[program.key] = Word(
            program.key,
            program.label_en,
            program.label_zh_hans,
            values=tuple(
                (tier.key, (tier.label_en, tier.label_zh_hans)) for tier in version.tiers.all()
            ),
        )
    return found


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draft on a page: its bundle, what is wrong with it, and the context of its form."""

    found: Bundle
    verdict: Judged
    told: Told
    view: str
    form: Mapping[str, Any]


def _is_untouched(work: Work, document: Mapping[str, Any]) -> bool:
    """Whether this is a new draft as it was made from nothing, not saved since."""
    if work.base_version or saved_state(work.stamp)[1] != 1:
        return False
    return document == blank(work.ref.kind, key=work.ref.key)


def drawn(
    work: Work,
    document: Mapping[str, Any],
    *,
    view: str,
    request: HttpRequest,
    more: tuple[Problem, ...] = (),
    text: str | None = None,
) -> Drawn:
    """Check a document and draw it as a form, or as the text of a document.

    `more` are problems found elsewhere, `text` what somebody typed that is no document.
    """
    user = viewer_of(request)
    found = bundle(work.ref, document, viewer=user, stamp=work.stamp)
    verdict = judged(found.document, viewer=user)
    kind = work.ref.kind
    may_form = kind in FORM_KINDS and fits(kind, document)
    view = FORM if view == FORM and may_form and text is None else DOCUMENT
    form: dict[str, Any] = {"may_form": may_form, "has_form": kind in FORM_KINDS}
    trees = []
    if view == FORM:
        form |= draw(kind, document, words=words_for(request))
        trees = form["trees"]
    else:
        form["text"] = as_yaml(dict(document)) if text is None else text
    problems = (*more, *(() if text is not None else verdict.problems))
    if _is_untouched(work, document) and not more and text is None:
        told = next_steps(kind)
    else:
        told = tell(problems, found=found, trees=trees, fields=_FIELDS if view == FORM else ())
    return Drawn(found, verdict, told, view, form)
