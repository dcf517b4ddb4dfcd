"""The erasure of a customer: one transaction over both apps, then the files.

Guarantee: afterwards no table of facts, their versions, tags, memberships, transitions, lists,
receipts or logs of access holds the person, the mirror answers no watermark with them, and no read
shows them. What older runs wrote stays until their files are compacted: bitmaps (positions
without a name) and snapshot files, which no read shows for somebody erased.
"""

from __future__ import annotations

from datetime import datetime

import pgtrigger
from django.apps import apps
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.models import Membership, Transition
from segmentation.engine import mirror
from segmentation.models import Customer, PrivacyRequest
from segmentation.services.definitions import lock_definitions
from segmentation.services.erasure import erase_customer, lock_living_customer, remove_files
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork
from segmentation.services.privacy import ERASE_JOB, find_receipt, is_erased


@job_kind(ERASE_JOB, title=gettext_lazy("Erasure of a customer"))
def erase(work: JobWork) -> dict[str, object]:
    """Do the erasure a receipt asks for. Starts again where a killed attempt stopped."""
    request = find_receipt(work.parameters["receipt"])
    work.progress(0, total=3, stage="database")
    if not is_erased(request):
        erase_from_database(request, now=work.clock())
        request.refresh_from_db()
    rest = request.details.get("rest")
    if rest is not None:
        work.progress(1, stage="mirror")
        mirror.remove_customers([rest["ordinal"]], orders=rest["orders"], now=work.clock())
        mirror.sweep()
        work.progress(2, stage="files")
        remove_files(rest["exports"])
    _finish(request, now=work.clock())
    work.note(_("Erased; the receipt is %(receipt)s.") % {"receipt": request.receipt})
    return {"receipt": request.receipt}


def erase_from_database(request: PrivacyRequest, *, now: datetime) -> None:
    """Everything that PostgreSQL holds, in one transaction; what is left to do is in the receipt.

    Locks, in this order: definitions (no run publishes meanwhile), every kind of fact (nothing is
    recorded meanwhile), the customer.
    """
    with transaction.atomic():
        lock_definitions(exclusive=True)
        customer = lock_living_customer(request.customer_ref)
        if customer is None:  # another request erased them while we waited
            return
        _erase_memberships(customer)
        erased = erase_customer(customer, now=now)
        request.refresh_from_db()
        request.details = request.details | {
            "referrers": list(erased.referrers),
            "rest": {
                "ordinal": erased.ordinal,
                "orders": list(erased.orders),
                "exports": list(erased.exports),
            },
        }
        request.save(update_fields=["details"])


def _erase_memberships(customer: Customer) -> None:
    history = apps.get_model("membership", "MembershipEvent")
    with pgtrigger.ignore(
        "membership.Transition:append_only", "membership.MembershipEvent:append_only"
    ):
        Membership.objects.filter(customer=customer).delete()
        history._default_manager.filter(customer_id=customer.pk).delete()
        Transition.objects.filter(customer=customer).delete()


def _finish(request: PrivacyRequest, *, now: datetime) -> None:
    request.details = {name: value for name, value in request.details.items() if name != "rest"}
    request.done_at = request.done_at or now
    request.save(update_fields=["details", "done_at"])
