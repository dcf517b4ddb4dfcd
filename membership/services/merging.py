"""Merging two ids of one person, and undoing it: one transaction over both apps.

Guarantee: afterwards the survivor has the facts, tags, lists, manual rows and the better tiers of
both, and the merged id counts nowhere; the next run judges the survivor by all facts. An undo
within 30 days brings both back as they were, with what came since under either id. Locks, in this
order: definitions, tiers, every kind of fact, the customers; then the run and the jobs under way,
which start again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils.translation import gettext as _

from membership.models import InstantStanding
from membership.services.instant_tiers import lock_tiers
from membership.services.merged_places import KeptIn, keep_places, places_back, places_of
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.models import Customer, CustomerMerge
from segmentation.services import merging
from segmentation.services.definitions import lock_definitions
from segmentation.services.erasure import start_over
from segmentation.services.merge_moves import Writer
from segmentation.services.merging import Moves


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a merge would do now. `digest` changes with any of it: who confirms names it."""

    survivor: Customer
    merged: Customer
    moves: Moves
    places: tuple[KeptIn, ...]
    digest: str


def dry_run(survivor: Customer, merged: Customer) -> DryRun:
    """Looks only. Errors: `same_customer`."""
    if survivor.pk == merged.pk:
        raise merging.refused("same_customer", _("A customer can't be merged into itself."))
    moves = merging.moves(survivor, merged)
    places = places_of(survivor, merged)
    document = [
        [survivor.pk, survivor.batch_id, merged.pk, merged.batch_id],
        asdict(moves),
        [asdict(each) for each in places],
    ]
    text = json.dumps(document, cls=DjangoJSONEncoder, sort_keys=True)
    return DryRun(survivor, merged, moves, places, hashlib.sha256(text.encode()).hexdigest())


def merge_customers(
    survivor: int,
    merged: int,
    *,
    reason: str,
    writer: Writer,
    digest: str | None = None,
    job: int | None = None,
) -> CustomerMerge:
    """Make `merged` an alias of `survivor` (primary keys). With `digest` only what was shown.

    Errors: `reason_required`, `not_found` (also for one who is erased or merged), `same_customer`,
    `changed` (the dry run is no longer true).
    """
    reason = required_reason(reason)
    with transaction.atomic():
        lock_definitions(exclusive=True)
        lock_tiers()
        one, other = merging.lock_pair(survivor, merged)
        found = dry_run(one, other)
        if digest is not None and digest != found.digest:
            raise merging.refused(
                "changed", _("Something changed since it was shown: look at it again.")
            )
        merge = merging.merge_facts(one, other, reason=reason, writer=writer, job=job)
        merge.kept["places"] = keep_places(merge, found.places, writer=writer, reason=reason)
        merge.save(update_fields=["kept"])
        InstantStanding.objects.filter(customer__in=(one, other)).delete()
        writer.mark()
        start_over(now=writer.recorded_at)
    return merge


def undo_merge(merge_id: int, *, reason: str, writer: Writer) -> CustomerMerge:
    """Bring the merged customer back. Errors: `reason_required`, those of `lock_merge`."""
    reason = required_reason(reason)
    with transaction.atomic():
        lock_definitions(exclusive=True)
        lock_tiers()
        merge = merging.lock_merge(merge_id, now=writer.recorded_at)
        merging.undo_facts(merge, reason=reason, writer=writer)
        places_back(merge, writer=writer, reason=reason)
        InstantStanding.objects.filter(customer__in=(merge.survivor, merge.merged)).delete()
        writer.mark()
        start_over(now=writer.recorded_at)
    return merge


def required_reason(reason: str) -> str:
    """The reason without spaces around it. Errors: `reason_required`."""
    if not reason.strip():
        message = _("Say why.")
        problem = Problem("/reason", "reason_required", message)
        raise TierwiseError(message, code="reason_required", problems=(problem,))
    return reason.strip()
