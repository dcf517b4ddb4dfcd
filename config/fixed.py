"""What is fixed when the database is set up: zone, currency, clock.

It is read once, before Django starts, because `settings.TIME_ZONE` must be the stored one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from .env import BadEnvironment

REMEDY = (
    "unset it to use what is stored, or take another database (VAR_DIR, DATABASE_URL), or delete "
    "this one with 'make clean'"
)


@dataclass(frozen=True, slots=True)
class Fixed:
    """`clock_start` is aware; `set_up_at` is the real clock's."""

    time_zone: str
    base_currency: str
    clock_start: datetime | None
    set_up_at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the environment asks for; "" and None: nothing, so the stored value or the default."""

    time_zone: str
    base_currency: str
    clock_start: datetime | None


def read(database: dict[str, Any]) -> Fixed | None:
    """What this database was set up with; None: not set up, or not reachable.

    An unreachable database is reported by whoever needs it first, with the whole story.
    """
    parameters = {
        "host": database["HOST"],
        "port": database["PORT"],
        "user": database["USER"],
        "password": database["PASSWORD"],
        "dbname": database["NAME"],
    }
    given = {key: value for key, value in parameters.items() if value} | database["OPTIONS"]
    try:
        with psycopg.connect(**{"connect_timeout": 5} | given) as connection:
            row = connection.execute(
                "SELECT time_zone, base_currency, clock_start, set_up_at "
                "FROM segmentation_installation WHERE id = 1"
            ).fetchone()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return None
    if row is None:
        return None
    zone, currency, clock_start, set_up_at = row
    return Fixed(
        zone, currency, clock_start and clock_start.astimezone(UTC), set_up_at.astimezone(UTC)
    )


def require(stored: Fixed | None) -> None:
    """Stop a service that can't know its zone and currency: with the defaults it would compute
    and show something else than the database was set up for, as long as it lives."""
    if stored is None:
        raise BadEnvironment(
            "The database can't be reached or is not set up: start it, run 'manage.py setup' once, "
            "then start this again."
        )


def differences(stored: Fixed, wanted: Wanted) -> list[str]:
    """One sentence for each wanted value that is not the stored one."""
    found = []
    if wanted.time_zone and wanted.time_zone != stored.time_zone:
        found.append(
            f"TIME_ZONE={wanted.time_zone}, but the database was set up with {stored.time_zone}"
        )
    if wanted.base_currency and wanted.base_currency != stored.base_currency:
        found.append(
            f"BASE_CURRENCY={wanted.base_currency}, but the database was set up with "
            f"{stored.base_currency}"
        )
    if wanted.clock_start and wanted.clock_start != stored.clock_start:
        start = stored.clock_start.isoformat() if stored.clock_start else "the real clock"
        found.append(
            f"CLOCK_START={wanted.clock_start.isoformat()}, but the database was set up with "
            f"{start}"
        )
    return found


def refuse_differences(stored: Fixed, wanted: Wanted) -> None:
    """Stop with every difference and the remedy."""
    if found := differences(stored, wanted):
        raise BadEnvironment("; ".join(found) + f": {REMEDY}.")
