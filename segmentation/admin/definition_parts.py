"""Parts of a definition's page: what it is related to, and what is wrong with the newest run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from segmentation.domain.dependencies import Ref
from segmentation.models import Run
from segmentation.permissions import Viewer
from segmentation.services.definitions import write_definition
from segmentation.services.relations import Related
from segmentation.services.run_catalogs import run_catalog
from segmentation.services.run_standing import run_in_trouble, trouble_words

from . import shown
from .held_words import short_reasons

KIND_WORDS = {
    "tag": _("Tag"),
    "metric": _("Metric"),
    "layering": _("Layering"),
    "segment": _("Segment"),
    "program": _("Program"),
    "list": _("List"),
}
# The page of each kind, and the right to open it.
_PAGES = {
    "tag": ("segmentation_taggroup_change", "segmentation.view_taggroup"),
    "metric": ("segmentation_metric_change", "segmentation.view_metric"),
    "layering": ("segmentation_layering_change", "segmentation.view_layering"),
    "segment": ("segmentation_segment_change", "segmentation.view_segment"),
    "list": ("segmentation_customerlist_change", "segmentation.view_customerlist"),
}


def related_rows(found: Iterable[Related], *, user: Viewer) -> list[tuple[Any, Any, bool]]:
    """Kind, name (a link where there is a page the reader may open), and whether it is named
    directly."""
    return [
        (KIND_WORDS[each.ref.kind], related_link(each, user=user), each.is_direct) for each in found
    ]


def related_link(related: Related, *, user: Viewer) -> SafeString | str:
    """The name of a related definition, leading to its page."""
    text = shown.label_in(related.label)
    page, right = _PAGES.get(related.ref.kind, ("", ""))
    if not page or related.pk is None or not user.has_perm(right):
        return text
    return shown.link(page, args=[related.pk], text=text)


def is_newer_than(run: Run | None, ref: Ref, document: Mapping[str, Any]) -> bool:
    """Whether a definition was published with another content since the run computed it: then the
    figures are those of a version before."""
    if run is None or run.definition_set_id is None:
        return False
    catalog = run_catalog(run)
    computed: Mapping[str, Mapping[str, Any]] = {
        "tag": catalog.tag_groups,
        "metric": catalog.metrics,
        "layering": catalog.layerings,
        "segment": catalog.segments,
    }
    found = computed.get(ref.kind, {}).get(ref.key)
    # Another name alone changes no figure.
    return found is not None and {**write_definition(found), "label": None} != {
        **document,
        "label": None,
    }


def run_trouble(published: Run | None, *, user: Any) -> dict[str, Any] | None:
    """What went wrong since the run whose results show; None when all is well.

    Its error shows in full only to people who may know every name in it.
    """
    run = run_in_trouble(published)
    if run is None:
        return None
    text = trouble_words(run, viewer=user)
    if run.status == Run.Status.HELD:
        text = short_reasons(run, user=user) or text
    elif text is None:
        text = gettext("Details are restricted.")
    return {"run": run, "status": shown.run_status(run), "error": text}
