"""Data quality: what was recorded, how late, how complete; worked out by a job, shown from it.

The newest finished job *is* the cache: its result says when it was made, and nothing is counted
while a page is asked for. Figures cover all stores, so a person with a row scope has no report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from psycopg.errors import QueryCanceled

from segmentation.domain.errors import TierwiseError
from segmentation.domain.windows import local_day, local_midnight
from segmentation.models import Job
from segmentation.permissions import row_scope

from . import quality_sql as sql
from .access_log import Looker
from .job_kinds import job_kind
from .jobs import JobWork, request_job

KIND = "data_quality"
VIEW = "segmentation.view_factbatch"
DAYS = 30  # of recording
ORDER_DAYS = 90  # of placed_at
_LONGEST_QUERY = "15min"
_WAITING = (Job.Status.QUEUED, Job.Status.RUNNING)


def may_see_quality(user: User) -> bool:
    """Whether this person may see figures about all recorded facts."""
    return user.has_perm(VIEW) and row_scope(user) is None


def request_quality_report(
    *, user: User, looker: Looker, key: str | None, now: datetime, project_now: datetime
) -> Job:
    """Queue a new report, or give back the one that is under way already.

    `now` is the real clock's, `project_now` the project's. Errors: `forbidden`.
    """
    if not may_see_quality(user):
        raise TierwiseError(_("You may not see this report."), code="forbidden")
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [KIND])
        waiting = Job.objects.filter(kind=KIND, status__in=_WAITING).order_by("pk").first()
        if waiting is not None:
            return waiting
        return request_job(
            KIND,
            parameters={"project_now": project_now.isoformat()},
            user=user,
            actor=looker.actor,
            now=now,
            key=key,
        )


def newest_report() -> Job | None:
    """The finished job whose result is the report to show; None before the first."""
    return Job.objects.filter(kind=KIND, status=Job.Status.DONE).order_by("-pk").first()


def report_under_way() -> Job | None:
    """The job that is making the next report."""
    return Job.objects.filter(kind=KIND, status__in=_WAITING).order_by("pk").first()


@job_kind(KIND, title=gettext_lazy("Data quality"))
def make_quality_report(work: JobWork) -> dict[str, Any]:
    """Ask the database one question after the other; each reads its tables once."""
    now = work.clock()
    zone = ZoneInfo(settings.TIME_ZONE)
    placed_to = datetime.fromisoformat(work.parameters["project_now"])
    values: dict[str, Any] = {
        "zone": zone.key,
        "recorded_from": local_midnight(local_day(now, zone) - timedelta(days=DAYS - 1), zone),
        "placed_from": local_midnight(
            local_day(placed_to, zone) - timedelta(days=ORDER_DAYS), zone
        ),
        "placed_to": placed_to,
    }
    report: dict[str, Any] = {
        "made_at": now.isoformat(),
        "recorded_from": values["recorded_from"].isoformat(),
        "placed_from": values["placed_from"].isoformat(),
        "placed_to": values["placed_to"].isoformat(),
    }
    steps = _steps()
    for number, (name, title, ask) in enumerate(steps):
        work.progress(number, total=len(steps), stage=str(title))
        report[name] = ask(values)
    work.progress(len(steps), total=len(steps))
    return report


def _steps() -> Sequence[tuple[str, Any, Any]]:
    return (
        ("days", _("Rows by day and source"), _days),
        ("late", _("Late facts"), _late),
        ("orders", _("Orders"), _orders),
        ("customers", _("Customers"), _customers),
        ("missing", _("Missing values"), _missing),
        ("duplicates", _("Possible duplicates"), _duplicates),
        ("rejected", _("Rejected rows"), _rejected),
    )


def _rows(query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of one question, which the database gives up on rather than running for hours."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{_LONGEST_QUERY}'")
            cursor.execute(query, values)
            return list(cursor.fetchall())
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        message = _("The database needed more than 15 minutes for one question; try again later.")
        raise TierwiseError(message, code="too_slow") from error


def _days(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "day": day.isoformat(),
            "source": source,
            "rows": int(rows or 0),
            "rejected": int(rejected or 0),
            "batches": batches,
        }
        for day, source, rows, rejected, batches in _rows(sql.ROWS_BY_DAY, values)
    ]


def _late(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for kind in sql.TIMED:
        ((recorded, late, longest),) = _rows(sql.late_facts(kind), values)
        days = None if longest is None else max(int(longest), 0)
        found.append({"kind": kind, "recorded": recorded, "late": late, "longest_days": days})
    return found


def _orders(values: Mapping[str, Any]) -> dict[str, int]:
    ((orders, of_stubs, without_lines, free),) = _rows(sql.ORDERS, values)
    return {"orders": orders, "of_stubs": of_stubs, "without_lines": without_lines, "free": free}


def _customers(values: Mapping[str, Any]) -> dict[str, int]:
    ((customers, stubs),) = _rows(sql.STUBS, values)
    return {"customers": customers, "stubs": stubs}


def _missing(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for kind, fields in sql.FIELDS.items():
        ((rows, *missing),) = _rows(sql.missing_shares(kind), values)
        found += [
            {"kind": kind, "field": field, "rows": rows, "missing": count}
            for field, count in zip(fields, missing, strict=True)
        ]
    return found


def _duplicates(values: Mapping[str, Any]) -> dict[str, Any]:
    ((groups, extra, amount, sample),) = _rows(sql.DUPLICATES, values)
    return {
        "groups": groups,
        "extra": int(extra),
        "amount": str(amount),
        "sample": json.loads(sample) if isinstance(sample, str) else sample,
    }


def _rejected(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "by_kind": [
            {"kind": kind, "source": source, "read": int(read), "rejected": int(rejected)}
            for kind, source, read, rejected in _rows(sql.REJECTED_BY_KIND, values)
        ],
        "by_reason": [
            {"kind": kind, "reason": reason, "rows": int(rows)}
            for kind, reason, rows in _rows(sql.REJECT_REASONS, values)
        ],
    }
