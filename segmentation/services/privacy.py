"""A customer's wishes about their data: received here, whoever brings them, and each a receipt.

Objecting, taking the objection back and withdrawing consent are done at once, in the transaction
that writes the receipt. Export and erasure are jobs of `membership`, which knows the memberships.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.models import (
    AccessRecord,
    Customer,
    FactBatch,
    Job,
    Objection,
    PrivacyRequest,
    living,
)

from .importing.customers import lock_customers
from .jobs import request_job

Kind = PrivacyRequest.Kind
EXPORT_JOB = "privacy_export"
ERASE_JOB = "privacy_erase"
_GONE = "erased:"


@dataclass(frozen=True, slots=True)
class Bringer:
    """Who brings a customer's wish: a person at the desk (`user`) or an API key (no user)."""

    actor: str
    via: str  # AccessRecord.Via
    user: User | None = None


def object_to_decisions(customer: Customer, *, by: Bringer, now: datetime) -> PrivacyRequest:
    """From now on no personalised decision: no read shows the customer in a hidden segment any
    more, and from the next run on none has them. Again is the same. `now`: the real clock."""
    with transaction.atomic():
        living = _locked(customer)
        Objection.objects.get_or_create(customer=living, defaults={"objected_at": now})
        return _receipt(Kind.OBJECT, living, by=by, now=now, done_at=now)


def allow_decisions(customer: Customer, *, by: Bringer, now: datetime) -> PrivacyRequest:
    """Take the objection back: from the next run on the rules decide again."""
    with transaction.atomic():
        living = _locked(customer)
        Objection.objects.filter(customer=living).delete()
        return _receipt(Kind.ALLOW, living, by=by, now=now, done_at=now)


def withdraw_consent(customer: Customer, *, by: Bringer, now: datetime) -> PrivacyRequest:
    """Marketing consent is false from now on: a new version of the customer, unless it was false.

    `consent_at` stays: it says when consent was given, the receipt when it was withdrawn.
    """
    with transaction.atomic():
        lock_customers()
        living = _locked(customer)
        if living.consent_marketing is not False:
            batch = FactBatch.objects.create(
                kind="customers",
                source=_SOURCES.get(by.via, FactBatch.Source.ADMIN),
                actor=by.actor,
                recorded_at=now,
                read=1,
                updated=1,
            )
            living.consent_marketing, living.batch = False, batch
            living.save(update_fields=["consent_marketing", "batch"])
        return _receipt(Kind.WITHDRAW_CONSENT, living, by=by, now=now, done_at=now)


def request_export(customer: Customer, *, by: Bringer, now: datetime) -> PrivacyRequest:
    """Ask for everything the customer has a right to see, as a JSON file; a job makes it."""
    return _ask(Kind.EXPORT, EXPORT_JOB, customer, by=by, now=now)


def request_erasure(
    customer: Customer, *, confirmation: str, by: Bringer, now: datetime
) -> PrivacyRequest:
    """Ask for the erasure of the customer; a job does it, and nothing brings the person back.

    `confirmation` is the customer's id, written once more. Errors: `confirmation_required`.
    """
    if confirmation != customer.external_id:
        message = _("Confirm the erasure: write the customer's ID once more.")
        raise TierwiseError(
            message,
            code="confirmation_required",
            problems=(Problem("/confirm", "confirmation_required", message),),
        )
    return _ask(Kind.ERASE, ERASE_JOB, customer, by=by, now=now)


def erased_reference(external_id: str) -> str:
    """What stands for the id of an erased customer in receipts and in the access log.

    Keyed with the installation's secret: who knows the id finds the entries, nobody reads the id
    out of them.
    """
    digest = salted_hmac("segmentation.privacy.erased", external_id, algorithm="sha256")
    return f"{_GONE}{digest.hexdigest()}"


def is_reference(text: str) -> bool:
    """Whether a text stands for the id of an erased customer."""
    return text.startswith(_GONE)


def is_erased(request: PrivacyRequest) -> bool:
    """Whether the receipt is of somebody who is erased by now."""
    return is_reference(request.customer_ref)


def find_receipt(receipt: str) -> PrivacyRequest:
    """The request of a receipt. Raises NotFoundError."""
    found = PrivacyRequest.objects.filter(receipt=receipt).first()
    if found is None:
        raise NotFoundError(_("There is no such receipt."))
    return found


def job_of(request: PrivacyRequest) -> Job | None:
    """The job that does an export or an erasure; None for the others, which are done at once."""
    return Job.objects.filter(pk=request.details.get("job")).first()


_SOURCES: dict[str, FactBatch.Source] = {AccessRecord.Via.API: FactBatch.Source.API}


def _locked(customer: Customer) -> Customer:
    """The row as it is now, held; raises NotFoundError when it was erased or merged meanwhile."""
    found = Customer.objects.select_for_update().filter(living(), pk=customer.pk).first()
    if found is None:
        raise NotFoundError(_("There is no such customer."))
    return found


def _ask(
    kind: PrivacyRequest.Kind, job_kind: str, customer: Customer, *, by: Bringer, now: datetime
) -> PrivacyRequest:
    """A person who asks again while the job waits or runs (a double click) has the same receipt."""
    with transaction.atomic():
        living = _locked(customer)
        again = _under_way(kind, living, by=by)
        if again is not None:
            return again
        request = _receipt(kind, living, by=by, now=now, done_at=None)
        # The job knows the receipt only: what names the person is in one row, and goes with it.
        job = request_job(
            job_kind,
            parameters={"receipt": request.receipt},
            user=by.user,
            actor=by.actor,
            now=now,
            subject=f"privacy:{request.receipt}",
            key=f"privacy:{request.receipt}",
        )
        request.details = {"job": job.pk}
        request.save(update_fields=["details"])
    return request


def _under_way(
    kind: PrivacyRequest.Kind, customer: Customer, *, by: Bringer
) -> PrivacyRequest | None:
    """What this person asked for at the desk already; outside systems send keys of their own."""
    if by.user is None:
        return None
    asked = PrivacyRequest.objects.filter(
        kind=kind, customer_ref=customer.external_id, actor=by.actor, via=by.via, done_at=None
    )
    newest = asked.order_by("-pk").first()
    job = None if newest is None else job_of(newest)
    waits = job is not None and job.status in (Job.Status.QUEUED, Job.Status.RUNNING)
    return newest if waits else None


def _receipt(
    kind: PrivacyRequest.Kind,
    customer: Customer,
    *,
    by: Bringer,
    now: datetime,
    done_at: datetime | None,
) -> PrivacyRequest:
    return PrivacyRequest.objects.create(
        receipt=f"pr_{secrets.token_hex(16)}",
        kind=kind,
        customer_ref=customer.external_id,
        actor=by.actor,
        via=by.via,
        requested_at=now,
        done_at=done_at,
    )
