"""What the page of a job shows beside its progress: the result, and who may have its file.

Each kind says it once, with `register_job_page`; a kind without a page of its own shows its
progress, and its file belongs to the person who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import NotFoundError
from segmentation.models import AccessRecord, Job
from segmentation.services import exporting, uploads
from segmentation.services.access_log import Looker, record_access
from segmentation.services.exporting import export_source, export_sources
from segmentation.services.jobs import job_folder
from segmentation.services.reject_words import reason_in_words, reason_title
from segmentation.services.uploads import SHOWN_REJECTS, first_rejects, may_download_rejects
from segmentation.services.wording import listed

from . import shown
from .facts import KIND_WORDS

_SUBJECTS = {
    "segment": gettext_lazy("Segment"),
    "list": gettext_lazy("List"),
    "layer": gettext_lazy("Layer"),
    "tier": gettext_lazy("Tier"),
    "run": gettext_lazy("Run"),
    "metric": gettext_lazy("Metric"),
    "customer": gettext_lazy("Customer"),
}
Record = Callable[..., None]


def _no_tables(job: Job, *, user: User) -> Sequence[shown.Table]:
    return ()


def _is_own(job: Job, *, user: User) -> bool:
    return job.requested_by_id == user.pk


def _record_plain(job: Job, *, looker: Looker, now: datetime) -> None:
    record_access(
        AccessRecord.Kind.EXPORT_HIDDEN if job.is_hidden else AccessRecord.Kind.EXPORT,
        looker=looker,
        subject=job.subject or f"job:{job.pk}",
        now=now,
        is_hidden=job.is_hidden,
        details={"download_of_job": job.pk},
    )


@dataclass(frozen=True)
class JobPage:
    """`tables(job, user=)` what came of it; `may_download(job, user=)` with the rights of now;
    `record(job, looker=, now=)` writes a download down before it begins."""

    tables: Callable[..., Sequence[shown.Table]] = _no_tables
    may_download: Callable[..., bool] = _is_own
    record: Record = _record_plain


_PAGES: dict[str, JobPage] = {}


def register_job_page(kind: str, page: JobPage) -> None:
    """Say how finished jobs of a kind are shown."""
    _PAGES[kind] = page


def job_page(kind: str) -> JobPage:
    """How finished jobs of a kind are shown."""
    return _PAGES.get(kind, JobPage())


def subject_words(job: Job) -> str:
    """What the job is about, for a list: no look-up, so it costs nothing."""
    kind, _colon, key = job.subject.partition(":")
    if kind == "rows":
        source = export_sources().get(key)
        return str(source.title) if source else key
    if kind == "file":
        words = KIND_WORDS.get(str(job.parameters.get("kind")))
        return f"{words} · {key}" if words else key
    return f"{_SUBJECTS[kind]} · {key}" if kind in _SUBJECTS else job.subject


def _export_tables(job: Job, *, user: User) -> Sequence[shown.Table]:
    asked, result = job.parameters, job.result
    try:
        title = str(export_source(asked["source"]).title)
    except NotFoundError:
        title = asked["source"]
    rows: list[tuple[Any, Any]] = [
        (_("Export"), title),
        (_("Format"), str(asked["format"]).upper()),
        (_("Rows"), shown.count(result.get("rows"))),
        (_("Personal columns"), listed(result.get("personal") or ()) or _("none")),
    ]
    if result.get("stores") is not None:
        rows.append((_("Only the stores"), listed(result["stores"])))
    return (shown.Table(_("Result"), (_("what"), _("value")), rows),)


def _import_tables(job: Job, *, user: User) -> Sequence[shown.Table]:
    counts = job.result.get("counts") or {}
    names = {
        "read": _("rows read"),
        "inserted": _("new rows"),
        "updated": _("updated rows"),
        "unchanged": _("unchanged rows"),
        "rejected": _("rejected rows"),
    }
    kind = KIND_WORDS.get(str(job.result.get("kind")), job.result.get("kind"))
    tables = [
        shown.Table(
            _("Result: %(kind)s") % {"kind": kind},
            tuple(names.values()),
            [tuple(shown.count(counts.get(name)) for name in names)] if counts else (),
            numeric=frozenset(range(5)),
        )
    ]
    if job.result.get("batches"):
        links = [
            (shown.link("segmentation_factbatch_change", args=[pk], text=pk),)
            for pk in job.result["batches"]
        ]
        tables.append(shown.Table(_("Recorded as"), (_("import"),), links))
    if counts.get("rejected"):
        tables += _reject_tables(job, user=user)
    return tables


def _reject_tables(job: Job, *, user: User) -> list[shown.Table]:
    reasons = [
        (reason_title(code), code, shown.count(count))
        for code, count in (job.result.get("reasons") or {}).items()
    ]
    tables = [
        shown.Table(
            _("Rejected rows by reason"),
            (_("reason"), _("code"), _("rows")),
            reasons,
            numeric=frozenset({2}),
        )
    ]
    path = job_folder(job.pk) / "rejects.csv"
    if may_download_rejects(job, user=user) and path.is_file():
        rows = [
            (row["line"], reason_in_words(row["reason_code"], row["reason"]), row["raw"])
            for row in first_rejects(path)
        ]
        tables.append(
            shown.Table(
                _("First rejected rows"),
                (_("line"), _("reason"), _("row as sent")),
                rows,
                note=_("At most %(most)s; the file has all of them.") % {"most": SHOWN_REJECTS},
                numeric=frozenset({0}),
            )
        )
    return tables


register_job_page(
    exporting.KIND,
    JobPage(_export_tables, exporting.may_download_export, exporting.record_download),
)
register_job_page(
    uploads.KIND,
    JobPage(_import_tables, may_download_rejects, uploads.record_rejects_download),
)
