"""What people chose for a customer, at a merge and at its undo: lists, includes and excludes, the
objection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F

from segmentation.models import (
    Customer,
    CustomerList,
    CustomerListMember,
    ManualMember,
    Objection,
)


def move_lists(merged: Customer, survivor: Customer) -> dict[str, list[int]]:
    """The survivor takes the places on lists; where both stood the list has one member fewer."""
    rows = CustomerListMember.objects.filter(customer=merged)
    lists = list(rows.order_by("list").values_list("list", flat=True))
    list(CustomerList.objects.select_for_update().filter(pk__in=lists).order_by("pk"))
    both = CustomerListMember.objects.filter(customer=survivor, list__in=lists)
    dropped = sorted(both.values_list("list", flat=True))
    rows.filter(list__in=dropped).delete()
    CustomerList.objects.filter(pk__in=dropped).update(size=F("size") - 1)
    moved = sorted(rows.values_list("pk", flat=True))
    CustomerListMember.objects.filter(pk__in=moved).update(customer=survivor)
    return {"moved": moved, "dropped": dropped}


def lists_back(kept: Mapping[str, list[int]], merged: Customer, survivor: Customer) -> None:
    CustomerListMember.objects.filter(pk__in=kept["moved"], customer=survivor).update(
        customer=merged
    )
    for row in CustomerList.objects.select_for_update().filter(
        pk__in=kept["dropped"], retired_at=None
    ):
        # Taken off since: both are.
        if CustomerListMember.objects.filter(list=row, customer=survivor).exists():
            CustomerListMember.objects.create(list=row, customer=merged)
            CustomerList.objects.filter(pk=row.pk).update(size=F("size") + 1)


def move_manual(merged: Customer, survivor: Customer) -> dict[str, Any]:
    """Includes and excludes are the survivor's; an exclude of either wins in every run (S16)."""
    held = set(ManualMember.objects.filter(customer=survivor).values_list("segment", "kind"))
    moved, dropped = [], []
    for row in ManualMember.objects.filter(customer=merged).order_by("pk"):
        if (row.segment_id, row.kind) in held:
            dropped.append(
                {
                    "segment": row.segment_id,
                    "kind": row.kind,
                    "reason": row.reason,
                    "actor": row.actor,
                }
            )
            row.delete()
        else:
            moved.append(row.pk)
    ManualMember.objects.filter(pk__in=moved).update(customer=survivor)
    return {"moved": moved, "dropped": dropped}


def manual_back(kept: Mapping[str, Any], merged: Customer, survivor: Customer) -> None:
    ManualMember.objects.filter(pk__in=kept["moved"], customer=survivor).update(customer=merged)
    for row in kept["dropped"]:
        where = {"segment_id": row["segment"], "kind": row["kind"]}
        # Taken back since: for both.
        if ManualMember.objects.filter(customer=survivor, **where).exists():
            ManualMember.objects.create(
                customer=merged, **where, reason=row["reason"], actor=row["actor"]
            )


def move_objection(merged: Customer, survivor: Customer) -> bool:
    """Who objects under one id objects. With both, the merged one's row stays for an undo."""
    if Objection.objects.filter(customer=survivor).exists():
        return False
    return bool(Objection.objects.filter(customer=merged).update(customer=survivor))
