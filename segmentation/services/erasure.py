"""What an erasure removes of this app: facts with all their versions, tags, lists, the person.

The customer's row stays without a person in it, because its bitmap position must never be given
to somebody else. `membership` adds what it holds and calls both halves in one transaction.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pgtrigger
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import F, Q, TextField
from django.db.models.functions import Cast

from segmentation.models import (
    AccessRecord,
    Customer,
    CustomerList,
    CustomerListMember,
    CustomerTag,
    Event,
    FactVersion,
    Job,
    ManualMember,
    Objection,
    Order,
    OrderLine,
    PrivacyRequest,
    Referral,
    Refund,
    Run,
)

from .importing.recording import lock_every_kind
from .jobs import job_folder
from .privacy import erased_reference

_BLANK = (
    "registered_at", "name", "phone", "email", "gender", "birth_date", "city", "region", "channel",
    "home_store", "is_staff", "consent_marketing", "consent_at", "unionid", "external_userid",
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


def lock_living_customer(external_id: str) -> Customer | None:
    """The customer, held until the transaction ends, while nothing is recorded; None if gone."""
    lock_every_kind()
    return Customer.objects.select_for_update().filter(external_id=external_id).first()


def erase_customer(customer: Customer, *, now: datetime) -> Erased:
    """Remove facts, tags, lists, objection and attributes, in the caller's transaction.

    Triggers that keep old versions or refuse a change are switched off for exactly these
    statements: what they protect is what the person has a right to have removed.
    """
    external_id = customer.external_id
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
    _forget_mentions(customer, external_id)
    _blank(customer, now=now)
    return Erased(customer.ordinal, orders, referrers, exports)


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


def _forget_mentions(customer: Customer, external_id: str) -> None:
    """What jobs found and were asked for, and the details of looks: the sample of a preview, an
    explanation, the search of an export."""
    reference = erased_reference(external_id)
    names = {external_id, f"customer:{external_id}", customer.phone, customer.email} - {None, ""}
    with pgtrigger.ignore("segmentation.AccessRecord:append_only"):
        for model, column in ((Job, "result"), (Job, "parameters"), (AccessRecord, "details")):
            rows = model._default_manager.annotate(text=Cast(column, TextField()))
            named = Q()
            for name in names:
                named |= Q(text__contains=json.dumps(name, ensure_ascii=False))
            found = rows.filter(named).select_for_update().order_by("pk")  # a worker may write, too
            for pk, document in found.values_list("pk", column):
                kept = _renamed(document, names, reference)
                model._default_manager.filter(pk=pk).update(**{column: kept})


# Where a person is named. The same text elsewhere is something else: customers' ids may be numbers,
# and so are a rule's values and the numbers of programs and runs.
_NAMING = frozenset({"sample", "customer", "customer_id", "q", "subject", "reason"})


def _renamed(
    value: Any, names: Collection[str | None], reference: str, *, is_naming: bool = False
) -> Any:
    """A JSON value with another name in the place of these, where it names a person. A definition
    names none."""
    if isinstance(value, dict):
        return {
            key: each
            if key == "document"
            else _renamed(each, names, reference, is_naming=_is_naming(key, value))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_renamed(each, names, reference, is_naming=is_naming) for each in value]
    return reference if is_naming and isinstance(value, str) and value in names else value


def _is_naming(key: str, beside: Mapping[str, Any]) -> bool:
    """Whether this key's text names a person; who asked for looks may have asked about a run."""
    if key == "subject" and beside.get("subject_kind"):
        return bool(beside["subject_kind"] == "customer")
    return key in _NAMING


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
