"""The member's own view: programs, tier, terms and what is missing to the next tier.

Nothing hidden can be in it: a program's rule uses no segment and nothing derived from a hidden
one, and only such rules are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings

from membership.domain.lifecycle import rank_in_version
from membership.domain.programs import Program, ProgramVersion
from membership.domain.progress import Gap, next_tier, progress
from membership.models import Membership
from membership.models import Program as ProgramRow
from membership.queries import load_definition_set
from membership.services.instant_standings import standing_values
from membership.services.tier_changes import version_at
from segmentation.domain.definitions import Catalog, Label
from segmentation.engine.snapshots import read_customer
from segmentation.models import Customer, DefinitionSet, Run, living
from segmentation.queries import newest_published_run


@dataclass(frozen=True, slots=True)
class MemberView:
    """One program for one customer. Times are aware, in the program's zone.

    `tier` None: no member. `grace_until` is set when the term is over and the tier still kept.
    `progress` None: there is no next tier, its rule can't be said in gaps, or no run has looked at
    the program yet. `run` is the newest published one, `last_good_as_of` its as-of; None: it did
    not look at the program.
    """

    program: str
    label: Label
    tier: str | None
    tier_label: Label | None
    since: datetime | None
    until: datetime | None
    grace_until: datetime | None
    progress: tuple[Gap, ...] | None
    run: Run | None
    last_good_as_of: datetime | None


@dataclass(frozen=True, slots=True)
class _Basis:
    """The newest published run, its definitions and what is known of the customer since."""

    run: Run
    catalog: Catalog
    programs: Mapping[str, Program]
    values: Mapping[str, Fraction | None]
    currency: str


def member_view(external_id: str) -> tuple[MemberView, ...] | None:
    """Every living program by key, held or not, as of the newest published run.

    None when the customer is unknown. The number of queries does not grow with programs.
    """
    customer = Customer.objects.filter(living(), external_id=external_id).first()
    return None if customer is None else views_of(customer)


def views_of(customer: Customer) -> tuple[MemberView, ...]:
    """The same for a customer that was read already."""
    rows = tuple(ProgramRow.objects.filter(retired_at=None).order_by("key"))
    held = {each.program_id: each for each in Membership.objects.filter(customer=customer)}
    basis = _basis(customer) if rows else None
    return tuple(_view(row, held=held.get(row.pk), basis=basis) for row in rows)


@dataclass(frozen=True, slots=True)
class HeldMembership:
    """A tier that is held now; times aware, in the program's zone, None: for good, no grace."""

    program: str
    tier: str
    since: datetime
    until: datetime | None
    grace_until: datetime | None


def held_memberships(customer: Customer) -> tuple[HeldMembership, ...]:
    """What the customer holds now, by program; one query."""
    rows = Membership.objects.filter(customer=customer).select_related("program")
    return tuple(
        HeldMembership(
            program=row.program.key,
            tier=row.tier,
            since=row.since.astimezone(zone := ZoneInfo(row.program.timezone)),
            until=_local(row.until, zone),
            grace_until=_local(row.grace_until, zone),
        )
        for row in rows.order_by("program__key")
    )


def newest_look() -> tuple[Run | None, frozenset[str]]:
    """The newest published run, and the programs it looked at: those with a version by then."""
    run = newest_published_run()
    if run is None or run.definition_set_id is None:
        return run, frozenset()
    _catalog, programs = _definitions_of(run)
    looked = (program.key for program in programs if version_at(program, run.as_of) is not None)
    return run, frozenset(looked)


def _basis(customer: Customer) -> _Basis | None:
    run = newest_published_run()
    if run is None or run.definition_set_id is None:
        return None
    catalog, programs = _definitions_of(run)
    return _Basis(
        run=run,
        catalog=catalog,
        programs={program.key: program for program in programs},
        values={
            **_values(run, customer.external_id, catalog),
            **standing_values(customer.pk, since=run.as_of),
        },
        currency=settings.BASE_CURRENCY,
    )


def _definitions_of(run: Run) -> tuple[Catalog, tuple[Program, ...]]:
    """Of a run that has them."""
    assert run.definition_set_id is not None
    sets = DefinitionSet.objects.filter(pk=run.definition_set_id)
    return _definitions(sets.values_list("digest", flat=True).get())


@lru_cache(maxsize=4)
def _definitions(digest: str) -> tuple[Catalog, tuple[Program, ...]]:
    # A set never changes, so reading its rules again for each request would be waste.
    return load_definition_set(DefinitionSet.objects.get(digest=digest))


def _values(run: Run, external_id: str, catalog: Catalog) -> Mapping[str, Fraction | None]:
    """Exact metrics; none for a customer whom the run did not know yet."""
    snapshot = read_customer(run, external_id, catalog)
    return {} if snapshot is None else snapshot.metrics


def _view(row: ProgramRow, *, held: Membership | None, basis: _Basis | None) -> MemberView:
    program = None if basis is None else basis.programs.get(row.key)
    version = None if basis is None or program is None else version_at(program, basis.run.as_of)
    zone = ZoneInfo(row.timezone)
    return MemberView(
        program=row.key,
        label=Label(row.label_en, row.label_zh_hans),
        tier=None if held is None else held.tier,
        tier_label=None if held is None else _tier_label(held.tier, program, version),
        since=None if held is None else held.since.astimezone(zone),
        until=None if held is None else _local(held.until, zone),
        grace_until=None if held is None else _local(held.grace_until, zone),
        progress=None if basis is None or version is None else _gaps(version, held, basis),
        run=None if basis is None else basis.run,
        last_good_as_of=None if basis is None or version is None else basis.run.as_of,
    )


def _local(instant: datetime | None, zone: ZoneInfo) -> datetime | None:
    return None if instant is None else instant.astimezone(zone)


def _tier_label(key: str, program: Program | None, version: ProgramVersion | None) -> Label:
    """The label in the version that applies, else in the newest one that has the tier."""
    versions = [] if program is None else [*program.versions]
    versions.sort(key=lambda each: (each is version, each.number))
    labels = {tier.key: tier.label for each in versions for tier in each.tiers}
    return labels.get(key, Label(key, key))


def _gaps(
    version: ProgramVersion, held: Membership | None, basis: _Basis
) -> tuple[Gap, ...] | None:
    rank = None
    if held is not None:
        rank = rank_in_version(version, tier=held.tier, rank=held.rank)
    tier = next_tier(version, rank=rank)
    if tier is None:
        return None
    return progress(
        tier.rule,
        values=basis.values,
        units={key: metric.unit for key, metric in basis.catalog.metrics.items()},
        currency=basis.currency,
    )
