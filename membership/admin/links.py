"""Addresses of filtered lists: what a figure on a page counts, as rows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse

from segmentation.domain.windows import local_day


def memberships_url(
    *,
    program: str = "",
    tier: str = "",
    until: tuple[date, date] | None = None,
    in_grace: bool = False,
) -> str:
    """The members of a program or tier; `until` is the first and last day on which terms end."""
    first, last = until or (None, None)
    return _address(
        "membership_membership_changelist",
        program=program,
        tier=tier,
        until_from=first.isoformat() if first else "",
        until_to=last.isoformat() if last else "",
        grace_until__isnull="False" if in_grace else "",
    )


def transitions_url(
    *,
    program: str = "",
    kind: str = "",
    from_tier: str = "",
    to_tier: str = "",
    days: tuple[date, date] | None = None,
) -> str:
    """Decisions of a program, of some kinds or between two tiers, in a range of local days.

    `kind` is one of Transition.Kind or several with commas between them.
    """
    first, last = days or (None, None)
    return _address(
        "membership_transition_changelist",
        program=program,
        kind__in=kind,
        from_tier=from_tier,
        to_tier=to_tier,
        day_from=first.isoformat() if first else "",
        day_to=last.isoformat() if last else "",
    )


def project_day(instant: datetime) -> date:
    """The day of an instant in the project's zone, by which lists filter."""
    return local_day(instant, ZoneInfo(settings.TIME_ZONE))


def days_ahead(now: datetime, days: int) -> tuple[date, date]:
    """The first and last of the next `days` local days. Today is none of them: a term ends at a
    midnight, so one that ends today is over."""
    today = project_day(now)
    return today + timedelta(days=1), today + timedelta(days=days)


def last_month(now: datetime) -> tuple[date, date]:
    """The first and last local day of the calendar month before this one."""
    last = project_day(now).replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _address(name: str, **filters: str) -> str:
    given = {name: value for name, value in filters.items() if value}
    address = reverse(f"admin:{name}")
    return f"{address}?{urlencode(given)}" if given else address
