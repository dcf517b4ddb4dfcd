"""Moving a person's facts from one id to another: each move is a new version, recorded by a batch.

So an older watermark still answers with the facts where they were, and the mirror writes tombstones
and new rows as for any correction. Called with every lock of the facts held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q

from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    FactBatch,
    FactVersion,
    Order,
    RedirectedFact,
    Referral,
)

from .importing.groups import imported_groups
from .marks import mark_batch

_OWNED = (("orders", Order), ("events", Event))
# Stands for the file of a batch that a merge or an undo wrote: what any other batch has written
# since was sent by somebody, under the id it has.
_MERGE = "merge"


@dataclass(slots=True)
class Writer:
    """Makes one batch for each kind of fact, when something of it is written.

    `recorded_at` is the real clock, `now` the project's.
    """

    source: str
    actor: str
    recorded_at: datetime
    now: datetime
    batches: dict[str, FactBatch] = field(default_factory=dict)

    def batch(self, kind: str) -> FactBatch:
        if kind not in self.batches:
            self.batches[kind] = FactBatch.objects.create(
                kind=kind,
                source=self.source,
                actor=self.actor,
                file_name=_MERGE,
                recorded_at=self.recorded_at,
            )
        return self.batches[kind]

    def wrote(self, kind: str, rows: int) -> int:
        batch = self.batch(kind)
        batch.updated += rows
        batch.read += rows
        batch.save(update_fields=["updated", "read"])
        return rows

    def mark(self) -> None:
        """Whoever lost or got facts is looked at between the runs."""
        for kind in self.batches:
            mark_batch(self.batches[kind], now=self.now)


def move_facts(merged: Customer, survivor: Customer, *, writer: Writer) -> dict[str, int]:
    """Everything that `merged` did is the survivor's from here on; how many rows of what."""
    moved = {}
    for kind, model in _OWNED:
        rows = model._default_manager.filter(customer=merged)
        if rows.exists():
            batch = writer.batch(kind)
            moved[kind] = writer.wrote(kind, rows.update(customer=survivor, batch=batch))
    if found := _move_referrals(merged, survivor, writer=writer):
        moved["referrals"] = found
    if found := _move_tags(merged, survivor, writer=writer):
        moved["tags"] = found
    return moved


def between(one: Customer, other: Customer) -> Q:
    """Referrals of one of the two by the other."""
    return Q(referrer=one, referee=other) | Q(referrer=other, referee=one)


def _move_referrals(merged: Customer, survivor: Customer, *, writer: Writer) -> int:
    """A referral of one by the other is set aside: it stays with the merged id, on both sides, and
    counts nowhere. Nobody refers themselves."""
    own = Referral.objects.filter(Q(referrer=merged) | Q(referee=merged))
    if not own.exists():
        return 0
    batch = writer.batch("referrals")
    aside = Referral.objects.filter(between(merged, survivor))
    rows = aside.update(referrer=merged, referee=merged, batch=batch)
    others = Referral.objects.exclude(referrer=merged, referee=merged)
    rows += others.filter(referrer=merged).update(referrer=survivor, batch=batch)
    rows += others.filter(referee=merged).update(referee=survivor, batch=batch)
    return writer.wrote("referrals", rows) if rows else 0


def movable_tags(merged: Customer, survivor: Customer) -> list[CustomerTag]:
    """The merged customer's values that the survivor gets: not those it has, and none in an
    exclusive group in which it has one."""
    exclusive = {key for key, group in imported_groups().items() if group.exclusive}
    own = CustomerTag.objects.filter(customer=survivor, is_removed=False)
    has = set(own.values_list("group", "value"))
    groups = {group for group, _ in has}
    rows = CustomerTag.objects.filter(customer=merged, is_removed=False).order_by("pk")
    return [
        row
        for row in rows
        if (row.group, row.value) not in has
        and not (row.group in exclusive and row.group in groups)
    ]


def _move_tags(merged: Customer, survivor: Customer, *, writer: Writer) -> int:
    rows = movable_tags(merged, survivor)
    if not rows:
        return 0
    ended = {
        (row.group, row.value): row
        for row in CustomerTag.objects.filter(customer=survivor, is_removed=True)
    }
    batch = writer.batch("tags")
    for row in rows:
        old = ended.get((row.group, row.value))
        if old is None:
            CustomerTag.objects.filter(pk=row.pk).update(customer=survivor, batch=batch)
        else:  # the survivor had it once: it begins again, the other row stays where it is
            CustomerTag.objects.filter(pk=old.pk).update(
                is_removed=False, expires_at=row.expires_at, batch=batch
            )
    return writer.wrote("tags", len(rows))


def move_back(
    merged: Customer,
    survivor: Customer,
    *,
    batches: Mapping[str, int],
    aliases: Collection[int],
    writer: Writer,
) -> dict[str, int]:
    """The facts that these batches moved and that nobody has sent since under the survivor's id,
    and what was sent since under the merged id or one of its `aliases`, are the merged customer's
    again."""
    moved = {}
    for kind, model in _OWNED:
        moved_then = Q(pk__in=list(_replaced(kind, batches)), batch__file_name=_MERGE)
        sent = Q(pk__in=list(_sent(kind, "customer", aliases)))
        resent = list(_sent(kind, "customer", [survivor.pk]))
        own = model._default_manager.filter(moved_then | sent, customer=survivor)
        own = own.exclude(pk__in=resent)
        rows = model._default_manager.filter(pk__in=list(own.values_list("pk", flat=True)))
        if rows.exists():
            batch = writer.batch(kind)
            moved[kind] = writer.wrote(kind, rows.update(customer=merged, batch=batch))
    if found := _referrals_back(merged, survivor, batches, aliases, writer):
        moved["referrals"] = found
    if found := _tags_back(merged, survivor, batches, aliases, writer):
        moved["tags"] = found
    # As long as an id stands for others it matters what came under it.
    over = [each for each in (merged, survivor) if not each.aliases.exclude(pk=merged.pk).exists()]
    if len(aliases) > 1:
        over = [each for each in over if each != merged]
    RedirectedFact.objects.filter(alias__in=over).delete()
    return moved


def _replaced(kind: str, batches: Mapping[str, int]) -> Iterable[int]:
    """The rows of which a batch replaced a version."""
    found = FactVersion.objects.filter(kind=kind, superseded_by=batches.get(kind))
    return found.values_list("row_id", flat=True)


def _sent(kind: str, column: str, aliases: Collection[int]) -> Iterable[int]:
    found = RedirectedFact.objects.filter(kind=kind, column=column, alias__in=aliases)
    return found.values_list("row_id", flat=True)


def _referrals_back(
    merged: Customer,
    survivor: Customer,
    batches: Mapping[str, int],
    aliases: Collection[int],
    writer: Writer,
) -> int:
    """Each side that the merge changed, where it is still as the merge left it."""
    before: dict[int, dict[str, Any]] = {}
    for version in FactVersion.objects.filter(
        kind="referrals", superseded_by=batches.get("referrals")
    ):
        # A row that was written twice by one batch keeps its first version only.
        before.setdefault(version.row_id, version.row)
    wanted: dict[int, dict[str, int]] = {}
    resent = {
        pk for side in ("referrer", "referee") for pk in _sent("referrals", side, [survivor.pk])
    }
    for row in Referral.objects.filter(pk__in=before, batch__file_name=_MERGE).exclude(
        pk__in=resent
    ):
        old = before[row.pk]
        pair = {"referrer_id": old["referrer_id"], "referee_id": old["referee_id"]}
        if (row.referrer_id, row.referee_id) == _after(pair, merged.pk, survivor.pk):
            wanted[row.pk] = pair
    for side in ("referrer", "referee"):
        for row in Referral.objects.filter(pk__in=_sent("referrals", side, aliases)):
            if getattr(row, f"{side}_id") == survivor.pk:
                wanted.setdefault(row.pk, {})[f"{side}_id"] = merged.pk
    if not wanted:
        return 0
    batch = writer.batch("referrals")
    for pk, values in wanted.items():
        Referral.objects.filter(pk=pk).update(batch=batch, **values)
    return writer.wrote("referrals", len(wanted))


def _after(pair: Mapping[str, int], merged: int, survivor: int) -> tuple[int, int]:
    """What a merge makes of the two sides of a referral."""
    sides = (pair["referrer_id"], pair["referee_id"])
    if set(sides) == {merged, survivor}:
        return merged, merged
    if sides == (merged, merged):
        return sides
    referrer, referee = (survivor if side == merged else side for side in sides)
    return referrer, referee


def _tags_back(
    merged: Customer,
    survivor: Customer,
    batches: Mapping[str, int],
    aliases: Collection[int],
    writer: Writer,
) -> int:
    versions = {
        version.row_id: version.row
        for version in FactVersion.objects.filter(kind="tags", superseded_by=batches.get("tags"))
    }
    sent = set(_sent("tags", "customer", aliases))
    resent = set(_sent("tags", "customer", [survivor.pk]))
    rows = CustomerTag.objects.filter(pk__in=[*versions, *sent], customer=survivor)
    taken = set(CustomerTag.objects.filter(customer=merged).values_list("group", "value"))
    count = 0
    for row in rows.select_related("batch").order_by("pk"):
        if row.pk in resent or (row.pk not in sent and row.batch.file_name != _MERGE):
            continue  # set or ended since under the survivor's id
        old = versions.get(row.pk)
        values: dict[str, Any]
        if old is not None and old["customer_id"] == survivor.pk and row.pk not in sent:
            values = {"is_removed": old["is_removed"], "expires_at": old["expires_at"]}
        elif (row.group, row.value) in taken:
            values = {"is_removed": True}  # the merged customer has it by another row by now
        else:
            values = {"customer": merged}
        CustomerTag.objects.filter(pk=row.pk).update(batch=writer.batch("tags"), **values)
        count += 1
    return writer.wrote("tags", count) if count else 0
