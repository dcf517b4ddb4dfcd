"""What `manage.py demo` prints at its end: plain text, aligned, right beside Chinese text too."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db.models import Count
from django.utils.translation import get_language, gettext

from membership.models import Program, Transition
from segmentation.domain.windows import add_term, local_day, local_midnight
from segmentation.models import Layering, Run, RunCount, SegmentResult, TagGroup

# In the order of the work; jsonb does not keep it.
_STAGES = (
    "mirror", "plan", "facts", "metrics", "cuts", "rules", "tiers", "snapshot", "bitmaps",
    "parity", "postgresql",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of the rows of one fact file; `read` is the sum of the other four."""

    kind: str
    read: int
    inserted: int
    unchanged: int
    updated: int
    rejected: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column heads and rows; cells that are numbers are set to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str | int | float, ...], ...]


def summary(
    imported: Sequence[ImportedFile], *, run: Run, history: Sequence[Run], zone: ZoneInfo
) -> tuple[Table, ...]:
    """The tables of the summary, about `run` (the current one) and the `history` before it.

    `history` are the runs of the demo by rising as-of, `run` among them. Dates are the zone's.
    """
    return (
        _imports(imported),
        _history(history, zone),
        _stages(run, history),
        _segments(run),
        _sizes(run, RunCount.Kind.TAG, gettext("Tags"), TagGroup),
        _sizes(run, RunCount.Kind.LAYER, gettext("Layers"), Layering),
        _sizes(run, RunCount.Kind.TIER, gettext("Tiers"), Program),
        _moves(run.as_of, zone),
    )


def printed(tables: Iterable[Table]) -> str:
    """The tables as text, one below the other."""
    return "\n\n".join(_printed(table) for table in tables)


def _imports(imported: Sequence[ImportedFile]) -> Table:
    heads = ("read", "inserted", "unchanged", "updated", "rejected")
    return Table(
        gettext("Rows imported"),
        (gettext("Kind"), *heads, gettext("Seconds")),
        tuple(
            (file.kind, *(getattr(file, head) for head in heads), file.seconds) for file in imported
        ),
    )


def _history(history: Sequence[Run], zone: ZoneInfo) -> Table:
    """One row per run: what changed hands, so that the history is seen at a glance."""
    kinds = [kind for kind in Transition.Kind if kind is not Transition.Kind.RENEWAL]
    counted: Counter[tuple[int, str]] = Counter()
    found = Transition.objects.filter(run__in=history).values("run_id", "kind")
    for row in found.annotate(n=Count("pk")).order_by():
        counted[row["run_id"], row["kind"]] = row["n"]
    return Table(
        gettext("Runs"),
        (
            gettext("As of"),
            gettext("Run"),
            gettext("Status"),
            *(str(kind.label) for kind in kinds),
            gettext("Seconds"),
        ),
        tuple(
            (
                f"{run.as_of.astimezone(zone):%Y-%m-%d}",
                run.pk,
                str(Run.Status(run.status).label),
                *(counted[run.pk, kind.value] for kind in kinds),
                sum(_stage_seconds(run).values()),
            )
            for run in history
        ),
    )


def _stages(run: Run, history: Sequence[Run]) -> Table:
    summed: Counter[str] = Counter()
    for each in history:
        summed.update(_stage_seconds(each))
    last = _stage_seconds(run)
    last[gettext("Total")] = sum(last.values())
    stages = [*summed.items(), (gettext("Total"), summed.total())]
    return Table(
        gettext("Seconds per stage"),
        (gettext("Stage"), gettext("Last run"), gettext("All runs")),
        tuple((stage, last.get(stage, 0.0), all_) for stage, all_ in stages),
    )


def _stage_seconds(run: Run) -> dict[str, float]:
    found = {stage: float(s) for stage, s in run.seconds.items() if stage != "total"}
    return {stage: found[stage] for stage in sorted(found, key=_place)}


def _place(stage: str) -> tuple[int, str]:
    return (_STAGES.index(stage) if stage in _STAGES else len(_STAGES), stage)


def _segments(run: Run) -> Table:
    results = SegmentResult.objects.filter(run=run).select_related("segment")
    return Table(
        gettext("Segments"),
        (
            gettext("Segment"),
            gettext("Name"),
            gettext("Size"),
            gettext("Entered"),
            gettext("Left"),
            "",
        ),
        tuple(
            (
                result.segment.key,
                _label(result.segment.label_en, result.segment.label_zh_hans),
                result.size,
                result.entered_count,
                result.left_count,
                gettext("restricted") if result.segment.is_hidden else "",
            )
            for result in results.order_by("segment__is_hidden", "-size", "segment__key")
        ),
    )


def _sizes(
    run: Run, kind: RunCount.Kind, title: str, definitions: type[TagGroup | Layering | Program]
) -> Table:
    """One row per group, its values in the order in which they were declared."""
    sizes: dict[str, list[str]] = {}
    for count in RunCount.objects.filter(run=run, kind=kind).order_by("pk"):
        sizes.setdefault(count.key, []).append(f"{count.value} {count.size}")
    labels = {
        row.key: _label(row.label_en, row.label_zh_hans)
        for row in definitions.objects.filter(key__in=sizes)
    }
    return Table(
        title,
        (gettext("Key"), gettext("Name"), gettext("Sizes")),
        tuple((key, labels.get(key, key), ", ".join(values)) for key, values in sizes.items()),
    )


def _moves(as_of: datetime, zone: ZoneInfo) -> Table:
    """Transitions of the month that ended with `as_of`, counted from tier to tier."""
    start = local_midnight(add_term(local_day(as_of, zone), months=-1), zone)
    rows = (
        Transition.objects.filter(at__gt=start, at__lte=as_of, run__status=Run.Status.PUBLISHED)
        .values("program__key", "kind", "from_tier", "to_tier")
        .annotate(n=Count("pk"))
        .order_by("program__key", "kind", "from_tier", "to_tier")
    )
    return Table(
        gettext("Moves of the last month"),
        (
            gettext("Program"),
            gettext("Move"),
            gettext("From"),
            gettext("To"),
            gettext("Customers"),
        ),
        tuple(
            (
                row["program__key"],
                str(Transition.Kind(row["kind"]).label),
                row["from_tier"] or "-",
                row["to_tier"] or "-",
                row["n"],
            )
            for row in rows
        ),
    )


def _label(en: str, zh_hans: str) -> str:
    return zh_hans if (get_language() or "").startswith("zh") else en


def _printed(table: Table) -> str:
    lines = [table.heads, *(tuple(_cell(cell) for cell in row) for row in table.rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(table.heads))]
    numbers = [
        bool(table.rows) and all(not isinstance(row[i], str) for row in table.rows)
        for i in range(len(table.heads))
    ]
    text = [table.title]
    for line in lines:
        cells = [
            " " * (width - _width(cell)) + cell if number else cell + " " * (width - _width(cell))
            for cell, width, number in zip(line, widths, numbers, strict=True)
        ]
        text.append(("  " + "  ".join(cells)).rstrip())
    if not table.rows:
        text.append("  " + gettext("none"))
    return "\n".join(text)


def _cell(cell: str | int | float) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.2f}"


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
