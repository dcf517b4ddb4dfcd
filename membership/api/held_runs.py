"""What the API tells about held runs: why, and what a person decided."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from segmentation.api.instants import shown_instant
from segmentation.api.viewer import KeyViewer
from segmentation.models import Run
from segmentation.permissions import mentions_hidden, row_scope
from segmentation.services.held_runs import seen_findings


class HeldReason(serializers.Serializer[Any]):
    """One thing that was out of range."""

    kind = serializers.ChoiceField(choices=["segment", "volume"])
    check = serializers.ChoiceField(
        choices=["change", "spread", "volume", "promotion", "first_promotion"]
    )
    key = serializers.CharField(help_text="the segment, or the source of the facts")
    day = serializers.DateField(allow_null=True, help_text="of the facts")
    before = serializers.IntegerField(help_text="what was expected")
    after = serializers.IntegerField(help_text="what was found")
    low = serializers.IntegerField(help_text="the least that would have passed")
    high = serializers.IntegerField(allow_null=True, help_text="the most that would have passed")
    promotion = serializers.CharField(help_text='the promotion that the day is part of, or ""')
    compared = serializers.CharField(help_text='the earlier one it was measured by, or ""')


def decision_fields(run: Run, *, words: frozenset[str]) -> dict[str, Any]:
    """Who decided what and why; a reason that names something hidden is left out."""
    reason = run.decision_reason or None
    if reason is not None and mentions_hidden(reason, words=words):
        reason = None
    return {
        "decision": run.decision or None,
        "decided_by": run.decided_by or None,
        "decided_at": None if run.decided_at is None else shown_instant(run.decided_at),
        "decision_reason": reason,
    }


def held_rows(run: Run, *, viewer: KeyViewer) -> list[dict[str, Any]] | None:
    """Why the run is or was held, or a dry run would be, as far as this key may know; None: it was
    not."""
    if not run.held_reasons:
        return None
    # The numbers count the customers of all stores.
    seen = seen_findings(run, viewer=viewer) if row_scope(viewer) is None else ()
    return [finding.as_row() for finding in seen]
