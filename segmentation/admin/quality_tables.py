"""The data-quality report as a chart and tables; everything in it is in the job's result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from segmentation.models import Customer, FactBatch, Job, Order, OrderLine
from segmentation.services.data_quality import DAYS
from segmentation.services.reject_words import reason_title

from . import shown
from .facts import KIND_WORDS

_COLOURS = {
    FactBatch.Source.IMPORT: "var(--color-primary-600)",
    FactBatch.Source.API: "var(--color-primary-300)",
    FactBatch.Source.ADMIN: "var(--color-base-400)",
}
_MODELS = {"customers": Customer, "orders": Order, "order_lines": OrderLine}


@dataclass(frozen=True)
class QualityPage:
    """The report in words; `chart` and its options as JSON for the theme's chart."""

    made_at: str
    recorded: str
    placed: str
    took: str
    chart: str
    chart_options: str
    tables: Sequence[shown.Table]


def quality_page(job: Job) -> QualityPage:
    """The stored report, written for the language of this request. Reads nothing else."""
    report = job.result
    finished, started = job.finished_at, job.started_at
    seconds = (finished - started).total_seconds() if finished and started else 0.0
    days = _by_day(report)
    return QualityPage(
        made_at=_instant(report["made_at"]),
        recorded=_("recorded since %(start)s") % {"start": _instant(report["recorded_from"])},
        placed=_("orders placed from %(start)s to before %(end)s")
        % {"start": _instant(report["placed_from"]), "end": _instant(report["placed_to"])},
        took=_("%(seconds)s s") % {"seconds": f"{seconds:.1f}"},
        chart=json.dumps(_chart(report, days)),
        chart_options=json.dumps(_CHART_OPTIONS),
        tables=(
            _day_table(days),
            _late_table(report),
            _orders_table(report),
            _missing_table(report),
            *_duplicate_tables(report),
            *_reject_tables(report),
        ),
    )


_CHART_OPTIONS = {
    "animation": False,
    "maintainAspectRatio": False,
    "scales": {
        "x": {"stacked": True, "grid": {"display": False}},
        "y": {"stacked": True, "beginAtZero": True, "ticks": {"precision": 0}},
    },
    "plugins": {"legend": {"position": "bottom"}},
}
_Days = Mapping[date, Mapping[str, Mapping[str, int]]]


def _by_day(report: Mapping[str, Any]) -> _Days:
    """Every day of the report, also those without a row, and what each source brought."""
    first = timezone.localtime(datetime.fromisoformat(report["recorded_from"])).date()
    days: dict[date, dict[str, Mapping[str, int]]] = {
        first + timedelta(days=number): {} for number in range(DAYS)
    }
    for entry in report["days"]:
        days.setdefault(date.fromisoformat(entry["day"]), {})[entry["source"]] = entry
    return days


def _chart(report: Mapping[str, Any], days: _Days) -> dict[str, Any]:
    return {
        "labels": [f"{day:%m-%d}" for day in days],
        "datasets": [
            {
                "label": str(label),
                "data": [sources.get(source, {}).get("rows", 0) for sources in days.values()],
                "backgroundColor": _COLOURS[FactBatch.Source(source)],
            }
            for source, label in FactBatch.Source.choices
        ],
    }


def _day_table(days: _Days) -> shown.Table:
    sources = FactBatch.Source.choices
    rows = [
        (
            day.isoformat(),
            *(shown.count(found.get(source, {}).get("rows", 0)) for source, _label in sources),
            shown.count(sum(entry["batches"] for entry in found.values())),
            shown.count(sum(entry["rejected"] for entry in found.values())),
        )
        for day, found in sorted(days.items(), reverse=True)
        if found
    ]
    return shown.Table(
        _("Rows by day and source"),
        (_("day"), *(label for _source, label in sources), _("imports and calls"), _("rejected")),
        rows,
        empty=_("Nothing was recorded in these days."),
        note=_("New and updated rows; days without any are left out."),
        numeric=frozenset(range(1, len(sources) + 3)),
    )


def _late_table(report: Mapping[str, Any]) -> shown.Table:
    rows = [
        (
            KIND_WORDS[entry["kind"]],
            shown.count(entry["recorded"]),
            shown.count(entry["late"]),
            _share(entry["late"], entry["recorded"]),
            shown.EMPTY if entry["longest_days"] is None else shown.count(entry["longest_days"]),
        )
        for entry in report["late"]
    ]
    return shown.Table(
        _("Late facts"),
        (_("kind"), _("recorded"), _("late"), _("share"), _("longest delay in days")),
        rows,
        note=_("They happened more than a day before they were recorded; history that was loaded"
               " once counts as late."),
        numeric=frozenset({1, 2, 3, 4}),
    )  # fmt: skip


def _orders_table(report: Mapping[str, Any]) -> shown.Table:
    orders, customers = report["orders"], report["customers"]
    lines = (
        (_("orders of customers known by ID only"), orders["of_stubs"], orders["orders"]),
        (_("orders without lines"), orders["without_lines"], orders["orders"]),
        (_("orders with the amount 0"), orders["free"], orders["orders"]),
        (_("customers known by ID only"), customers["stubs"], customers["customers"]),
    )
    rows = [
        (words, shown.count(count), shown.count(whole), _share(count, whole))
        for words, count, whole in lines
    ]
    return shown.Table(
        _("Orders and customers"),
        (_("what"), _("count"), _("of"), _("share")),
        rows,
        numeric=frozenset({1, 2, 3}),
    )


def _missing_table(report: Mapping[str, Any]) -> shown.Table:
    rows = [
        (
            KIND_WORDS[entry["kind"]],
            _field_title(entry["kind"], entry["field"]),
            shown.count(entry["missing"]),
            shown.count(entry["rows"]),
            _bar(entry["missing"], entry["rows"]),
        )
        for entry in report["missing"]
    ]
    return shown.Table(
        _("Missing values"),
        (_("kind"), _("field"), _("missing"), _("of"), _("share")),
        rows,
        numeric=frozenset({2, 3}),
    )


def _duplicate_tables(report: Mapping[str, Any]) -> tuple[shown.Table, ...]:
    found, code = report["duplicates"], shown.currency()
    summary = _("%(extra)s orders too many in %(groups)s groups, together %(amount)s %(code)s") % {
        "extra": shown.count(found["extra"]),
        "groups": shown.count(found["groups"]),
        "amount": shown.money(Decimal(found["amount"]), code=code),
        "code": code,
    }
    rows = [
        (
            shown.link(
                "segmentation_customer_change", args=[entry["customer_pk"]], text=entry["customer"]
            ),
            _instant(entry["placed_at"]),
            shown.money(Decimal(entry["amount"]), code=code),
            shown.count(entry["times"]),
            entry["first"],
            entry["last"],
        )
        for entry in found["sample"]
    ]
    return (
        shown.Table(
            _("Possible duplicates"),
            (_("customer"), _("placed at"), _("amount"), _("orders"), _("first ID"), _("last ID")),
            rows,
            empty=_("No two orders have the same customer, time and amount."),
            note=summary if rows else "",
            numeric=frozenset({2, 3}),
        ),
    )


def _reject_tables(report: Mapping[str, Any]) -> tuple[shown.Table, ...]:
    found = report["rejected"]
    sources = dict(FactBatch.Source.choices)
    by_kind = [
        (
            KIND_WORDS.get(entry["kind"], entry["kind"]),
            sources.get(entry["source"], entry["source"]),
            shown.count(entry["rejected"]),
            shown.count(entry["read"]),
            _share(entry["rejected"], entry["read"]),
        )
        for entry in found["by_kind"]
    ]
    by_reason = [
        (
            KIND_WORDS.get(entry["kind"], entry["kind"]),
            reason_title(entry["reason"]),
            entry["reason"],
            shown.count(entry["rows"]),
        )
        for entry in found["by_reason"]
    ]
    return (
        shown.Table(
            _("Rejected rows"),
            (_("kind"), _("source"), _("rejected"), _("rows read"), _("share")),
            by_kind,
            empty=_("No row was rejected in these days."),
            numeric=frozenset({2, 3, 4}),
        ),
        shown.Table(
            _("Rejected rows by reason"),
            (_("kind"), _("reason"), _("code"), _("rows")),
            by_reason,
            empty=_("No uploaded file had a rejected row."),
            note=_("Of files uploaded here; other imports and calls answer with their reasons."),
            numeric=frozenset({3}),
        ),
    )


def _field_title(kind: str, field: str) -> str:
    return str(getattr(_MODELS[kind]._meta.get_field(field), "verbose_name", field))


def _share(part: int, whole: int) -> str:
    return shown.EMPTY if not whole else f"{part * 100 / whole:.1f} %"


def _bar(part: int, whole: int) -> SafeString | str:
    if not whole:
        return shown.EMPTY
    return format_html(
        '<span class="tw-bar"><span style="width: {}%"></span></span> {}',
        round(part * 100 / whole),
        _share(part, whole),
    )


def _instant(text: str) -> str:
    return shown.instant(datetime.fromisoformat(text))
