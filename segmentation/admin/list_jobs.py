"""What the pages of jobs about customer lists show."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.translation import gettext as _

from segmentation.models import AccessRecord, CustomerList, Job
from segmentation.permissions import EXPORT_PERSONAL, visible_lists
from segmentation.services import list_saves, list_uploads
from segmentation.services.access_log import Looker, record_access
from segmentation.services.customer_lists import CHANGE_LIST
from segmentation.services.jobs import job_folder

from . import shown
from .job_pages import JobPage, register_job_page

_SHOWN = 20
_ALWAYS = ("read", "added", "unknown", "duplicates", "size")  # also when they are 0
_MARK = "utf-8-sig"


def _tables(job: Job, *, user: User) -> Sequence[shown.Table]:
    found = job.result
    if found.get("read") is None:
        return ()
    names = {
        "read": _("rows read"),
        "added": _("added"),
        "already_there": _("on the list already"),
        "removed": _("taken off"),
        "not_there": _("not on the list"),
        "dropped": _("no longer on the list"),
        "unknown": _("unknown customers"),
        "duplicates": _("duplicates"),
        "invalid": _("without an ID"),
        "size": _("members now"),
    }
    rows = [
        (words, shown.count(found[name]))
        for name, words in names.items()
        if name in found and (found[name] or name in _ALWAYS)
    ]
    report = shown.Table(
        _("Result"),
        (_("what"), _("rows")),
        rows,
        numeric=frozenset({1}),
        more=_list_link(found, user=user),
    )
    return (report, *_rejects(job, user=user))


def _list_link(found: dict[str, Any], *, user: User) -> tuple[str, str] | None:
    row = visible_lists(user).filter(key=found.get("list")).first()
    if row is None or not user.has_perm("segmentation.view_customerlist"):
        return None
    return reverse("admin:segmentation_customerlist_change", args=[row.pk]), shown.label(row)


def _rejects(job: Job, *, user: User) -> Sequence[shown.Table]:
    path = job_folder(job.pk) / "result"
    if not job.result_file or not path.is_file() or not may_download(job, user=user):
        return ()
    with path.open(encoding=_MARK, newline="") as stream:
        lines = list(islice(csv.DictReader(stream), _SHOWN))
    rows = [(line["line"], line["reason"], line["raw"]) for line in lines]
    return (
        shown.Table(
            _("First rejected rows"),
            (_("line"), _("reason"), _("row as sent")),
            rows,
            note=_("At most %(most)s; the file has all of them.") % {"most": _SHOWN},
            numeric=frozenset({0}),
        ),
    )


def may_download(job: Job, *, user: User) -> bool:
    """The rejected rows show what was in the file: for who sent it, and for people with the right
    to personal data; both must still be allowed to change lists."""
    if not user.has_perm(CHANGE_LIST):
        return False
    return job.requested_by_id == user.pk or user.has_perm(EXPORT_PERSONAL)


def _record(job: Job, *, looker: Looker, now: datetime) -> None:
    is_hidden = CustomerList.objects.filter(pk=job.parameters["list"], is_hidden=True).exists()
    record_access(
        AccessRecord.Kind.EXPORT_HIDDEN if is_hidden else AccessRecord.Kind.EXPORT,
        looker=looker,
        subject=job.subject,
        now=now,
        is_hidden=is_hidden,
        rows=sum((job.result.get("rejected") or {}).values()),
        details={"download_of_job": job.pk},
    )


register_job_page(list_uploads.KIND, JobPage(_tables, may_download, _record))
register_job_page(list_saves.KIND, JobPage(_tables, may_download, _record))
