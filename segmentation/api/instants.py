"""Instants as answers show them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings


def shown_instant(instant: datetime) -> str:
    """An instant in the project's zone."""
    return instant.astimezone(ZoneInfo(settings.TIME_ZONE)).isoformat()
