"""Which version of a program applies."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from membership.models import Program, ProgramVersion
from segmentation.domain.windows import local_day


def version_in_force(program: Program, *, now: datetime) -> ProgramVersion | None:
    """The version with the highest number among those effective at `now`, the project's time, by
    the program's own dates; None before the first."""
    today = local_day(now, ZoneInfo(program.timezone))
    effective = ProgramVersion.objects.filter(program=program, effective_from__lte=today)
    return effective.order_by("-number").first()
