"""An act as a line: who did it, when, why, through what, and how much it changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from pghistory.models import Context

from config import clock
from segmentation.models import AccessRecord, Segment
from segmentation.permissions import hidden_words, mentions_hidden
from segmentation.queries.changes import Counted, actors
from segmentation.services.access_log import record_access
from segmentation.services.wording import clauses, named

from . import shown
from .changes import kind_words
from .log_lines import RESTRICTED
from .looking import looker


@dataclass(frozen=True)
class ShownAct:
    """One act for a person to read. `address` leads to its page."""

    address: str
    at: str
    who: str
    why: str
    via: SafeString | str


def shown_acts(contexts: Iterable[Context | None], *, request: HttpRequest) -> dict[Any, ShownAct]:
    """Acts by their id, for this reader: what names something hidden from them is not told."""
    rows = {each.pk: each for each in contexts if each is not None}
    people = actors(rows.values())
    words = hidden_words(request.user)
    return {pk: _shown(each, people, words, request=request) for pk, each in rows.items()}


def _shown(
    act: Context, people: Mapping[int, str], words: frozenset[str], *, request: HttpRequest
) -> ShownAct:
    told = dict(act.metadata)
    user = str(told.get("user") or "")
    name = people.get(int(user), "") if user.isdecimal() else ""
    actor = str(told.get("actor") or name or told.get("username") or "")
    if name and actor not in ("", name):
        actor = f"{actor} ({name})"
    return ShownAct(
        address=reverse("admin:pghistory_context_change", args=[act.pk]),
        at=shown.instant(act.created_at),
        who=actor or _("unknown"),
        why=_safe(str(told.get("reason") or ""), words) or shown.EMPTY,
        via=_via(told, words, request=request),
    )


def _safe(text: str, words: frozenset[str]) -> str:
    return str(RESTRICTED) if mentions_hidden(text, words=words) else text


def _via(
    told: Mapping[str, Any], words: frozenset[str], *, request: HttpRequest
) -> SafeString | str:
    """The page, command, run, job or endpoint that did it."""
    if told.get("run"):
        text = _("Run %(run)s") % {"run": told["run"]}
        if request.user.has_perm("segmentation.view_run"):
            return shown.link("segmentation_run_change", args=[told["run"]], text=text)
        return text
    if told.get("job"):
        return _("Job %(job)s") % {"job": told["job"]}
    if told.get("command"):
        return _where(AccessRecord.Via.COMMAND, str(told["command"]))
    url = str(told.get("url") or "")
    if url:
        is_api = url.startswith("/api/")
        return _where(AccessRecord.Via.API if is_api else AccessRecord.Via.ADMIN, _safe(url, words))
    return shown.EMPTY


def _where(via: Any, place: str) -> SafeString:
    return format_html('{} <code class="tw-place">{}</code>', via.label, place)


def counted_words(found: Sequence[Counted]) -> SafeString:
    """How many rows of what: “2 segments changed, 1 list added”, one line per table."""
    return format_html_join(
        SafeString("<br>"),
        "{}",
        ((named(kind_words(each.events), _counts(each)),) for each in found),
    )


def _counts(found: Counted) -> str:
    parts = []
    for act, count in found.by_act.items():
        number = shown.count(count)
        if act == "insert":
            text = ngettext("%(count)s added", "%(count)s added", count)
        elif act == "delete":
            text = ngettext("%(count)s removed", "%(count)s removed", count)
        else:
            text = ngettext("%(count)s changed", "%(count)s changed", count)
        parts.append(text % {"count": number})
    words = clauses(parts)
    return _("%(counts)s and more") % {"counts": words} if found.is_cut else words


def record_hidden_looks(rows: Iterable[Any], *, request: HttpRequest) -> None:
    """Write down a look at each hidden segment and list that these rows are, or are changes of."""
    subjects: set[str] = set()
    segments: set[int] = set()
    for row in rows:
        if hasattr(row, "segment_id"):
            segments.add(row.segment_id)
        elif getattr(row, "is_hidden", False) and hasattr(row, "key"):
            is_list = type(row).__name__.startswith("CustomerList")
            subjects.add(f"{'list' if is_list else 'segment'}:{row.key}")
    if segments:
        hidden = Segment.objects.filter(pk__in=segments, is_hidden=True)
        subjects |= {f"segment:{key}" for key in hidden.values_list("key", flat=True)}
    for subject in sorted(subjects):
        record_access(
            AccessRecord.Kind.VIEW_HIDDEN,
            looker=looker(request),
            subject=subject,
            now=clock.real_now(),
            is_hidden=True,
            details={"page": request.path},
        )
