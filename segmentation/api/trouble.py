"""What went wrong since the run whose results show, as answers tell it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from segmentation.models import Run

from .instants import shown_instant

TROUBLE = (Run.Status.QUEUED, Run.Status.HELD, Run.Status.FAILED)


class RunTrouble(serializers.Serializer[Any]):
    """The newest run that failed, is held, or is being tried again, after the one whose results
    show."""

    run = serializers.IntegerField()
    as_of = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=list(TROUBLE))
    code = serializers.CharField(help_text='stable; "" for what nobody foresaw')


def shown_trouble(run: Run) -> dict[str, Any]:
    """Without its message, which may name what only staff may know of."""
    return {
        "run": run.pk,
        "as_of": shown_instant(run.as_of),
        "status": run.status,
        "code": run.error_code,
    }
