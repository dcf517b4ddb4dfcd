"""The erasure of a customer: one transaction over both apps, then the files.

Guarantee: afterwards no table of facts, their versions, tags, memberships, transitions, lists,
receipts or logs of access holds the person, the mirror answers no watermark with them, no bitmap
and no file of a stored run has them, and no file of a job names them. Backups made before still do:
`VAR_DIR/erasures` makes a restore do the erasure again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import pgtrigger
from django.apps import apps
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.models import InstantStanding, Membership, Transition
from segmentation.engine import mirror
from segmentation.models import AccessRecord, Customer, CustomerMark, PrivacyRequest
from segmentation.services.definitions import lock_definitions
from segmentation.services.erasure import (
    ended_since,
    erase_customer,
    lock_one_person,
    names_of,
    one_person,
    remove_files,
    start_over,
    withdraw_files,
)
from segmentation.services.erasure_log import log_erasure, undone_by_restore
from segmentation.services.file_search import jobs_naming
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork
from segmentation.services.privacy import ERASE_JOB, erased_reference, find_receipt, is_erased
from segmentation.services.run_erasure import remove_from_runs

_STEPS = 4
_RESTORE = "restore"
# A job's end is written by its worker's clock, perhaps on another machine.
_CLOCKS_DIFFER = timedelta(minutes=5)


@job_kind(ERASE_JOB, title=gettext_lazy("Erasure of a customer"))
def erase(work: JobWork) -> dict[str, object]:
    """Do the erasure a receipt asks for. Starts again where a killed attempt stopped."""
    request = find_receipt(work.parameters["receipt"])
    work.progress(0, total=_STEPS, stage="search")
    if not is_erased(request):
        erase_from_database(request, now=work.clock())
        request.refresh_from_db()
    if request.details.get("rest") is not None:
        erase_from_files(now=work.clock(), on_stage=lambda done, stage: work.progress(
            done, total=_STEPS, stage=stage))  # fmt: skip
        request.refresh_from_db()
    _finish(request, now=work.clock())
    work.note(_("Erased; the receipt is %(receipt)s.") % {"receipt": request.receipt})
    return {"receipt": request.receipt}


def erase_from_database(request: PrivacyRequest, *, now: datetime) -> None:
    """Everything that PostgreSQL holds, in one transaction; what is left to do is in the receipt.

    The files of jobs are searched first, while the person still has a name; what is written
    meanwhile is removed unsearched. Locks, in this order: definitions (no run publishes meanwhile),
    every kind of fact (nothing is recorded meanwhile), the customers, then the run and the jobs
    under way, which start again.
    """
    began = now - _CLOCKS_DIFFER
    searched = _ids_of(request.customer_ref)
    named = _jobs_naming(request.customer_ref)
    with transaction.atomic():
        lock_definitions(exclusive=True)
        people = lock_one_person(request.customer_ref)
        if not people:  # another request erased them while we waited
            return
        if {person.pk for person in people} - searched:  # merged since: one more id to look for
            named = _jobs_naming(request.customer_ref)
        rest: dict[str, list[int]] = {"ordinals": [], "orders": [], "exports": []}
        referrers: list[int] = []
        receipts = _receipts(request, people, now=now)
        for customer, receipt in zip(people, receipts, strict=True):
            reference = erased_reference(customer.external_id)
            log_erasure(receipt=receipt, reference=reference, now=now)
            _erase_memberships(customer)
            erased = erase_customer(customer, now=now)
            rest["ordinals"].append(erased.ordinal)
            rest["orders"] += erased.orders
            rest["exports"] += erased.exports
            referrers += erased.referrers
        rest["exports"] = sorted({*rest["exports"], *named, *ended_since(began)})
        withdraw_files(rest["exports"])
        start_over(now=now)
        request.refresh_from_db()
        request.details = request.details | {"referrers": referrers, "rest": rest}
        request.save(update_fields=["details"])


def erase_from_files(
    *, now: datetime, on_stage: Callable[[int, str], None] = lambda done, stage: None
) -> None:
    """What all erasures so far have left to do: the mirror, the stored runs, the files of jobs.

    Together, because each pass reads every file: ten people who are erased at once cost one pass.
    Safe to repeat.
    """
    requests = _unfinished()
    ordinals = sorted({each for found in requests for each in found.details["rest"]["ordinals"]})
    orders = {each for found in requests for each in found.details["rest"]["orders"]}
    on_stage(1, "mirror")
    mirror.remove_customers(ordinals, orders=orders, now=now)
    mirror.sweep()
    on_stage(2, "runs")
    remove_from_runs(ordinals)
    on_stage(3, "files")
    for request in requests:
        remove_files(request.details["rest"]["exports"])
        _finish(request, now=now)


def erase_again(*, now: datetime) -> int:
    """After the restore of a backup: erase whom it brought back, before anybody can see them.

    Done for every erasure that `VAR_DIR/erasures` knows and this database does not; returns of how
    many people. Each has its receipt here afterwards, also one of whom there was nothing to erase:
    who takes the id later is a stranger, and is not erased by the next restore. Safe to repeat.
    """
    count = 0
    for logged, found in undone_by_restore():
        # Several ids of one person go together: with the first, the others are gone.
        external_id = found if found is not None and one_person(found).exists() else None
        request, _is_new = PrivacyRequest.objects.get_or_create(
            receipt=logged.receipt,
            defaults={
                "kind": PrivacyRequest.Kind.ERASE,
                "customer_ref": external_id or logged.reference,
                "actor": _RESTORE,
                "via": AccessRecord.Via.COMMAND,
                "requested_at": now,
                "done_at": now if external_id is None else None,
            },
        )
        if external_id is not None:
            erase_from_database(request, now=now)
            count += 1
    if _unfinished():
        erase_from_files(now=now)
    return count


def _ids_of(external_id: str) -> set[int]:
    return set(one_person(external_id).values_list("pk", flat=True))


def _jobs_naming(external_id: str) -> list[int]:
    people = one_person(external_id)
    return jobs_naming(frozenset[str]().union(*(names_of(person) for person in people)))


def _receipts(
    request: PrivacyRequest, people: Sequence[Customer], *, now: datetime
) -> Iterator[str]:
    """A receipt for each id of the person: that of the request, and one more for each other id, so
    that a restore of a backup from before a merge finds them all."""
    for number, customer in enumerate(people):
        if customer.external_id == request.customer_ref:
            yield request.receipt
            continue
        more = PrivacyRequest.objects.create(
            receipt=f"{request.receipt}+{number}",
            kind=PrivacyRequest.Kind.ERASE,
            customer_ref=customer.external_id,  # the erasure puts the reference in its place
            actor=request.actor,
            via=request.via,
            requested_at=request.requested_at,
            done_at=now,
        )
        yield more.receipt


def _unfinished() -> list[PrivacyRequest]:
    return list(
        PrivacyRequest.objects.filter(
            kind=PrivacyRequest.Kind.ERASE, details__has_key="rest"
        ).order_by("pk")
    )


def _erase_memberships(customer: Customer) -> None:
    history = apps.get_model("membership", "MembershipEvent")
    with pgtrigger.ignore(
        "membership.Transition:append_only", "membership.MembershipEvent:append_only"
    ):
        CustomerMark.objects.filter(customer=customer).delete()
        InstantStanding.objects.filter(customer=customer).delete()
        Membership.objects.filter(customer=customer).delete()
        history._default_manager.filter(customer_id=customer.pk).delete()
        Transition.objects.filter(customer=customer).delete()
    InstantStanding.objects.filter(customer=customer).delete()
    CustomerMark.objects.filter(customer=customer).delete()


def _finish(request: PrivacyRequest, *, now: datetime) -> None:
    request.details = {name: value for name, value in request.details.items() if name != "rest"}
    request.done_at = request.done_at or now
    request.save(update_fields=["details", "done_at"])
