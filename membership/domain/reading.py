"""Program documents to programs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo

from segmentation.domain.definitions import Label
from segmentation.domain.reading import Entry, Place, Scope, Use, read_rule, read_section

from .programs import Program, ProgramVersion, Term, Tier

PROGRAM_SCOPE = Scope(
    {
        "segment": "A program's rule uses no segment: what members are promised is public.",
        "list": "A program's rule uses no list: what members are promised is public.",
        "score": "A program's rule uses no score: what members are promised is public.",
    }
)
MAX_TIERS = 100
MAX_TERM_DAYS = 36_525  # a hundred years: all dates stay far inside what every store can hold
EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)


@dataclass(frozen=True, slots=True)
class ProgramDraft:
    """A program as one document says it: with one version, not yet numbered."""

    key: str
    label: Label
    timezone: str
    version: ProgramVersion  # number 0


def read_programs(
    sections: dict[str, Place], *, project_zone: str, source: int | None = None
) -> tuple[Entry, ...]:
    """The programs of one document; the definition of an entry is a `ProgramDraft`."""
    if "programs" not in sections:
        return ()
    return read_section(
        sections["programs"],
        kind="program",
        key_name="key",
        reader=partial(read_program, project_zone=project_zone),
        source=source,
    )


def read_program(
    place: Place, key: str, uses: list[Use], *, project_zone: str
) -> ProgramDraft | None:
    """The program at `place`, or None after reporting every problem in it."""
    known = ("key", "label", "timezone", "version", "retired")
    fields = place.fields(known, required=("version",))
    if fields is None:
        return None
    label = fields["label"].label() if "label" in fields else Label(key, key)
    zone = _read_zone(fields["timezone"]) if "timezone" in fields else project_zone
    version = read_version(fields["version"], uses) if "version" in fields else None
    if label is None or zone is None or version is None:
        return None
    return ProgramDraft(key, label, zone, version)


def _read_zone(place: Place) -> str | None:
    name = place.text()
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # unknown names raise a KeyError
        place.refuse("unknown_value", f'"{name}" is no time zone; use a name like Asia/Shanghai.')
        return None
    return name


def read_version(place: Place, uses: list[Use], *, number: int = 0) -> ProgramVersion | None:
    """One version: tiers by rank, lowest first, and the rules of the lifecycle."""
    known = (
        "effective_from", "qualification", "upgrade", "keep_for", "grace", "downgrade", "tiers",
    )  # fmt: skip
    fields = place.fields(known, required=("effective_from", "tiers"))
    if fields is None:
        return None
    before = len(place.report.problems)
    effective_from: date | None = None
    if "effective_from" in fields:
        effective_from = fields["effective_from"].day()
        if effective_from is not None and not EARLIEST <= effective_from <= LATEST:
            message = f"Not between {EARLIEST} and {LATEST}."
            fields["effective_from"].refuse("out_of_range", message)
    _check_lifecycle(fields)
    downgrade: Literal["one_level", "by_value"] = "one_level"
    if "downgrade" in fields:
        chosen = fields["downgrade"].choice(("one_level", "by_value"))
        downgrade = "by_value" if chosen == "by_value" else "one_level"
    keep_for = _read_term(fields["keep_for"], at_least=1) if "keep_for" in fields else None
    grace = _read_term(fields["grace"], at_least=0) if "grace" in fields else Term()
    tiers = _read_tiers(fields["tiers"], uses) if "tiers" in fields else None
    if (
        len(place.report.problems) > before
        or effective_from is None
        or grace is None
        or tiers is None
    ):
        return None
    return ProgramVersion(number, effective_from, tiers, keep_for, grace, downgrade)


def _check_lifecycle(fields: dict[str, Place]) -> None:
    if "qualification" in fields:
        inner = fields["qualification"].fields(("period",), required=("period",)) or {}
        if "period" in inner:
            _read_later(inner["period"], now="rolling", later=("calendar_year", "anniversary"))
    if "upgrade" in fields:
        _read_later(fields["upgrade"], now="immediate", later=("period_end",))


def _read_later(place: Place, *, now: str, later: tuple[str, ...]) -> None:
    chosen = place.choice((now, *later))
    if chosen in later:
        place.refuse("not_available", f'"{chosen}" is part of a later release; use "{now}".')


def _read_term(place: Place, *, at_least: int) -> Term | None:
    before = len(place.report.problems)
    fields = place.fields(("years", "months", "days"))
    if fields is None or len(place.report.problems) > before:
        return None
    highest = {"years": 100, "months": 1_200, "days": 36_500}
    read = {name: child.integer(0, highest[name]) for name, child in fields.items()}
    if not fields:
        place.refuse("missing_key", "A length of time needs years, months or days.")
        return None
    if None in read.values():
        return None
    term = Term(read.get("years") or 0, read.get("months") or 0, read.get("days") or 0)
    if term == Term() and at_least:
        place.refuse("out_of_range", "At least one day; leave it out to hold a tier for good.")
        return None
    if term.years * 365 + term.months * 30 + term.days > MAX_TERM_DAYS:
        place.refuse("out_of_range", "More than a hundred years; leave it out to hold for good.")
        return None
    return term


def _read_tiers(place: Place, uses: list[Use]) -> tuple[Tier, ...] | None:
    items = place.items(at_least=1)
    if items is None:
        return None
    if len(items) > MAX_TIERS:
        place.refuse("out_of_range", f"More than {MAX_TIERS} tiers.")
        return None
    tiers: list[Tier] = []
    keys: set[str] = set()
    ranks: set[int] = set()
    for item in items:
        tier = _read_tier(item, uses, keys, ranks)
        if tier is not None:
            tiers.append(tier)
    if len(tiers) < len(items):
        return None
    return tuple(sorted(tiers, key=lambda tier: tier.rank))


def _read_tier(place: Place, uses: list[Use], keys: set[str], ranks: set[int]) -> Tier | None:
    fields = place.fields(
        ("key", "rank", "label", "rule", "benefits"), required=("key", "rank", "rule")
    )
    if fields is None:
        return None
    if "benefits" in fields and fields["benefits"].raw != []:
        fields["benefits"].refuse("not_available", "Benefits are part of a later release.")
    key = fields["key"].key() if "key" in fields else None
    rank = fields["rank"].integer(1, 32_767) if "rank" in fields else None
    rule = None
    if "rule" in fields:
        rule = read_rule(fields["rule"], scope=PROGRAM_SCOPE, uses=uses)
    if "label" in fields:
        label = fields["label"].label()
    else:
        label = None if key is None else Label(key, key)
    if key is not None and key in keys:
        fields["key"].refuse("duplicate_key", f'The tier "{key}" is listed twice; keep one.')
    if rank is not None and rank in ranks:
        fields["rank"].refuse("duplicate_key", f"Rank {rank} is given twice; give each its own.")
    if key is not None:
        keys.add(key)
    if rank is not None:
        ranks.add(rank)
    if key is None or rank is None or label is None or rule is None:
        return None
    return Tier(key, rank, label, rule)


def applicable_versions(program: Program) -> tuple[ProgramVersion, ...]:
    """The versions that are the newest effective one at some as-of, by number.

    A version that a later number replaces from the same day or an earlier one never applies again.
    """
    kept: list[ProgramVersion] = []
    for version in reversed(program.versions):
        if not kept or version.effective_from < kept[-1].effective_from:
            kept.append(version)
    return tuple(reversed(kept))
