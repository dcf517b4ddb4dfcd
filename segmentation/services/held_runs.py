"""The run that waits for a person: which one it is, and its end when another takes its place."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from segmentation.domain.breaker import Finding, read_finding
from segmentation.domain.errors import TierwiseError
from segmentation.models import Run
from segmentation.permissions import Viewer, visible_segments
from segmentation.queries import newest_published_run

from .run_errors import DEFINITIONS_CHANGED, OVERTAKEN


def held_run() -> Run | None:
    """The run that waits for a decision; there is never more than one."""
    found = Run.objects.filter(status=Run.Status.HELD).defer("log", "cuts")
    return found.order_by("-pk").first()


def seen_findings(run: Run, *, viewer: Viewer) -> tuple[Finding, ...]:
    """Why a run was held, as far as this person may know: what is about a segment that they may not
    see is neither told nor counted."""
    found = tuple(map(read_finding, run.held_reasons))
    keys = {finding.key for finding in found if finding.kind == "segment"}
    if not keys:
        return found
    known = set(visible_segments(viewer).filter(key__in=keys).values_list("key", flat=True))
    return tuple(each for each in found if each.kind != "segment" or each.key in known)


def refuse_other_base(run: Run) -> None:
    """Raise `definitions_changed` when a run was released while this one was computed: it started
    from memberships that are not current any more. Who publishes holds the definitions lock."""
    newest = newest_published_run()
    if (None if newest is None else newest.pk) != run.base_run_id:
        raise TierwiseError(
            "Another run was published while this one was computed; it starts again.",
            code=DEFINITIONS_CHANGED,
        )


def close_other_held(run: Run, *, now: datetime) -> int:
    """End the held run whose place this one takes, in the transaction that publishes or holds it:
    what it would have changed is decided by the newer one."""
    changes: dict[str, Any] = {
        "status": Run.Status.FAILED,
        "decision": Run.Decision.OVERTAKEN,
        "decided_at": now,
        "error": f"Run {run.pk} took its place before anybody decided.",
        "error_code": OVERTAKEN,
    }
    return Run.objects.filter(status=Run.Status.HELD).exclude(pk=run.pk).update(**changes)
