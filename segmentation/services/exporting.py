"""Exports: lists as files, made by a job, with the rights of the moment it runs.

A source says what its rows are; this module decides who gets them. Rights are checked when the
export is asked for, again when the job runs and again at each download: hidden things need the
right to see them, personal columns the right to export those, and rows keep to the row scope.
Every export is written down in the access log with its number of rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import AccessRecord, Job
from segmentation.permissions import (
    EXPORT_DATA,
    EXPORT_PERSONAL,
    may_see_hidden,
    row_scope,
)

from .access_log import Looker, record_access
from .export_registry import (
    ExportColumn,
    ExportScope,
    ExportSource,
    export_source,
    export_sources,
    register_source,
)
from .job_kinds import job_kind
from .jobs import JobWork, request_job
from .spreadsheets import FORMATS, Cell, FileFormat, Heading, open_table
from .wording import named

__all__ = [
    "ExportColumn",
    "ExportScope",
    "ExportSource",
    "export",
    "export_scope",
    "export_source",
    "export_sources",
    "may_download_export",
    "may_export",
    "record_download",
    "register_source",
    "request_export",
]
KIND = "export"
_PROGRESS_EVERY = 1000


def may_export(user: User, source: ExportSource) -> bool:
    """Whether this person may export rows of this source at all."""
    rights = source.permissions if source.is_evidence else (EXPORT_DATA, *source.permissions)
    return user.is_active and user.has_perms(rights)


def export_scope(
    source: ExportSource, *, parameters: Mapping[str, Any], user: User, now: datetime
) -> ExportScope:
    """What this person would get now, checked: the parameters are complete and the run is named.

    Errors: `not_found` (also for what is hidden from them), `forbidden`, those of the source.
    """
    if not may_export(user, source):
        raise TierwiseError(_("You may not export this."), code="forbidden")
    zone = ZoneInfo(settings.TIME_ZONE)
    asked = ExportScope(parameters, user, now, zone)
    if source.is_hidden(parameters) and not may_see_hidden(user):
        raise NotFoundError(_("There is nothing like that to export."))
    return ExportScope(source.pinned(asked), user, now, zone)


def request_export(
    source: str,
    *,
    parameters: Mapping[str, Any],
    file_format: str,
    user: User,
    looker: Looker,
    key: str | None,
    now: datetime,
    with_personal: bool = False,
) -> Job:
    """Queue an export. The same `key` again gives the same job. `now` is the real clock's.

    Errors: `not_found`, `forbidden`, `invalid` (format), those of the source.
    """
    chosen = export_source(source)
    if file_format not in FORMATS:
        raise TierwiseError(_("Choose CSV or XLSX."), code="invalid")
    scope = export_scope(chosen, parameters=parameters, user=user, now=now)
    if with_personal and not user.has_perm(EXPORT_PERSONAL):
        raise TierwiseError(_("You may not export personal columns."), code="forbidden")
    return request_job(
        KIND,
        parameters={
            "source": source,
            "format": file_format,
            "with_personal": with_personal,
            "via": looker.via,
            "address": looker.address,
            "parameters": dict(scope.parameters),
        },
        user=user,
        actor=looker.actor,
        now=now,
        subject=chosen.subject(scope.parameters),
        is_hidden=chosen.is_hidden(scope.parameters),
        key=key,
    )


@job_kind(KIND, title=gettext_lazy("Export"))
def export(work: JobWork) -> dict[str, Any]:
    """Write the file. Nothing of it is kept when the person has lost a right meanwhile."""
    asked = work.parameters
    source = export_source(asked["source"])
    user = work.user
    if user is None:
        raise TierwiseError(_("An export belongs to a person."), code="forbidden")
    scope = export_scope(source, parameters=asked["parameters"], user=user, now=work.clock())
    is_hidden = source.is_hidden(scope.parameters)
    if is_hidden and not work.job.is_hidden:  # hidden since it was asked for
        Job.objects.filter(pk=work.job.pk).update(is_hidden=True)
    with_personal = bool(asked["with_personal"])
    if with_personal and not user.has_perm(EXPORT_PERSONAL):
        raise TierwiseError(_("You may not export personal columns."), code="forbidden")
    columns = source.columns(scope)
    kept = [at for at, column in enumerate(columns) if with_personal or not column.is_personal]
    personal = [columns[at].name for at in kept if columns[at].is_personal]
    file_format: FileFormat = asked["format"]
    heading = Heading(
        lines=_lines(source, scope),
        titles=[str(columns[at].title) for at in kept],
    )
    work.progress(0, total=source.size(scope), stage=_("Writing"))
    path = work.result(_file_name(source, scope, file_format))
    count = 0
    with open_table(path, file_format=file_format, heading=heading, zone=scope.zone) as file:
        for row in source.rows(scope):
            file.write([row[at] for at in kept])
            count += 1
            if count % _PROGRESS_EVERY == 0:
                work.progress(count)
    _record(source, scope, _looker(work, user), is_hidden=is_hidden, personal=personal, rows=count)
    work.progress(count, total=count)
    stores = row_scope(user)
    return {
        "source": source.name,
        "rows": count,
        "personal": personal,
        "stores": None if stores is None else list(stores),
        "by_hidden_viewer": may_see_hidden(user),
    }


def may_download_export(job: Job, *, user: User) -> bool:
    """Whether this person, with the rights of now, may have the file of a finished export.

    The job itself must be visible to them (`visible_jobs`).
    """
    result, asked = job.result, job.parameters
    try:
        source = export_source(str(asked.get("source")))
    except NotFoundError:
        return False
    if not may_export(user, source):
        return False
    if source.is_hidden(asked.get("parameters") or {}) and not may_see_hidden(user):
        return False
    if result.get("by_hidden_viewer", True) and not may_see_hidden(user):
        return False  # whoever wrote it saw more
    if result.get("personal") and not user.has_perm(EXPORT_PERSONAL):
        return False
    stores = row_scope(user)
    written = result.get("stores")
    return stores is None or (written is not None and set(written) <= set(stores))


def record_download(job: Job, *, looker: Looker, now: datetime) -> None:
    """Write down that somebody fetched the file of a finished export."""
    source = export_source(job.parameters["source"])
    parameters = job.parameters["parameters"]
    kinds = _access_kinds(
        is_hidden=job.is_hidden or source.is_hidden(parameters),
        personal=job.result.get("personal") or [],
    )
    for kind, subject in product(kinds, source.subjects(parameters)):
        record_access(
            kind,
            looker=looker,
            subject=subject,
            now=now,
            is_hidden=job.is_hidden,
            rows=job.result.get("rows"),
            details={"download_of_job": job.pk},
        )


def _record(
    source: ExportSource,
    scope: ExportScope,
    looker: Looker,
    *,
    is_hidden: bool,
    personal: Sequence[str],
    rows: int,
) -> None:
    kinds = _access_kinds(is_hidden=is_hidden, personal=personal)
    for kind, subject in product(kinds, source.subjects(scope.parameters)):
        record_access(
            kind,
            looker=looker,
            subject=subject,
            now=scope.now,
            is_hidden=is_hidden,
            rows=rows,
            details={
                "source": source.name,
                "columns": list(personal),
                "parameters": dict(scope.parameters),
            },
        )


def _access_kinds(*, is_hidden: bool, personal: Sequence[str]) -> list[str]:
    """What the log calls it; hidden and personal is both, so that either question finds it."""
    kinds = [AccessRecord.Kind.EXPORT_HIDDEN] if is_hidden else []
    if personal:
        kinds.append(AccessRecord.Kind.EXPORT_PERSONAL)
    return [str(kind) for kind in kinds or [AccessRecord.Kind.EXPORT]]


def _looker(work: JobWork, user: User) -> Looker:
    return Looker(
        actor=work.job.actor,
        via=work.parameters["via"],
        user=user,
        address=work.parameters.get("address"),
    )


def _lines(source: ExportSource, scope: ExportScope) -> list[tuple[str, Cell]]:
    about = source.about(scope)
    return [
        (_("Export"), named(source.title, about) if about else str(source.title)),
        *source.heading(scope),
        (_("Made at"), scope.now),
        (_("Time zone"), scope.zone.key),
    ]


def _file_name(source: ExportSource, scope: ExportScope, file_format: FileFormat) -> str:
    """Of safe characters alone: the key of what was exported and the day."""
    _kind, _colon, key = source.subject(scope.parameters).partition(":")
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", key)
    day = scope.now.astimezone(scope.zone)
    parts = [source.name, *([safe] if safe and safe != source.name else []), f"{day:%Y%m%d-%H%M}"]
    return f"{'-'.join(parts)[:200]}.{file_format}"
