"""Home: first steps, segments that changed, what waits for the person, what others did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.models import Program
from membership.services.home import own_drafts, own_jobs, segment_changes
from segmentation.admin import shown
from segmentation.admin.definition_parts import KIND_WORDS as DEFINITION_WORDS
from segmentation.admin.definitions import visibility_badge
from segmentation.admin.facts import KIND_WORDS
from segmentation.admin.job_views import job_status, kind_title
from segmentation.api.throttling import parse_rate
from segmentation.models import (
    ApiKey,
    Customer,
    FactBatch,
    Metric,
    Run,
    Segment,
)
from segmentation.permissions import may_see_hidden, visible_access, visible_versions

from .blocks import Block, Viewing, table_block
from .runs import batch_link

_FEW = 5
_LATEST = 8


@dataclass(frozen=True)
class Step:
    """What is missing, the page that brings it and the command that does the same."""

    title: str | Promise
    text: str | Promise
    command: str
    address: str
    is_done: bool


def steps_block(viewing: Viewing) -> Block | None:
    """The way from an empty database to a first result; None once it is walked."""
    has_facts = Customer.objects.exists()
    has_definitions = Segment.objects.exists() or Metric.objects.exists()
    has_definitions = has_definitions or Program.objects.exists()
    has_run = Run.objects.filter(status=Run.Status.PUBLISHED).exists()
    if has_facts and has_definitions and has_run:
        return None

    def page(name: str, right: str) -> str:
        return reverse(f"admin:{name}") if viewing.may(f"segmentation.{right}") else ""

    steps = (
        Step(
            _("Load facts"),
            _("No customer is known yet. Import customers and orders from CSV or Parquet files."),
            "python manage.py import customers customers.csv",
            page("segmentation_factbatch_upload", "import_facts"),
            has_facts,
        ),
        Step(
            _("Describe metrics, segments and programs"),
            _("Nothing is defined yet. Start from a template, or apply a definitions document."),
            "python manage.py apply definitions.yaml",
            page("builder_templates", "change_draft"),
            has_definitions,
        ),
        Step(
            _("Compute"),
            _("No run was published yet. Start one here or on the command line."),
            "python manage.py recompute --wait",
            page("segmentation_run_recompute", "request_run"),
            has_run,
        ),
    )
    return Block("first-steps", "admin/home/steps.html", {"steps": steps})


def segments_block(viewing: Viewing) -> Block:
    """The visible segments that grew or shrank most since the run before."""
    changes = (
        segment_changes(viewing.user, run=viewing.run, before=viewing.run_before, most=_FEW)
        if viewing.run
        else ()
    )
    rows: list[tuple[Any, ...]] = [
        (
            shown.link(
                "segmentation_segment_change",
                args=[each.segment.pk],
                text=shown.label(each.segment),
            ),
            visibility_badge(is_hidden=each.segment.is_hidden),
            shown.count(each.size),
            shown.change(each.change),
        )
        for each in changes
    ]
    if not may_see_hidden(viewing.user):  # one kind only: a badge in each row says nothing
        rows = [(name, size, change) for name, _badge, size, change in rows]
    headers: tuple[Any, ...] = (_("segment"), _("members"), _("difference"))
    if may_see_hidden(viewing.user):
        headers = (headers[0], _("visibility"), *headers[1:])
    table = shown.Table(
        _("Segments that changed most"),
        headers,
        rows,
        note=_("difference from the run before"),
        empty=_("No segment has changed its size since the run before."),
        more=(reverse("admin:segmentation_segment_changelist"), _("All segments")),
        numeric=frozenset({len(headers) - 2, len(headers) - 1}),
    )
    return table_block("segments", table, is_wide=False)


def waiting_block(viewing: Viewing, *, is_shown_empty: bool) -> Block | None:
    """The own drafts, and own jobs that wait, run or failed; a list of jobs is no right of who
    asks for one now and then, so this is where they find it again."""
    rows: list[tuple[Any, ...]] = []
    for job in own_jobs(viewing.user, now=viewing.real_now, most=_FEW):
        opened = shown.link("segmentation_job_change", args=[job.pk], text=kind_title(job))
        rows.append((opened, job_status(job), shown.instant(job.requested_at)))
    for draft in own_drafts(viewing.user, most=_FEW):
        rows.append(
            (
                _draft_link(draft.kind, draft.key),
                shown.badge(_("Draft"), colour="default"),
                shown.instant(draft.updated_at),
            )
        )
    if not (rows or is_shown_empty):
        return None
    table = shown.Table(
        _("Waits for me"),
        (_("what"), _("status"), _("when")),
        rows,
        empty=_("Nothing: no draft of yours is open and none of your jobs failed."),
        more=(reverse("admin:segmentation_job_changelist"), _("All jobs"))
        if viewing.may("segmentation.view_job")
        else None,
    )
    return table_block("waiting", table, is_wide=False)


def _draft_link(kind: str, key: str) -> SafeString:
    text = format_html("{} <code>{}</code>", DEFINITION_WORDS.get(kind, kind), key)
    return shown.link("builder_draft", args=[kind, key], text=text)


def publishes_block(viewing: Viewing) -> Block:
    """The definitions published last, as far as this person may know of them."""
    latest = visible_versions(viewing.user).defer("document").order_by("-pk")[:_LATEST]
    rows = [
        (
            shown.link(
                "segmentation_definitionversion_change",
                args=[version.pk],
                text=format_html(
                    "{} <code>{}</code>",
                    DEFINITION_WORDS.get(version.kind, version.kind),
                    version.key,
                ),
            ),
            version.number,
            version.actor,
            shown.instant(version.published_at),
        )
        for version in latest
    ]
    table = shown.Table(
        _("Published last"),
        (_("definition"), _("version"), _("by"), _("published at")),
        rows,
        empty=_("Nothing is defined yet."),
        more=(reverse("admin:segmentation_definitionversion_changelist"), _("All versions")),
        numeric=frozenset({1}),
    )
    return table_block("publishes", table, is_wide=False)


def accesses_block(viewing: Viewing) -> Block:
    """The latest looks at hidden and personal data."""
    latest = visible_access(viewing.user).order_by("-pk")
    rows = [
        (
            shown.instant(record.at),
            record.actor,
            record.get_kind_display(),
            format_html("<code>{}</code>", f"{record.subject_kind}:{record.subject_key}"),
            shown.count(record.rows),
        )
        for record in latest[:_LATEST]
    ]
    table = shown.Table(
        _("Who looked at sensitive data last"),
        (_("when"), _("by"), _("act"), _("object"), _("rows")),
        rows,
        empty=_("Nobody has looked at hidden or personal data yet."),
        more=(reverse("admin:segmentation_accessrecord_changelist"), _("All accesses")),
        numeric=frozenset({4}),
    )
    return table_block("accesses", table)


def keys_block() -> Block:
    """API keys in use, with the time of their last calls."""
    _most, seconds = parse_rate(settings.API_THROTTLE_RATE)
    keys = ApiKey.objects.filter(revoked=False).select_related("use").order_by("name", "pk")
    rows = []
    for key in keys[: 4 * _FEW]:
        use = getattr(key, "use", None)
        called = datetime.fromtimestamp(use.stretch * seconds, tz=UTC) if use else None
        rows.append(
            (
                shown.link("segmentation_apikey_change", args=[key.prefix], text=key.name),
                ", ".join(key.scopes),
                shown.instant(called) if called else _("never"),
                shown.instant(key.expiry_date),
            )
        )
    table = shown.Table(
        _("API keys"),
        (_("name"), _("scopes"), _("last calls"), _("expires")),
        rows,
        empty=_("No API key is in use."),
        more=(reverse("admin:segmentation_apikey_changelist"), _("All API keys")),
    )
    return table_block("keys", table)


def imports_block() -> Block:
    """The latest imports with their counts."""
    rows = [
        (
            batch_link(batch),
            KIND_WORDS.get(batch.kind, batch.kind),
            shown.count(batch.read),
            shown.count(batch.inserted + batch.updated),
            shown.count(batch.rejected),
            shown.instant(batch.recorded_at),
        )
        for batch in FactBatch.objects.order_by("-pk")[:_FEW]
    ]
    table = shown.Table(
        _("Latest imports"),
        (_("import"), _("kind"), _("read"), _("new or changed"), _("rejected"), _("recorded at")),
        rows,
        empty=_("Nothing was imported yet."),
        more=(reverse("admin:segmentation_factbatch_changelist"), _("All imports")),
        numeric=frozenset({2, 3, 4}),
    )
    return table_block("imports", table)
