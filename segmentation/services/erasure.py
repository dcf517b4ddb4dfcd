"""What an erasure removes of this app: facts with all their versions, tags, lists, the person.

The customer's row stays without a person in it, because its bitmap position must never be given
to somebody else. `membership` adds what it holds and calls both halves in one transaction.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import pgtrigger
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from segmentation.models import (
    AccessRecord,
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerMerge,
    CustomerTag,
    Event,
    FactVersion,
    Job,
    ManualMember,
    Objection,
    Order,
    OrderLine,
    PrivacyRequest,
    RedirectedFact,
    Referral,
    Refund,
    Run,
)

from .erasure_mentions import forget_mentions, forget_samples
from .importing.recording import lock_every_kind
from .jobs import job_folder
from .privacy import erased_reference

# What names a person in a text.
_NAMES = ("external_id", "name", "phone", "email", "unionid", "external_userid")
# Jobs that read many people and change none: they can be done again from the start.
_MADE_FROM_PEOPLE = ("export", "preview", "data_quality")
_BLANK = (
    "registered_at", "name", "phone", "email", "gender", "birth_date", "city", "region", "channel",
    "home_store", "is_staff", "consent_marketing", "consent_at", "unionid", "external_userid",
    "merged_into",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Erased:
    """What must still be done outside the database, and what verification has to know.

    `orders` are primary keys; `referrers` the bitmap positions of customers whose own facts lost
    a referral; `exports` the jobs whose files hold the person's data.
    """

    ordinal: int
    orders: tuple[int, ...]
    referrers: tuple[int, ...]
    exports: tuple[int, ...]


def one_person(external_id: str) -> QuerySet[Customer]:
    """All ids of the living person who has this one: it, the one it was merged into, and all that
    were merged into that."""
    named = Customer.objects.filter(external_id=external_id, erased_at=None)
    roots = named.annotate(root=Coalesce("merged_into_id", "pk")).values("root")
    whole = Q(pk__in=roots) | Q(merged_into__in=roots)
    return Customer.objects.filter(whole, erased_at=None).order_by("pk")


def lock_one_person(external_id: str) -> list[Customer]:
    """`one_person`, held until the transaction ends, while nothing is recorded; empty when gone."""
    lock_every_kind()
    return list(one_person(external_id).select_for_update(of=("self",)))


def erase_customer(customer: Customer, *, now: datetime) -> Erased:
    """Remove facts, tags, lists, objection and attributes, in the caller's transaction.

    Triggers that keep old versions or refuse a change are switched off for exactly these
    statements: what they protect is what the person has a right to have removed.
    """
    external_id, names = customer.external_id, names_of(customer)
    orders = tuple(Order.objects.filter(customer=customer).values_list("pk", flat=True))
    made = Referral.objects.filter(Q(referrer=customer) | Q(referee=customer))
    brought_by = Referral.objects.filter(referee=customer).exclude(referrer=customer)
    referrers = tuple(sorted(set(brought_by.values_list("referrer__ordinal", flat=True))))
    for kind, rows in (
        ("order_lines", OrderLine.objects.filter(order__customer=customer)),
        ("refunds", Refund.objects.filter(order__customer=customer)),
        ("orders", Order.objects.filter(customer=customer)),
        ("events", Event.objects.filter(customer=customer)),
        ("referrals", made),
        ("tags", CustomerTag.objects.filter(customer=customer)),
    ):
        _forget_versions(kind, rows.values_list("pk", flat=True))
        rows.delete()
    _forget_versions("customers", [customer.pk])
    _forget_former_ownership(customer.pk)
    _forget_lists(customer)
    exports = _forget_requests(customer, external_id)
    _forget_merges(customer)
    forget_samples(customer)
    forget_mentions(names | {f"customer:{external_id}"}, reference=erased_reference(external_id))
    _blank(customer, now=now)
    return Erased(customer.ordinal, orders, referrers, exports)


def names_of(customer: Customer) -> frozenset[str]:
    """What names the person in a text, now or in an earlier version of the row."""
    versions = FactVersion.objects.filter(kind="customers", row_id=customer.pk)
    found = {getattr(customer, column) for column in _NAMES}
    found |= {
        row.get(column) for row in versions.values_list("row", flat=True) for column in _NAMES
    }
    return frozenset(name for name in found if name and name.strip())


def start_over(*, now: datetime) -> None:
    """What is being made of people right now is made again, without those who have just gone: the
    run under way, and jobs that write files or samples. Nothing of what their workers have is kept.

    In the caller's transaction, which holds the lock of the definitions: a run takes that before
    it publishes.
    """
    runs = Run.objects.select_for_update().filter(status=Run.Status.RUNNING)
    for run in runs.order_by("pk"):
        line = {"at": now.isoformat(), "message": "people changed: the run starts again"}
        Run.objects.filter(pk=run.pk).update(
            status=Run.Status.QUEUED, lease_owner="", lease_until=None, stage="",
            attempts=max(run.attempts - 1, 0), log=[*run.log, line],
        )  # fmt: skip
    jobs = Job.objects.select_for_update().filter(
        status=Job.Status.RUNNING, kind__in=_MADE_FROM_PEOPLE
    )
    for job in jobs.order_by("pk"):
        line = {"at": now.isoformat(), "message": "people changed: the job starts again"}
        Job.objects.filter(pk=job.pk).update(
            status=Job.Status.QUEUED, lease_owner="", lease_until=None, stage="",
            attempts=max(job.attempts - 1, 0), log=[*job.log, line],
        )  # fmt: skip


def withdraw_files(jobs: Collection[int]) -> None:
    """Files of these jobs are offered no more; `remove_files` removes them."""
    Job.objects.filter(pk__in=list(jobs)).update(result_file="")


def ended_since(since: datetime) -> list[int]:
    """Jobs that ended after a search of all files had begun: what they wrote was not searched."""
    return list(Job.objects.filter(finished_at__gte=since).values_list("pk", flat=True))


def remove_files(jobs: Iterable[int]) -> None:
    """Remove the files of jobs that hold the person's data. Safe to repeat."""
    for job_id in jobs:
        shutil.rmtree(job_folder(job_id), ignore_errors=True)


def _forget_versions(kind: str, ids: Iterable[int]) -> None:
    FactVersion.objects.filter(kind=kind, row_id__in=list(ids)).delete()


_FORMER = """
DELETE FROM segmentation_factversion
WHERE kind = 'events' AND (row->>'customer_id')::bigint = %(customer)s
   OR kind = 'referrals'
  AND %(customer)s IN ((row->>'referrer_id')::bigint, (row->>'referee_id')::bigint)
"""
# An order that went over to another customer still needs its old version: it tells the mirror which
# lines to write again. It counts nowhere and names nobody.
_FORMER_ORDERS = """
UPDATE segmentation_factversion SET row = row || '{"status": "cancelled", "payer_ref": null,
  "recipient_ref": null, "staff_id": null}'::jsonb
WHERE kind = 'orders' AND (row->>'customer_id')::bigint = %(customer)s
"""


def _forget_former_ownership(customer: int) -> None:
    with connection.cursor() as cursor:
        for statement in (_FORMER, _FORMER_ORDERS):
            cursor.execute(statement, {"customer": customer})


def _forget_lists(customer: Customer) -> None:
    listed = CustomerListMember.objects.filter(customer=customer)
    CustomerList.objects.filter(pk__in=listed.values("list")).update(size=F("size") - 1)
    listed.delete()
    Objection.objects.filter(customer=customer).delete()
    history = apps.get_model("segmentation", "ManualMemberEvent")._default_manager
    listings = history.filter(customer_id=customer.pk).values_list("pgh_context_id", flat=True)
    contexts = [found for found in listings if found is not None]
    with pgtrigger.ignore("segmentation.ManualMemberEvent:append_only"):
        ManualMember.objects.filter(customer=customer).delete()
        contexts += filter(None, listings.all())  # of the removal, too
        history.filter(customer_id=customer.pk).delete()
    # Who and when stay; a sentence about the person does not.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pghistory_context SET metadata = metadata - 'reason' WHERE id = ANY(%s)",
            [contexts],
        )


def _forget_requests(customer: Customer, external_id: str) -> tuple[int, ...]:
    """The keyed reference takes the place of the id; returns the jobs with files to remove."""
    reference = erased_reference(external_id)
    requests = PrivacyRequest.objects.filter(customer_ref=external_id)
    exports = [
        details["job"]
        for details in requests.filter(kind=PrivacyRequest.Kind.EXPORT).values_list(
            "details", flat=True
        )
        if "job" in details
    ]
    about = Job.objects.filter(subject=f"customer:{external_id}")
    exports += about.values_list("pk", flat=True)
    about.update(subject=f"customer:{reference}", parameters={}, log=[], result={})
    Job.objects.filter(pk__in=exports).update(result_file="", result={})
    requests.update(customer_ref=reference)
    with pgtrigger.ignore("segmentation.AccessRecord:append_only"):
        AccessRecord.objects.filter(subject_kind="customer", subject_key=external_id).update(
            subject_key=reference, details={}
        )
    LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Customer), object_id=str(customer.pk)
    ).update(object_repr=reference, change_message="")
    for run in Run.objects.filter(parity_mismatches__contains=[{"customer_id": external_id}]):
        run.parity_mismatches = [
            found for found in run.parity_mismatches if found.get("customer_id") != external_id
        ]
        run.save(update_fields=["parity_mismatches"])
    return tuple(exports)


def _forget_merges(customer: Customer) -> None:
    """That two blank rows were one stays; what an undo would need, and why, does not."""
    CustomerMerge.objects.filter(Q(survivor=customer) | Q(merged=customer)).update(
        reason="", undo_reason="", kept={}, moved={}
    )
    asked = Q(parameters__survivor=customer.pk) | Q(parameters__merged=customer.pk)
    Job.objects.filter(asked, kind__in=("merge_customers", "undo_merge")).update(
        parameters={}, log=[], result={}
    )
    RedirectedFact.objects.filter(alias=customer).delete()


def _blank(customer: Customer, *, now: datetime) -> None:
    changes = dict.fromkeys(_BLANK) | {
        # Not derived from the id: the same id may come back, and may be erased again.
        "external_id": f"erased:{uuid.uuid4().hex}",
        "is_stub": False,
        "erased_at": now,
    }
    with pgtrigger.ignore(
        "segmentation.Customer:keep_old_version", "segmentation.Customer:change_needs_batch"
    ):
        Customer.objects.filter(pk=customer.pk).update(**changes)
