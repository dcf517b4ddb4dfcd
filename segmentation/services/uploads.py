"""Facts by upload: the importer as a job, with the rejected rows as a file to download.

The facts and the job's result are written in one transaction. A worker that is killed before it has
recorded nothing; one that is killed behind it leaves a result that the next attempt finds, so a
file is never imported twice and its counts are those of the time it was.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import TierwiseError
from segmentation.domain.facts import FACT_KINDS, TAG_PREFIX
from segmentation.models import FactBatch, Job
from segmentation.permissions import EXPORT_PERSONAL, IMPORT_FACTS

from .access_log import Looker, record_access
from .importing import Counts, Progress, import_file
from .importing.groups import imported_groups
from .importing.imports import fact_kind
from .job_kinds import job_kind
from .jobs import JobCancelled, JobWork, request_job
from .reject_words import reason_in_words
from .spreadsheets import safe_text

KIND = "import"
SUFFIXES = (".csv", ".csv.gz", ".parquet")
SHOWN_REJECTS = 20  # on the page of the job; the file has all
_WHOLE = 1000  # progress in thousandths of the file's bytes
_LONGEST_NAME = 150
_NOT_IN_NAMES = '<>:"|?*'
_REJECTS = "rejects.csv"
_MARK = "utf-8-sig"  # spreadsheets read the file as UTF-8


def request_import(
    kind: str,
    *,
    file: BinaryIO,
    file_name: str,
    strict: bool,
    user: User,
    looker: Looker,
    key: str | None,
    now: datetime,
    project_now: datetime,
) -> Job:
    """Queue the import of an uploaded file. The same `key` again gives the same job.

    `now` is the real clock's, `project_now` the project's at that moment. Errors: `forbidden`,
    `unknown_kind`, `unknown_format`. What is wrong inside the file fails the job, all at once.
    """
    if not user.has_perm(IMPORT_FACTS):
        raise TierwiseError(_("You may not import facts."), code="forbidden")
    fact_kind(kind)
    name = safe_file_name(file_name)
    if not name.lower().endswith(SUFFIXES):
        message = _("Files end in .csv, .csv.gz or .parquet.")
        raise TierwiseError(message, code="unknown_format")
    return request_job(
        KIND,
        parameters={
            "kind": kind,
            "file": name,
            "strict": strict,
            "asked_at": now.isoformat(),
            "project_now": project_now.isoformat(),
        },
        user=user,
        actor=looker.actor,
        now=now,
        subject=f"file:{name}",
        key=key,
        upload=file,
    )


@job_kind(KIND, title=gettext_lazy("Import"))
def import_upload(work: JobWork) -> dict[str, Any]:
    """Record the facts of the uploaded file; the result has the counts and the reject reasons."""
    asked = work.parameters
    if work.job.result.get("counts"):  # an earlier attempt was killed behind its commit
        return _finish(work, dict(work.job.result))
    user = work.user
    if user is None or not user.has_perm(IMPORT_FACTS):
        raise TierwiseError(_("You may not import facts."), code="forbidden")
    try:
        result = _import(work, asked)
    except TierwiseError:
        work.input.unlink(missing_ok=True)  # it will not be read again
        raise
    return _finish(work, result)


def _import(work: JobWork, asked: dict[str, Any]) -> dict[str, Any]:
    recorded_at = work.clock()
    passed = recorded_at - datetime.fromisoformat(asked["asked_at"])
    rejects = work.folder / _REJECTS
    with _progress_outside(work) as show, transaction.atomic():
        counts = import_file(
            _under_its_name(work.input, asked["file"]),
            kind=asked["kind"],
            actor=work.job.actor,
            zone=ZoneInfo(settings.TIME_ZONE),
            base_currency=settings.BASE_CURRENCY,
            now=datetime.fromisoformat(asked["project_now"]) + passed,
            recorded_at=recorded_at,
            strict=asked["strict"],
            rejects=rejects,
            source=FactBatch.Source.ADMIN,
            on_progress=show,
        )
        written = FactBatch.objects.filter(
            recorded_at=recorded_at, actor=work.job.actor, source=FactBatch.Source.ADMIN
        )
        result = {
            "kind": asked["kind"],
            "file": asked["file"],
            "counts": _shown_counts(counts),
            "reasons": _reasons(rejects),
            "batches": list(written.order_by("pk").values_list("pk", flat=True)),
        }
        _keep_with_the_facts(work, result)
    return result


def _keep_with_the_facts(work: JobWork, result: dict[str, Any]) -> None:
    """The result, in the transaction of the facts; a job that was cancelled or taken over by
    another worker keeps neither."""
    held = Job.objects.filter(
        pk=work.job.pk, lease_owner=work.job.lease_owner, cancel_requested_at=None
    )
    if not held.update(result=result):
        raise JobCancelled


@contextmanager
def _progress_outside(work: JobWork) -> Iterator[Any]:
    """Notes progress through a connection of its own.

    Inside the import's transaction nobody would see it, and the locked row of the job would stop
    its heartbeat and its cancelling until the end.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import-progress") as outside:

        def show(progress: Progress) -> None:
            stage = _("Reading: %(rows)s rows") % {"rows": f"{progress.rows:,}"}
            if progress.part >= 1:
                stage = _("Recording: %(rows)s rows") % {"rows": f"{progress.rows:,}"}
            done = round(progress.part * _WHOLE)
            outside.submit(work.progress, done, total=_WHOLE, stage=stage).result()

        try:
            yield show
        finally:
            outside.submit(lambda: connection.close()).result()  # that thread's, not ours


def _finish(work: JobWork, result: dict[str, Any]) -> dict[str, Any]:
    rejects = work.folder / _REJECTS
    if result["counts"]["rejected"] and rejects.is_file():
        stem = result["file"].rpartition(".")[0].removesuffix(".csv") or result["file"]
        _write_in_language(rejects, work.result(f"rejects-{stem}.csv"))
    work.input.unlink(missing_ok=True)  # what was in it is recorded, or in the rejects
    return result


def _write_in_language(rejects: Path, target: Path) -> None:
    """The rejects with their reasons in the person's language, harmless for spreadsheets."""
    draft = target.with_name(f".{target.name}.part")
    with draft.open("w", encoding=_MARK, newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("line", "reason_code", "reason", "raw"))
        for row in _rejected(rejects):
            reason = reason_in_words(row["reason_code"], row["reason"])
            cells = (row["line"], row["reason_code"], safe_text(reason), safe_text(row["raw"]))
            writer.writerow(cells)
    draft.replace(target)


def first_rejects(path: Path) -> list[dict[str, str]]:
    """The first rows of a rejects file, for a page."""
    found = []
    for row in _rejected(path):
        found.append(row)
        if len(found) == SHOWN_REJECTS:
            break
    return found


def _rejected(path: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(2**31 - 1)  # a line of the file is one cell here
    with path.open(encoding=_MARK, newline="") as stream:
        yield from csv.DictReader(stream)


def _reasons(path: Path) -> dict[str, int]:
    return dict(Counter(row["reason_code"] for row in _rejected(path)).most_common())


def _shown_counts(counts: Counts) -> dict[str, int]:
    return {name: number for name, number in asdict(counts).items() if name != "kind"}


def may_download_rejects(job: Job, *, user: User) -> bool:
    """Whether this person may have the rejected rows: they show what was in the file.

    The job itself must be visible to them (`visible_jobs`). Others than the one who sent the file
    need the right to personal data, because every kind of row can carry some.
    """
    if not user.has_perm(IMPORT_FACTS):
        return False
    return job.requested_by_id == user.pk or user.has_perm(EXPORT_PERSONAL)


def record_rejects_download(job: Job, *, looker: Looker, now: datetime) -> None:
    """Write down that somebody fetched rejected rows."""
    is_own = looker.user is not None and job.requested_by_id == looker.user.pk
    record_access(
        "export" if is_own else "export_personal",
        looker=looker,
        subject=f"import:{job.pk}",
        now=now,
        rows=(job.result.get("counts") or {}).get("rejected"),
        details={"download_of_job": job.pk, "file": job.result.get("file")},
    )


def template_header(kind: str) -> list[str]:
    """The columns of a file of this kind, required ones first, then the tags that can be imported.

    Raises TierwiseError `unknown_kind`.
    """
    found = fact_kind(kind)
    names = [column.name for column in found.columns]
    if kind == "customers":
        groups = imported_groups().values()
        names += [f"{TAG_PREFIX}{group.key}" for group in groups if not group.is_derived]
    return names


def import_kinds() -> tuple[str, ...]:
    """The kinds of fact files, in the order in which they depend on each other."""
    return tuple(FACT_KINDS)


def safe_file_name(name: str) -> str:
    """The last part of a file's name without anything a path or a log could stumble over."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(sign for sign in last if sign.isprintable() and sign not in _NOT_IN_NAMES)
    kept = kept.strip()
    suffix = next((end for end in SUFFIXES if kept.lower().endswith(end)), "")
    stem, end = (kept[: -len(suffix)], kept[-len(suffix) :]) if suffix else (kept, "")
    return f"{stem.strip(' .')[: _LONGEST_NAME - len(end)] or 'file'}{end}"


def _under_its_name(file: Path, name: str) -> Path:
    """The same file under the name it was sent with, whose end says the format."""
    folder = file.parent / "sent"
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to(file.resolve())
    return link
