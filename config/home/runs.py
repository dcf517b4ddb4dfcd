"""Home: the newest run, the next one, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask

from config.beat import on_project_clock
from membership.services.home import stopped_feeds
from segmentation.admin import shown
from segmentation.admin.facts import KIND_WORDS
from segmentation.admin.held_words import held_words, short_reasons
from segmentation.admin.log_lines import RESTRICTED
from segmentation.models import FactBatch, Run
from segmentation.permissions import REQUEST_RUN, hidden_words, mentions_hidden
from segmentation.services.run_errors import error_words

from .blocks import Block, Viewing, table_block

VIEW_RUN = "segmentation.view_run"
VIEW_BATCH = "segmentation.view_factbatch"
_WRONG = 5
_LATEST_BATCHES = 200
_WAITS_TOO_LONG = timedelta(minutes=5)
_LONGEST_LINE = 160


@dataclass(frozen=True)
class Fact:
    """One figure of the newest run."""

    name: str | Promise
    value: Any


def run_block(viewing: Viewing) -> Block:
    """The newest published run, the one under way, and when the next is due."""
    run = viewing.run
    open_runs = Run.objects.filter(status__in=(Run.Status.RUNNING, Run.Status.HELD))
    newest = {each.status: each for each in open_runs.defer("log", "cuts").order_by("pk")}
    held = newest.get(Run.Status.HELD)
    return Block(
        "newest-run",
        "admin/home/run.html",
        {
            "facts": _facts(run, viewing) if run else (),
            "under_way": newest.get(Run.Status.RUNNING),
            "held": held_words(held, run, user=viewing.user) if held else "",
            "time_zone": viewing.zone.key,
            "recompute_url": reverse("admin:segmentation_run_recompute")
            if viewing.may(REQUEST_RUN)
            else "",
            "runs_url": reverse("admin:segmentation_run_changelist"),
        },
    )


def _facts(run: Run, viewing: Viewing) -> tuple[Fact, ...]:
    as_of = shown.link("segmentation_run_change", args=[run.pk], text=shown.instant(run.as_of))
    facts = [
        Fact(_("As of"), as_of),
        Fact(_("Status"), shown.run_status(run)),
        Fact(_("Took"), shown.seconds(run.seconds)),
        Fact(_("Finished at"), shown.instant(run.finished_at)),
        Fact(_("Next run due"), shown.instant(next_due(now=viewing.now))),
    ]
    if viewing.stores is None:  # a run counts the customers of all stores
        facts.insert(3, Fact(_("Customers"), shown.count(run.customers)))
    return tuple(facts)


def next_due(*, now: datetime) -> datetime | None:
    """When the daily recompute is due next, by the project's clock; None: it is switched off."""
    tasks = PeriodicTask.objects.filter(
        task="membership.tasks.recompute_daily", enabled=True, crontab__isnull=False
    ).select_related("crontab")
    return min((_next_time(task.crontab.schedule, now=now) for task in tasks), default=None)


def _next_time(schedule: Any, *, now: datetime) -> datetime:
    """The first instant after `now` that a crontab names, in its own zone."""
    crontab = on_project_clock(schedule)
    crontab.nowfun = lambda: now.astimezone(crontab.tz)
    estimate: datetime = now + crontab.remaining_estimate(now)
    # Crontabs know whole minutes.
    return (estimate + timedelta(seconds=30)).replace(second=0, microsecond=0)


def wrong_block(viewing: Viewing) -> Block | None:
    """Runs that failed, are held or wait, imports with rejected rows, feeds that stopped; None for
    those who may see neither."""
    may_see_runs, may_see_batches = viewing.may(VIEW_RUN), viewing.may(VIEW_BATCH)
    if not (may_see_runs or may_see_batches):
        return None
    rows: list[tuple[Any, ...]] = []
    if may_see_runs:
        rows += _wrong_runs(viewing)
    if may_see_batches:
        rows += _stopped(viewing)
        rows += _rejected_rows()
    table = shown.Table(
        _("What is wrong"),
        (_("what"), _("when"), _("details")),
        rows,
        empty=_("Nothing: every run went through, no row was rejected, no feed has stopped."),
    )
    return table_block("wrong", table, is_wide=False)


def _wrong_runs(viewing: Viewing) -> list[tuple[Any, ...]]:
    words = hidden_words(viewing.user)
    newest = viewing.run
    since = newest.pk if newest else 0
    runs = Run.objects.defer("log", "cuts")
    failed = runs.filter(pk__gt=since, status__in=(Run.Status.FAILED, Run.Status.HELD))
    failed = failed.exclude(decision=Run.Decision.OVERTAKEN)  # the newer one tells
    waiting = runs.filter(
        status=Run.Status.QUEUED, requested_at__lt=viewing.real_now - _WAITS_TOO_LONG
    )
    rows: list[tuple[Any, ...]] = []
    for run in failed.order_by("-pk")[:_WRONG]:
        if run.status == Run.Status.HELD:
            error: Any = short_reasons(run, user=viewing.user) or _("Somebody must decide.")
        else:
            error = _error(run, words=words)
        rows.append((_run_link(run), shown.instant(run.finished_at), error))
    if newest is not None and newest.parity_mismatches and viewing.stores is None:
        text = _("The engine and the oracle disagree about customers of the sample: %(count)s.") % {
            "count": shown.count(len({row["customer_id"] for row in newest.parity_mismatches}))
        }
        rows.append((_run_link(newest), shown.instant(newest.finished_at), text))
    for run in waiting.order_by("pk")[:_WRONG]:
        hint: Any = _("No worker has taken it. Is one running?")
        if run.attempts:
            hint = _error(run, words=words)  # it waits to be tried again
        rows.append((_run_link(run), shown.instant(run.requested_at), hint))
    return rows


def _error(run: Run, *, words: frozenset[str]) -> Any:
    text = error_words(run)
    return RESTRICTED if mentions_hidden(text, words=words) else _first_line(text)


def _run_link(run: Run) -> SafeString:
    text = format_html("{} {}", _("Run"), run.pk)
    opened = shown.link("segmentation_run_change", args=[run.pk], text=text)
    return format_html("{} {}", opened, shown.run_status(run))


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else shown.EMPTY
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _stopped(viewing: Viewing) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for feed in stopped_feeds(tuple(KIND_WORDS), now=viewing.real_now, zone=viewing.zone):
        address = f"{reverse('admin:segmentation_factbatch_changelist')}?kind__exact={feed.kind}"
        text = ngettext(
            "Nothing new for %(days)s day.", "Nothing new for %(days)s days.", feed.silent_days
        ) % {"days": feed.silent_days}
        usual = ngettext(
            "Usually it comes at least every day.",
            "Usually it comes at least every %(days)s days.",
            feed.usual_days,
        ) % {"days": feed.usual_days}
        rows.append(
            (
                format_html(
                    '<a class="tw-link" href="{}">{}</a> {}',
                    address,
                    KIND_WORDS[feed.kind],
                    shown.badge(_("Feed stopped"), colour="warning"),
                ),
                feed.last_on.isoformat(),
                format_html("{} {}", text, usual),
            )
        )
    return rows


def _rejected_rows() -> list[tuple[Any, ...]]:
    """Of the latest imports, those that rejected rows."""
    newest = FactBatch.objects.order_by("-pk").values_list("pk", flat=True)[:_LATEST_BATCHES]
    batches = FactBatch.objects.filter(pk__in=list(newest), rejected__gt=0).order_by("-pk")
    return [
        (
            batch_link(batch),
            shown.instant(batch.recorded_at),
            _("%(rejected)s of %(read)s rows of “%(kind)s” were rejected.")
            % {
                "rejected": shown.count(batch.rejected),
                "read": shown.count(batch.read),
                "kind": KIND_WORDS.get(batch.kind, batch.kind),
            },
        )
        for batch in batches[:_WRONG]
    ]


def batch_link(batch: FactBatch) -> SafeString:
    """An import by its file's name, or by its number."""
    text = format_html("{} {}", _("Import"), batch.file_name or batch.pk)
    return shown.link("segmentation_factbatch_change", args=[batch.pk], text=text)
