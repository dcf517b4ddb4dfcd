"""One person with two ids: what a merge changes of this app, shown first, done, and undone.

The survivor keeps its id; the other becomes an alias: it counts nowhere, no read shows it, and
facts sent under it are the survivor's. `membership` adds the tiers and calls both in one
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pghistory
from django.db.models import Q
from django.utils.translation import gettext as _

from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.models import (
    Customer,
    CustomerListMember,
    CustomerMerge,
    Event,
    ManualMember,
    Objection,
    Order,
    Referral,
)

from .importing.recording import lock_every_kind
from .merge_choices import (
    lists_back,
    manual_back,
    move_lists,
    move_manual,
    move_objection,
)
from .merge_moves import Writer, between, movable_tags, move_back, move_facts

UNDO_FOR = timedelta(days=30)
# Only what the survivor lacks is taken from the other one.
FILLED = (
    "registered_at", "name", "phone", "email", "gender", "birth_date", "city", "region", "channel",
    "home_store", "is_staff", "unionid", "external_userid",
)  # fmt: skip
# Consent goes with the time it was given at.
_CONSENT = ("consent_marketing", "consent_at")


@dataclass(frozen=True, slots=True)
class Moves:
    """What a merge of these two would do now: numbers of rows, names of columns, segments' keys."""

    orders: int
    events: int
    referrals: int
    set_aside: int  # referrals of one by the other
    tags: tuple[str, ...]  # group=value
    filled: tuple[str, ...]
    consent: bool | None  # the survivor's afterwards
    objects: bool
    lists: tuple[int, ...]
    manual: tuple[tuple[str, str], ...]  # kind, segment
    aliases: tuple[str, ...]  # ids merged into the merged one before


def moves(survivor: Customer, merged: Customer) -> Moves:
    """A dry run; the number of queries does not grow with the facts."""
    either = Q(referrer=merged) | Q(referee=merged)
    aside = Referral.objects.filter(between(merged, survivor)).count()
    return Moves(
        orders=Order.objects.filter(customer=merged).count(),
        events=Event.objects.filter(customer=merged).count(),
        referrals=Referral.objects.filter(either).count() - aside,
        set_aside=aside,
        tags=tuple(f"{row.group}={row.value}" for row in movable_tags(merged, survivor)),
        filled=tuple(_missing(survivor, merged)),
        consent=_consent(survivor, merged)[0],
        objects=Objection.objects.filter(customer__in=(survivor, merged)).exists(),
        lists=tuple(
            CustomerListMember.objects.filter(customer=merged)
            .order_by("list")
            .values_list("list", flat=True)
        ),
        manual=tuple(
            ManualMember.objects.filter(customer=merged)
            .order_by("segment__key", "kind")
            .values_list("kind", "segment__key")
        ),
        aliases=tuple(merged.aliases.order_by("pk").values_list("external_id", flat=True)),
    )


def lock_pair(survivor: int, merged: int) -> tuple[Customer, Customer]:
    """Both customers by primary key, and the aliases of the merged one, held until the transaction
    ends, while nothing is recorded. Errors: `not_found`, `same_customer`."""
    if survivor == merged:
        raise refused("same_customer", _("A customer can't be merged into itself."))
    lock_every_kind()
    rows = Customer.objects.select_for_update(of=("self",), no_key=True).filter(
        Q(pk__in=(survivor, merged)) | Q(merged_into=merged)
    )
    found = {row.pk: row for row in rows.order_by("pk")}
    both = [found.get(pk) for pk in (survivor, merged)]
    for customer in both:
        # An erased one, or one that was merged meanwhile: a chain is never made longer than one
        # step, and so never a circle.
        if customer is None or customer.erased_at or customer.merged_into_id:
            raise NotFoundError(_("There is no such customer."))
    first, second = both
    assert first is not None
    assert second is not None
    return first, second


def merge_facts(
    survivor: Customer,
    merged: Customer,
    *,
    reason: str,
    writer: Writer,
    job: int | None = None,
) -> CustomerMerge:
    """Everything of this app, in the caller's transaction; `kept` is what an undo needs."""
    moved = move_facts(merged, survivor, writer=writer)
    kept: dict[str, Any] = {}
    with pghistory.context(actor=writer.actor, reason=reason):
        kept["lists"] = move_lists(merged, survivor)
        kept["manual"] = move_manual(merged, survivor)
    kept["objection"] = move_objection(merged, survivor)
    batch = writer.batch("customers")
    kept |= _fill(survivor, merged, batch=batch.pk)
    siblings = list(merged.aliases.order_by("pk").values_list("pk", flat=True))
    kept["aliases"] = siblings
    Customer.objects.filter(pk__in=[merged.pk, *siblings]).update(merged_into=survivor, batch=batch)
    writer.wrote("customers", 2 + len(siblings))
    return CustomerMerge.objects.create(
        survivor=survivor,
        merged=merged,
        reason=reason,
        actor=writer.actor,
        merged_at=writer.recorded_at,
        until=writer.recorded_at + UNDO_FOR,
        batch=batch,
        batches={kind: found.pk for kind, found in writer.batches.items()},
        moved=moved,
        kept=kept,
        job_id=job,
    )


def lock_merge(merge_id: int, *, now: datetime) -> CustomerMerge:
    """A merge that can be undone now, with its customers, held while nothing is recorded.

    Errors: `not_found`, `undone`, `too_late`, `merged_again` (the survivor was merged itself since:
    that merge comes first).
    """
    lock_every_kind()
    merge = CustomerMerge.objects.select_for_update(of=("self",)).filter(pk=merge_id).first()
    if merge is None:
        raise NotFoundError(_("There is no such merge."))
    if merge.undone_at is not None:
        raise refused("undone", _("This merge is undone already."))
    people = {merge.survivor_id, merge.merged_id, *merge.kept.get("aliases", ())}
    rows = Customer.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=people)
    found = {row.pk: row for row in rows.order_by("pk")}
    merge.survivor, merge.merged = found[merge.survivor_id], found[merge.merged_id]
    if merge.survivor.erased_at or merge.merged.erased_at:
        raise NotFoundError(_("There is no such merge."))
    if now >= merge.until:
        raise refused("too_late", _("A merge can be undone for 30 days."))
    refuse_merged_again(merge)
    return merge


def refuse_merged_again(merge: CustomerMerge) -> None:
    """Of a chain the last merge comes first."""
    if merge.survivor.merged_into_id is not None:
        raise refused(
            "merged_again",
            _("The customer was merged into another one since: undo that merge first."),
        )


def undo_facts(merge: CustomerMerge, *, reason: str, writer: Writer) -> None:
    """Everything of this app is as before the merge where nobody changed it since."""
    survivor, merged, kept = merge.survivor, merge.merged, merge.kept
    # Of several ids merged into the other one before, those that still are.
    siblings = Customer.objects.filter(pk__in=kept["aliases"], merged_into=survivor)
    aliases = list(siblings.order_by("pk").values_list("pk", flat=True))
    move_back(merged, survivor, batches=merge.batches, aliases=[merged.pk, *aliases], writer=writer)
    with pghistory.context(actor=writer.actor, reason=reason):
        lists_back(kept["lists"], merged, survivor)
        manual_back(kept["manual"], merged, survivor)
    if kept["objection"]:
        Objection.objects.filter(customer=survivor).update(customer=merged)
    batch = writer.batch("customers")
    _empty(survivor, kept, batch=batch.pk)
    Customer.objects.filter(pk=merged.pk).update(merged_into=None, batch=batch)
    Customer.objects.filter(pk__in=aliases).update(merged_into=merged, batch=batch)
    writer.wrote("customers", 2 + len(aliases))
    merge.undone_at, merge.undone_by = writer.recorded_at, writer.actor
    merge.undo_reason, merge.undo_batch = reason, batch
    merge.save(update_fields=["undone_at", "undone_by", "undo_reason", "undo_batch"])


def _missing(survivor: Customer, merged: Customer) -> list[str]:
    return [
        name
        for name in FILLED
        if getattr(survivor, name) is None and getattr(merged, name) is not None
    ]


def _consent(survivor: Customer, merged: Customer) -> tuple[bool | None, datetime | None]:
    """No wins over yes, whoever said it; a yes over nothing said."""
    for answer in (False, True):
        for customer in (survivor, merged):
            if customer.consent_marketing is answer:
                return answer, customer.consent_at
    return None, survivor.consent_at or merged.consent_at


def _plain(value: Any) -> Any:
    """A column's value as JSON keeps it."""
    return value.isoformat() if isinstance(value, date) else value  # an instant is a date, too


def _fill(survivor: Customer, merged: Customer, *, batch: int) -> dict[str, Any]:
    """Write the survivor's new version; returns what each changed column was and is."""
    consent = dict(zip(_CONSENT, _consent(survivor, merged), strict=True))
    wanted = {name: getattr(merged, name) for name in _missing(survivor, merged)} | consent
    if survivor.is_stub and not merged.is_stub:
        wanted["is_stub"] = False
    changes = {name: new for name, new in wanted.items() if getattr(survivor, name) != new}
    kept = {name: [_plain(getattr(survivor, name)), _plain(new)] for name, new in changes.items()}
    Customer.objects.filter(pk=survivor.pk).update(**changes, batch_id=batch)
    return {"columns": kept}


def _empty(survivor: Customer, kept: Mapping[str, Any], *, batch: int) -> None:
    """What the merge filled, and nobody has changed since, is as it was."""
    changes = {
        name: before
        for name, (before, after) in kept["columns"].items()
        if _plain(getattr(survivor, name)) == after
    }
    Customer.objects.filter(pk=survivor.pk).update(**changes, batch_id=batch)


def refused(code: str, message: str) -> TierwiseError:
    """A merge or an undo that can't be."""
    return TierwiseError(message, code=code, problems=(Problem("", code, message),))
