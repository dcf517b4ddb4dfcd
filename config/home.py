"""Home: what ran, who moved, what is wrong, and what to do next while there is nothing yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.admin.memberships import moved_words
from membership.admin.wording import kind_badge, reason_words, tier_label, tier_names
from membership.models import Program, Transition
from segmentation.admin import shown
from segmentation.admin.facts import KIND_WORDS
from segmentation.admin.runs import RESTRICTED
from segmentation.models import Customer, FactBatch, Metric, Run, RunCount, Segment
from segmentation.permissions import REQUEST_RUN, hidden_words, mentions_hidden

from . import clock

_MOVED = 10
_WRONG = 5
_WAITS_TOO_LONG = timedelta(minutes=5)


@dataclass(frozen=True)
class Step:
    """What is missing and the command that brings it."""

    title: str | Promise
    text: str | Promise
    command: str
    is_done: bool


@dataclass(frozen=True)
class Fact:
    """One figure of the newest run."""

    name: str | Promise
    value: Any


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The theme's dashboard callback: adds what Home shows to this user."""
    user: Any = request.user
    panels: list[shown.Table] = []
    facts: tuple[Fact, ...] = ()
    newest = previous = None
    if user.has_perm("segmentation.view_run"):
        published = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk")
        newest, previous = ([*published.defer("log", "cuts")[:2], None, None])[:2]
        facts = _facts(newest) if newest else ()
    if user.has_perm("membership.view_program") and newest:
        panels.append(_tiers(newest, previous))
    if user.has_perm("membership.view_transition"):
        panels.append(_moved(user=user))
    wrong = _wrong(newest, user=user)
    return {
        **context,
        "title": _("Home"),
        "steps": _steps() if user.has_perm("segmentation.view_run") else (),
        "facts": facts,
        "newest_run": newest,
        "time_zone": timezone.get_current_timezone_name(),
        "panels": panels,
        "wrong": wrong,
        "recompute_url": reverse("admin:segmentation_run_recompute")
        if user.has_perm(REQUEST_RUN)
        else "",
    }


def _steps() -> tuple[Step, ...]:
    """The way from an empty database to a first result; empty once it is walked."""
    has_facts = Customer.objects.exists()
    has_definitions = Segment.objects.exists() or Metric.objects.exists()
    has_definitions = has_definitions or Program.objects.exists()
    has_run = Run.objects.filter(status=Run.Status.PUBLISHED).exists()
    if has_facts and has_definitions and has_run:
        return ()
    return (
        Step(
            _("Load facts"),
            _("No customer is known yet. Import customers and orders from CSV or Parquet files."),
            "python manage.py import customers customers.csv",
            has_facts,
        ),
        Step(
            _("Describe metrics, segments and programs"),
            _("Nothing is defined yet. Write a definitions document and apply it."),
            "python manage.py apply definitions.yaml",
            has_definitions,
        ),
        Step(
            _("Compute"),
            _("No run was published yet. Start one here or on the command line."),
            "python manage.py recompute --wait",
            has_run,
        ),
    )


def _facts(run: Run) -> tuple[Fact, ...]:
    return (
        Fact(
            _("As of"),
            shown.link("segmentation_run_change", args=[run.pk], text=shown.instant(run.as_of)),
        ),
        Fact(_("Status"), shown.run_status(run)),
        Fact(_("Took"), shown.seconds(run.seconds)),
        Fact(_("Customers"), shown.count(run.customers)),
        Fact(_("Finished at"), shown.instant(run.finished_at)),
    )


def _tiers(newest: Run, previous: Run | None) -> shown.Table:
    """Members per tier of the newest run, with the change since the published run before it."""
    wanted = [newest.pk, *([previous.pk] if previous else [])]
    sizes = {
        (row.run_id, row.key, row.value): row.size
        for row in RunCount.objects.filter(run_id__in=wanted, kind=RunCount.Kind.TIER)
    }
    names = tier_names()
    place = {pair: number for number, pair in enumerate(names)}
    found = [(key, value) for run_id, key, value in sizes if run_id == newest.pk]
    found.sort(key=lambda pair: (place.get(pair, len(place)), pair))
    rows = []
    for key, value in found:
        size = sizes[newest.pk, key, value]
        before = sizes.get((previous.pk, key, value)) if previous else None
        rows.append(
            (
                *names.get((key, value), (key, value)),
                shown.count(size),
                shown.EMPTY if before is None else shown.change(size - before),
            )
        )
    return shown.Table(
        _("Members per tier"),
        (_("program"), _("tier"), _("members"), _("change since the run before")),
        rows,
        empty=_("No program is defined yet."),
        more=(reverse("admin:membership_program_changelist"), _("All programs")),
        numeric=frozenset({2, 3}),
    )


def _moved(*, user: Any) -> shown.Table:
    latest = (
        Transition.objects.select_related("program", "customer")
        .defer("program__document")
        .annotate(from_name=tier_label("from_tier"), to_name=tier_label("to_tier"))
        .order_by("-pk")[:_MOVED]
    )
    may_open = user.has_perm("segmentation.view_customer")
    rows = [
        (
            shown.link(
                "segmentation_customer_change",
                args=[row.customer_id],
                text=row.customer.external_id,
            )
            if may_open
            else row.customer.external_id,
            shown.label(row.program),
            kind_badge(row),
            moved_words(row),
            reason_words(row.reasons),
            shown.instant(row.at),
        )
        for row in latest
    ]
    headers = (
        _("customer"), _("program"), _("decision"), _("from → to"), _("reasons"), _("as of"),
    )  # fmt: skip
    return shown.Table(
        _("Who moved last"),
        headers,
        rows,
        empty=_("Nobody has entered, changed or left a tier yet."),
        more=(reverse("admin:membership_transition_changelist"), _("All transitions")),
    )


def _wrong(newest: Run | None, *, user: Any) -> shown.Table | None:
    """Runs that failed, are held or wait, and imports with rejected rows; None: may see neither."""
    may_see_runs = user.has_perm("segmentation.view_run")
    may_see_imports = user.has_perm("segmentation.view_factbatch")
    if not (may_see_runs or may_see_imports):
        return None
    rows: list[tuple[Any, ...]] = []
    if may_see_runs:
        rows += _wrong_runs(newest, user=user)
    if may_see_imports:
        rows += _rejected_rows()
    return shown.Table(
        _("What is wrong"),
        (_("what"), _("when"), _("details")),
        rows,
        empty=_("Nothing: no failed run since the last published one, no rejected rows."),
    )


def _wrong_runs(newest: Run | None, *, user: Any) -> list[tuple[Any, ...]]:
    words = hidden_words(user)
    since = newest.pk if newest else 0
    runs = Run.objects.defer("log", "cuts")
    failed = runs.filter(pk__gt=since, status__in=(Run.Status.FAILED, Run.Status.HELD))
    waiting = runs.filter(
        status=Run.Status.QUEUED, requested_at__lt=clock.real_now() - _WAITS_TOO_LONG
    )
    rows: list[tuple[Any, ...]] = []
    for run in failed.order_by("-pk")[:_WRONG]:
        error = RESTRICTED if mentions_hidden(run.error, words=words) else _first_line(run.error)
        rows.append((_run_link(run), shown.instant(run.finished_at), error))
    if newest is not None and newest.parity_mismatches:
        text = _("The engine and the oracle disagree about customers of the sample: %(count)s.") % {
            "count": shown.count(len({row["customer_id"] for row in newest.parity_mismatches}))
        }
        rows.append((_run_link(newest), shown.instant(newest.finished_at), text))
    for run in waiting.order_by("pk")[:_WRONG]:
        hint = _("No worker has taken it. Is one running?")
        rows.append((_run_link(run), shown.instant(run.requested_at), hint))
    return rows


def _run_link(run: Run) -> SafeString:
    text = format_html("{} {}", _("Run"), run.pk)
    opened = shown.link("segmentation_run_change", args=[run.pk], text=text)
    return format_html("{} {}", opened, shown.run_status(run))


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else shown.EMPTY
    return line if len(line) <= 160 else f"{line[:160]}…"


def _rejected_rows() -> list[tuple[Any, ...]]:
    """Of the latest imports, those that rejected rows."""
    newest = FactBatch.objects.order_by("-pk").values_list("pk", flat=True)[:200]
    batches = FactBatch.objects.filter(pk__in=list(newest), rejected__gt=0).order_by("-pk")
    return [
        (
            shown.link(
                "segmentation_factbatch_change",
                args=[batch.pk],
                text=format_html("{} {}", _("Import"), batch.file_name or batch.pk),
            ),
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
