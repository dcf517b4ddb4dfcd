"""The one clock of the project.

`now()` is what rules, schedules and validities read: the real time, or `CLOCK_START` plus what has
passed since the database was set up. Leases, keys, log-ins and audit read `real_now()`.
"""

from __future__ import annotations

from datetime import UTC, datetime


def real_now() -> datetime:
    """The machine's time, aware, in UTC."""
    return datetime.now(UTC)


def now() -> datetime:
    """The project's time, aware, in UTC."""
    from segmentation.queries import installation  # config is above the apps; read when asked

    fixed = installation()
    if fixed is None or fixed.clock_start is None:
        return real_now()
    return fixed.clock_start + (real_now() - fixed.set_up_at)


def banner(_request: object) -> dict[str, object]:
    """Template context: `clock_start` and `project_now` while the clock is not the real one."""
    from django.conf import settings

    if settings.CLOCK_START is None:
        return {}
    return {"clock_start": settings.CLOCK_START, "project_now": now()}
