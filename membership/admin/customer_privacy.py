"""A customer's wishes about their data, received at the desk from the customer's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config import clock
from segmentation.domain.errors import TierwiseError
from segmentation.models import AccessRecord, Customer, PrivacyRequest
from segmentation.services import privacy
from segmentation.services.privacy import Bringer

_RIGHT = "segmentation.add_privacyrequest"
_SEE = "segmentation.view_privacyrequest"
_LATEST = 5
Kind = PrivacyRequest.Kind


@dataclass(frozen=True, slots=True)
class Act:
    """One thing a customer may ask for, and what it will do."""

    kind: str
    title: str | Promise
    effect: str | Promise
    is_final: bool = False


_ACTS = {
    Kind.OBJECT: Act(
        Kind.OBJECT,
        gettext_lazy("Object to personalised decisions"),
        gettext_lazy(
            "From now on the public, default treatment everywhere, at once. Tiers stay: their "
            "rules are public."
        ),
    ),
    Kind.ALLOW: Act(
        Kind.ALLOW,
        gettext_lazy("Take the objection back"),
        gettext_lazy("From the next run on the rules decide again."),
    ),
    Kind.WITHDRAW_CONSENT: Act(
        Kind.WITHDRAW_CONSENT,
        gettext_lazy("Withdraw marketing consent"),
        gettext_lazy("Marketing consent is “no” from now on. The receipt says when."),
    ),
    Kind.EXPORT: Act(
        Kind.EXPORT,
        gettext_lazy("Export the customer's data"),
        gettext_lazy("A job makes one JSON file of everything the customer has a right to see."),
    ),
    Kind.ERASE: Act(
        Kind.ERASE,
        gettext_lazy("Erase the customer"),
        gettext_lazy(
            "A job removes the person from everything, for good. Totals of past runs stay, without "
            "a person. Nothing brings it back."
        ),
        is_final=True,
    ),
}


def privacy_panel(customer: Customer, *, user: Any) -> dict[str, Any] | None:
    """What may be asked for now, and the latest requests; None without a right to either."""
    if not user.has_perm(_RIGHT) and not user.has_perm(_SEE):
        return None
    objects = hasattr(customer, "objection")
    wanted = [Kind.ALLOW if objects else Kind.OBJECT]
    if customer.consent_marketing is not False:
        wanted.append(Kind.WITHDRAW_CONSENT)
    wanted += [Kind.EXPORT, Kind.ERASE]
    requests = PrivacyRequest.objects.filter(customer_ref=customer.external_id).order_by("-pk")
    return {
        "acts": [_ACTS[kind] for kind in wanted] if user.has_perm(_RIGHT) else [],
        "requests": list(requests[:_LATEST]) if user.has_perm(_SEE) else [],
    }


def privacy_answer(customer: Customer, *, request: HttpRequest) -> HttpResponse:
    """Do or ask for what the form says, and go back to the page with the receipt."""
    if not request.user.has_perm(_RIGHT):
        raise PermissionDenied
    user = cast(User, request.user)
    by = Bringer(actor=user.get_username(), via=AccessRecord.Via.ADMIN, user=user)
    now = clock.real_now()
    try:
        match request.POST.get("act"):
            case Kind.OBJECT:
                made = privacy.object_to_decisions(customer, by=by, now=now)
            case Kind.ALLOW:
                made = privacy.allow_decisions(customer, by=by, now=now)
            case Kind.WITHDRAW_CONSENT:
                made = privacy.withdraw_consent(customer, by=by, now=now)
            case Kind.EXPORT:
                made = privacy.request_export(customer, by=by, now=now)
            case Kind.ERASE:
                written = request.POST.get("confirm", "")
                made = privacy.request_erasure(customer, confirmation=written, by=by, now=now)
            case _:
                raise TierwiseError(_("There is no such request."))
    except TierwiseError as error:
        messages.error(request, error.message)
    else:
        done = (
            _("Done. Receipt: %(receipt)s")
            if made.done_at
            else _("Asked for; a job does it. Receipt: %(receipt)s")
        )
        messages.success(request, done % {"receipt": made.receipt})
    return HttpResponseRedirect(reverse("admin:segmentation_customer_change", args=[customer.pk]))
