"""From a template, or from a pasted document, to drafts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.permissions import Viewer
from segmentation.services.templates_data import filled
from segmentation.services.templates_shapes import Template

from .draft_documents import SECTIONS, definition_of, key_name, split
from .drafts import Work, new_work, save_draft, work_on


def drafts_from_template(
    template: Template, given: Mapping[str, str], *, viewer: Viewer, actor: str
) -> Work:
    """Drafts of everything the template makes, all or none; the one it is about.

    Raises TierwiseError with every problem, at `/<parameter>`.
    """
    made = filled(template, given)
    with transaction.atomic():
        works = [
            new_work(Ref(kind, document[key_name(kind)]), document, viewer=viewer, actor=actor)
            for kind, document in made
        ]
    return works[-1]


def drafts_from_document(
    document: Mapping[str, Any], *, viewer: Viewer, actor: str
) -> tuple[Work, ...]:
    """A draft for each definition of a definitions document, all or none.

    Of a living definition the draft is an edit of it. Errors: `invalid` (nothing in it, unknown
    sections), `draft_exists`, `key_taken`, `forbidden`.
    """
    unknown = [name for name in document if name not in SECTIONS.values()]
    if unknown:
        message = _("There is no section “%(name)s”.") % {"name": unknown[0]}
        raise TierwiseError(message, problems=(Problem(f"/{unknown[0]}", "unknown_key", message),))
    found = split(document)
    if not found:
        message = _("The document defines nothing: a definition needs a section and a key.")
        raise TierwiseError(message, problems=(Problem("", "missing_key", message),))
    with transaction.atomic():
        return tuple(_drafted(found, viewer=viewer, actor=actor))


def _drafted(
    found: Iterable[tuple[Ref, dict[str, Any]]], *, viewer: Viewer, actor: str
) -> Iterable[Work]:
    for ref, document in found:
        known = definition_of(ref, viewer=viewer)
        if known is None or known.is_retired:
            yield new_work(ref, document, viewer=viewer, actor=actor)
            continue
        work = work_on(ref, viewer=viewer)
        if work.is_saved:
            message = _("There is a draft of %(name)s already; open that one.") % {"name": ref}
            problem = Problem("", "draft_exists", message)
            raise TierwiseError(message, code="draft_exists", problems=(problem,))
        yield save_draft(work, document=document, stamp=work.stamp, viewer=viewer, actor=actor)


def cloned(ref: Ref, *, key: str, viewer: Viewer) -> dict[str, Any]:
    """The document of a definition or its draft under another key. Raises NotFoundError."""
    try:
        document = work_on(ref, viewer=viewer).document
    except NotFoundError:
        known = definition_of(ref, viewer=viewer)  # a retired one can be cloned too
        if known is None:
            raise
        document = known.document
    return {**document, key_name(ref.kind): key}


def blank(kind: str, *, key: str) -> dict[str, Any]:
    """What a new definition starts from."""
    leaf = {"metric": "", "cmp": "gte", "value": ""}
    starts: Mapping[str, dict[str, Any]] = {
        "segment": {"purpose": "", "visibility": "internal", "rule": {"all": [leaf]}},
        "metric": {
            "unit": "money",
            "source": "orders",
            "aggregate": {"fn": "sum", "field": "net_amount"},
            "window": {"days": 365, "to_now": True},
            "time": "placed_at",
        },
        "tag": {"exclusive": True, "sensitive": False, "public": False, "values": []},
        "layering": {"metric": "", "cuts": ["", ""], "layers": ["low", "middle", "high"]},
        "program": {
            "version": {
                "effective_from": "",
                "qualification": {"period": "rolling"},
                "upgrade": "immediate",
                "keep_for": {"months": 12},
                "grace": {"days": 30},
                "downgrade": "one_level",
                "tiers": [{"key": "", "rank": 1, "rule": leaf}],
            }
        },
    }
    return {key_name(kind): key, **starts[kind]}
