"""What a program's page shows: tiers with their members, moves, terms that end, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from membership.models import Program, ProgramVersion, Tier, Transition
from membership.services.program_versions import version_in_force
from membership.services.reason_words import reason_words
from membership.services.tier_figures import (
    Bounded,
    TierSize,
    expiring,
    moves,
    tier_trend,
)
from segmentation.admin import shown
from segmentation.admin.charts import Chart, Series
from segmentation.admin.portrait_links import portrait_url
from segmentation.admin.rule_words import names
from segmentation.models import Run
from segmentation.permissions import row_scope

from .filters import CAME
from .links import days_ahead, last_month, memberships_url, project_day, transitions_url
from .program_versions import lifecycle_facts, rule_trees, tier_table
from .wording import bounded_words, count_link, meter

EXPIRING_DAYS = (30, 60, 90)


class Tiers:
    """A program with the tiers of its version in force, highest first, and names for its rules."""

    def __init__(self, program: Program, version: ProgramVersion) -> None:
        self.program = program
        self.version = version
        self.known = names()
        self.rows: Sequence[Tier] = tuple(version.tiers.order_by("-rank"))
        self.names = {tier.key: shown.label(tier) for tier in self.rows}

    def name(self, key: str) -> str:
        """A tier's name; of one that only older versions had, its key; of none, a dash."""
        return self.names.get(key, key or shown.EMPTY)


@dataclass(frozen=True)
class TierRow:
    """One tier on its program's page."""

    name: str
    key: str
    rank: int
    rule: SafeString
    members: str
    share: str
    meter: SafeString
    change: str
    members_url: str
    portrait_url: str
    came_url: str  # who came to it last month


def tiers_panel(
    tiers: Tiers,
    *,
    user: Any,
    sizes: Mapping[str, TierSize],
    as_of: datetime | None,
    now: datetime,
) -> list[TierRow]:
    """Each tier with its rule, its members (`sizes` by tier key), their share in all members, and
    the difference from the run before. Intervals are those at `as_of`."""
    total = sum(each.size for each in sizes.values())
    zone = ZoneInfo(tiers.program.timezone)
    rules = rule_trees(tiers.version, known=tiers.known, as_of=as_of, zone=zone)
    may_list = user.has_perm("membership.view_membership")
    rows = []
    for tier in tiers.rows:
        size = sizes.get(tier.key)
        subject = f"tier:{tiers.program.key}/{tier.key}"
        rows.append(
            TierRow(
                name=tiers.name(tier.key),
                key=tier.key,
                rank=tier.rank,
                rule=rules.get(tier.key, SafeString("")),
                members=shown.count(size.size if size else None),
                share=f"{100 * size.size / total:.1f} %" if size and total else shown.EMPTY,
                meter=meter(size.size if size else 0, most=total),
                change=shown.EMPTY
                if size is None or size.before is None
                else shown.change(size.size - size.before),
                members_url=memberships_url(program=tiers.program.key, tier=tier.key)
                if may_list
                else "",
                portrait_url=portrait_url(subject, user=user),
                came_url=transitions_url(
                    program=tiers.program.key,
                    kind=CAME,
                    to_tier=tier.key,
                    days=last_month(now),
                )
                if user.has_perm("membership.view_transition")
                else "",
            )
        )
    return rows


def members_chart(tiers: Tiers, *, user: Any) -> Chart:
    """Members of each tier after each published run, a line each."""
    trend = tier_trend(user, program=tiers.program.key)
    points = trend or ()
    keys = [tier.key for tier in tiers.rows]
    keys += sorted({key for point in points for key in point.sizes} - set(keys))
    rows = [
        (
            shown.instant(point.as_of),
            *(shown.count(point.sizes.get(key)) for key in keys),
        )
        for point in reversed(points)
    ]
    headers: list[Any] = [_("as of"), *(tiers.name(key) for key in keys)]
    return Chart(
        name="members",
        title=_("Members per tier over time"),
        labels=[shown.day(point.as_of) for point in points],
        series=[
            Series(tiers.name(key), [point.sizes.get(key) for point in points]) for key in keys
        ],
        table=shown.Table("", headers, rows, numeric=frozenset(range(1, len(headers)))),
        empty=_("Runs keep figures of all stores together: there is no history of yours alone.")
        if trend is None
        else _("No run has computed this yet."),
        options={"palette": True},
    )


def moves_panels(tiers: Tiers, *, user: Any, run: Run) -> list[shown.Table]:
    """What the newest as-of moved: from which tier to which, by what decision, for what reason."""
    found = moves(user, run=run, program=tiers.program)
    note = format_html("{} {}", _("as of"), shown.instant(run.as_of))
    return [
        _matrix(tiers, found.cells, run=run, note=note),
        _decisions(tiers, found.kinds, run=run, note=note),
        shown.Table(
            _("Reasons"),
            (_("reason"), _("decisions")),
            [
                (reason_words([code]), shown.count(count))
                for code, count in sorted(found.reasons.items(), key=_largest_first)
            ],
            note=note,
            empty=_("Nothing was decided at this as-of."),
            numeric=frozenset({1}),
        ),
    ]


def _largest_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _matrix(
    tiers: Tiers, cells: Mapping[tuple[str, str], int], *, run: Run, note: Any
) -> shown.Table:
    """Rows: the tier before; columns: the tier after; highest first, "no tier" last."""
    keys = [tier.key for tier in tiers.rows]
    keys += sorted({key for cell in cells for key in cell if key} - set(keys))
    day = project_day(run.as_of)

    def address(before: str, after: str) -> str:
        kind = Transition.Kind.EXIT if not after else Transition.Kind.ENTRY if not before else ""
        return transitions_url(
            program=tiers.program.key,
            kind=kind,
            from_tier=before,
            to_tier=after,
            days=(day, day),
        )

    def cell(before: str, after: str) -> SafeString | str:
        count = cells.get((before, after), 0)
        if before == after:
            return ""
        return count_link(shown.count(count), address(before, after)) if count else shown.EMPTY

    words = {key: tiers.name(key) for key in keys} | {"": gettext("no tier")}
    rows = [(words[before], *(cell(before, after) for after in words)) for before in words]
    return shown.Table(
        _("Who moved: from → to"),
        (_("before"), *(format_html("→ {}", words[key]) for key in words)),
        rows if cells else [],
        note=note,
        empty=_("Nobody moved at this as-of."),
        numeric=frozenset(range(1, len(words) + 1)),
    )


def _decisions(tiers: Tiers, kinds: Mapping[str, int], *, run: Run, note: Any) -> shown.Table:
    day = project_day(run.as_of)
    rows = [
        (
            label,
            count_link(
                shown.count(kinds[kind]),
                transitions_url(program=tiers.program.key, kind=kind, days=(day, day)),
            ),
        )
        for kind, label in Transition.Kind.choices
        if kinds.get(kind)
    ]
    return shown.Table(
        _("Decisions"),
        (_("decision"), _("members")),
        rows,
        note=note,
        empty=_("Nothing was decided at this as-of."),
        numeric=frozenset({1}),
    )


def expiring_panel(tiers: Tiers, *, user: Any, now: datetime, zone: ZoneInfo) -> shown.Table:
    """How many terms end within 30, 60 and 90 days, each leading to whose."""
    places = [(tiers.program.pk, tier.key) for tier in tiers.rows]
    ahead = {days: days_ahead(now, days) for days in EXPIRING_DAYS}
    counted = dict(
        zip(
            ahead, expiring(user, places=places, spans=list(ahead.values()), zone=zone), strict=True
        )
    )

    def cell(tier: str, days: int) -> SafeString | str:
        found: Bounded = counted[days][tiers.program.pk, tier]
        address = memberships_url(program=tiers.program.key, tier=tier, until=ahead[days])
        words = bounded_words(found.count, found.is_more)
        return count_link(words, address if found.count else "")

    headers: list[Any] = [_("tier")]
    headers += [gettext("within %(days)s days") % {"days": days} for days in EXPIRING_DAYS]
    rows = [
        (tiers.name(tier.key), *(cell(tier.key, days) for days in EXPIRING_DAYS))
        for tier in tiers.rows
    ]
    note = "" if row_scope(user) is None else _("of your stores")
    return shown.Table(_("Terms that end"), headers, rows, note=note, numeric=frozenset({1, 2, 3}))


@dataclass(frozen=True)
class VersionPanel:
    """One version of a program: when it applies, how tiers are kept, what each asks for."""

    pk: int
    number: int
    state: SafeString
    effective_from: str
    published: str
    actor: str
    lifecycle: Sequence[tuple[Any, Any]]
    table: shown.Table


def versions_panel(program: Program, *, now: datetime) -> list[VersionPanel]:
    """Every version, the newest first, with its state at `now`, the project's time."""
    current = version_in_force(program, now=now)
    return [
        VersionPanel(
            pk=version.pk,
            number=version.number,
            state=_state(version, current, is_retired=program.retired_at is not None),
            effective_from=version.effective_from.isoformat(),
            published=shown.instant(version.published_at),
            actor=version.actor,
            lifecycle=lifecycle_facts(version.document),
            table=tier_table(version),
        )
        for version in program.versions.order_by("-number")
    ]


def _state(
    version: ProgramVersion, current: ProgramVersion | None, *, is_retired: bool
) -> SafeString:
    """In force, announced, replaced, or out of use with its program."""
    number = current.number if current else 0
    if version.number < number:
        return shown.badge(_("Replaced"), colour="default")
    if is_retired:
        return shown.badge(_("Out of use"), colour="danger")
    if version.number == number:
        return shown.badge(_("In force"), colour="success")
    return shown.badge(_("Not yet in force"), colour="info")
