"""The tiers of two ids that become one, and of one that becomes two again.

Each change is a transition of a batch of its own between two runs, as the instant path writes them:
the next run starts from it, and an older one that is verified does not know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.utils.translation import gettext as _

from membership.domain.merging import KeptPlace, Place, kept_place
from membership.models import InstantBatch, Membership, Program, ProgramVersion, Transition
from segmentation.domain.errors import TierwiseError
from segmentation.models import Customer, CustomerMerge, Run
from segmentation.queries import newest_published_run
from segmentation.services.merge_moves import Writer

_TIMES = ("since", "until", "grace_until")


@dataclass(frozen=True, slots=True)
class KeptIn:
    """The place of one program that the survivor will have."""

    program: int
    survivor: Place | None
    merged: Place | None
    kept: KeptPlace


def places_of(survivor: Customer, merged: Customer) -> tuple[KeptIn, ...]:
    rows = Membership.objects.filter(customer__in=(survivor, merged)).order_by("program")
    held: dict[int, dict[int, Place]] = {}
    for row in rows:
        held.setdefault(row.program_id, {})[row.customer_id] = _place(row)
    found = []
    for program, both in held.items():
        kept = kept_place(both.get(survivor.pk), both.get(merged.pk))
        assert kept is not None
        found.append(KeptIn(program, both.get(survivor.pk), both.get(merged.pk), kept))
    return tuple(found)


def keep_places(
    merge: CustomerMerge, places: tuple[KeptIn, ...], *, writer: Writer, reason: str
) -> dict[str, Any]:
    change = _Change(merge.survivor, merge.merged, writer=writer, reason=reason)
    for each in places:
        change.set(merge.merged, each.program, None, each.merged, reasons=("merged",))
        change.set(
            merge.survivor, each.program, each.kept.place, each.survivor, reasons=each.kept.reasons
        )
    change.write()
    return {
        str(each.program): {
            "survivor": _document(each.survivor),
            "merged": _document(each.merged),
            "kept": _document(each.kept.place),
        }
        for each in places
    }


def places_back(merge: CustomerMerge, *, writer: Writer, reason: str) -> None:
    """The merged customer's places as they were; the survivor's where no run changed them since."""
    now = {
        row.program_id: _place(row) for row in Membership.objects.filter(customer=merge.survivor)
    }
    change = _Change(merge.survivor, merge.merged, writer=writer, reason=reason)
    living = set(Program.objects.filter(retired_at=None).values_list("pk", flat=True))
    for program, kept in merge.kept["places"].items():
        number = int(program)
        if number not in living:
            continue
        before, after = _read(kept["survivor"]), _read(kept["kept"])
        if now.get(number) == after:
            change.set(merge.survivor, number, before, after, reasons=("merge_undone",))
        change.set(merge.merged, number, _read(kept["merged"]), None, reasons=("merge_undone",))
    change.write()


class _Change:
    """Memberships that a merge or an undo changes, with a transition for each, as the instant path
    writes them: so the next run starts from them."""

    def __init__(
        self, survivor: Customer, merged: Customer, *, writer: Writer, reason: str
    ) -> None:
        self._people = (survivor, merged)
        self._writer = writer
        self._reason = reason
        self._rows: list[tuple[Customer, int, Place | None, Place | None, tuple[str, ...]]] = []

    def set(
        self,
        customer: Customer,
        program: int,
        place: Place | None,
        before: Place | None,
        *,
        reasons: tuple[str, ...],
    ) -> None:
        if place != before:
            self._rows.append((customer, program, place, before, reasons))

    def write(self) -> None:
        if not self._rows:
            return
        run = newest_published_run()
        if run is None:  # no run, no memberships
            raise TierwiseError(_("There is no published run."), code="no_run")
        as_of = max(self._writer.now, run.as_of)
        at = self._writer.recorded_at
        batch = InstantBatch.objects.create(
            run=run,
            as_of=as_of,
            customers=len({row[0].pk for row in self._rows}),
            changes=len(self._rows),
            started_at=at,
            finished_at=at,
        )
        with pghistory.context(actor=self._writer.actor, reason=self._reason):
            for row in self._rows:
                self._write(*row, run=run, batch=batch, as_of=as_of)

    def _write(
        self,
        customer: Customer,
        program: int,
        place: Place | None,
        before: Place | None,
        reasons: tuple[str, ...],
        *,
        run: Run,
        batch: InstantBatch,
        as_of: datetime,
    ) -> None:
        version = ProgramVersion.objects.filter(program=program).order_by("-number")[0]
        held = Membership.objects.filter(program=program, customer=customer)
        if place is None:
            held.delete()
        else:
            Membership.objects.update_or_create(
                program_id=program, customer=customer, defaults={**_columns(place), "run": run}
            )
        Transition.objects.create(
            program_id=program,
            customer=customer,
            run=run,
            instant_batch=batch,
            version=version,
            kind=_kind(before, place),
            from_tier="" if before is None else before.tier,
            to_tier="" if place is None else place.tier,
            at=as_of,
            reasons=list(reasons),
            **({} if place is None else {name: getattr(place, name) for name in _TIMES}),
        )


def _kind(before: Place | None, after: Place | None) -> Transition.Kind:
    if before is None:
        return Transition.Kind.ENTRY
    if after is None:
        return Transition.Kind.EXIT
    if after.rank == before.rank:
        return Transition.Kind.RENEWAL
    is_up = after.rank > before.rank
    return Transition.Kind.UPGRADE if is_up else Transition.Kind.DOWNGRADE


def _place(row: Membership) -> Place:
    return Place(row.tier, row.rank, row.since, row.until, row.grace_until)


def _columns(place: Place) -> dict[str, Any]:
    return {"tier": place.tier, "rank": place.rank} | {
        name: getattr(place, name) for name in _TIMES
    }


def _document(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    times = {name: getattr(place, name) for name in _TIMES}
    return {
        "tier": place.tier,
        "rank": place.rank,
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }


def _read(document: Mapping[str, Any] | None) -> Place | None:
    if document is None:
        return None
    since, until, grace_until = (
        None if document[name] is None else datetime.fromisoformat(document[name])
        for name in _TIMES
    )
    assert since is not None
    return Place(document["tier"], document["rank"], since, until, grace_until)
