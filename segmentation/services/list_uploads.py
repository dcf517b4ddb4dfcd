"""Filling a customer list from a file, as a job with a report and the rejected lines.

The members and the job's result are written in one transaction: a worker that is killed before it
has changed nothing, one that is killed behind it leaves the result that the next attempt finds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import TierwiseError
from segmentation.models import CustomerList, Job
from segmentation.permissions import visible_lists

from .customer_lists import CHANGE_LIST
from .job_kinds import job_kind
from .jobs import JobCancelled, JobWork, request_job
from .list_files import Line, read_ids
from .list_members import MODES, staged_ids, write_members
from .reject_words import REASONS
from .spreadsheets import safe_text

KIND = "list_upload"
_MARK = "utf-8-sig"  # spreadsheets read the file as UTF-8
_EVERY = 20_000
_REASONS = {
    **REASONS,
    "unknown_customer": gettext_lazy("There is no such customer."),
    "duplicate": gettext_lazy("The same ID stands further up in the file."),
}


def request_upload(
    row: CustomerList,
    *,
    file: BinaryIO,
    mode: str,
    user: User,
    actor: str,
    reason: str,
    now: datetime,
    key: str | None,
) -> Job:
    """Queue the upload of a file into a list: `replace` its members, `add` to them or `remove` from
    them. The same `key` again gives the same job. Errors: `forbidden`, `invalid` (mode)."""
    _require(user)
    if mode not in MODES:
        raise TierwiseError(f"{mode!r} is not one of {', '.join(MODES)}.")
    return request_job(
        KIND,
        parameters={"list": row.pk, "mode": mode, "reason": reason.strip()},
        user=user,
        actor=actor,
        now=now,
        subject=f"list:{row.key}",
        is_hidden=row.is_hidden,
        key=key,
        upload=file,
    )


@job_kind(KIND, title=gettext_lazy("List upload"))
def upload_list(work: JobWork) -> dict[str, Any]:
    """Read the file and write the list; the result has the counts of `list_members.Written`,
    `invalid` lines without an id (`read` counts them too) and `rejected`: all refused lines by
    reason."""
    if work.job.result.get("read") is not None:  # an earlier attempt was killed behind its commit
        return dict(work.job.result)
    user = work.user
    if user is None:
        raise TierwiseError(_("You may not change lists."), code="forbidden")
    _require(user)
    asked = work.parameters
    row = visible_lists(user).filter(pk=asked["list"]).first()
    if row is None:
        raise TierwiseError(_("The list is gone."), code="not_found")
    good, bad = _read(work)
    with (
        transaction.atomic(),
        staged_ids((line.number, line.customer_id) for line in good) as cursor,
    ):
        written = write_members(
            row,
            cursor=cursor,
            mode=asked["mode"],
            actor=work.job.actor,
            reason=asked["reason"],
        )
        numbers = dict(_refused_lines(cursor))
        refused = sorted(
            [*bad, *(_with(line, numbers[line.number]) for line in good if line.number in numbers)],
            key=lambda line: line.number,
        )
        result = {
            "list": row.key,
            "mode": asked["mode"],
            **written.as_document(),
            "read": written.read + len(bad),
            "invalid": len(bad),
            "rejected": _by_reason(refused),
        }
        if refused:
            _write_rejects(refused, work.result(f"rejects-{row.key}.csv"))
        keep_with_the_members(work, result)
    work.input.unlink(missing_ok=True)  # what was in it is on the list, or in the rejects
    return result


def _read(work: JobWork) -> tuple[list[Line], list[Line]]:
    """The lines with an id and those without."""
    good: list[Line] = []
    bad: list[Line] = []
    for count, line in enumerate(read_ids(work.input), 1):
        (good if line.problem is None else bad).append(line)
        if count % _EVERY == 0:
            work.progress(count, stage=_("Reading: %(rows)s rows") % {"rows": f"{count:,}"})
    work.progress(len(good) + len(bad), stage=_("Writing the list"))
    return good, bad


def _refused_lines(cursor: Any) -> Iterator[tuple[int, str]]:
    """The staged lines that were not used, with the reason."""
    cursor.execute(
        "SELECT u.line, CASE WHEN u.nth > 1 THEN 'duplicate' ELSE 'unknown_customer' END FROM"
        " (SELECT line, external_id, row_number() OVER (PARTITION BY external_id ORDER BY line)"
        "  AS nth FROM list_upload) u"
        " LEFT JOIN segmentation_customer c ON c.external_id = u.external_id"
        " AND c.erased_at IS NULL WHERE u.nth > 1 OR c.id IS NULL"
    )
    yield from cursor.fetchall()


def _with(line: Line, problem: str) -> Line:
    return Line(line.number, line.customer_id, problem, line.raw)


def _by_reason(lines: list[Line]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        found[str(line.problem)] = found.get(str(line.problem), 0) + 1
    return found


def _write_rejects(lines: list[Line], target: Path) -> None:
    """The rejects file: line, reason_code, reason, raw; harmless for spreadsheets."""
    draft = target.with_name(f".{target.name}.part")
    with draft.open("w", encoding=_MARK, newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("line", "reason_code", "reason", "raw"))
        for line in lines:
            reason = str(_REASONS.get(str(line.problem), line.problem))
            writer.writerow((line.number, line.problem, safe_text(reason), safe_text(line.raw)))
    draft.replace(target)


def keep_with_the_members(work: JobWork, result: dict[str, Any]) -> None:
    """The result, in the transaction of the members; a job that was cancelled or taken over by
    another worker keeps neither."""
    held = Job.objects.filter(
        pk=work.job.pk, lease_owner=work.job.lease_owner, cancel_requested_at=None
    )
    if not held.update(result=result):
        raise JobCancelled


def _require(user: User) -> None:
    if not user.has_perm(CHANGE_LIST):
        raise TierwiseError(_("You may not change lists."), code="forbidden")
