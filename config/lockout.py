"""What happens after too many failed log-ins: nobody gets in for a while, and the page says so.

A user name is locked from one address only, so nobody can lock a colleague out from elsewhere. The
wait starts at the failure that locked; trying again meanwhile does not make it longer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Any

from axes.helpers import get_client_ip_address, get_client_username, get_cool_off
from axes.models import AccessAttempt
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from segmentation.admin import shown

from .clock import real_now


def unlocked_at(*, username: str, address: str, cool_off: timedelta) -> datetime | None:
    """When this name may try again from this address; None when nothing is on record."""
    failed = AccessAttempt.objects.filter(username=username, ip_address=address)
    newest = failed.order_by("-attempt_time").values_list("attempt_time", flat=True).first()
    return None if newest is None else newest + cool_off


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """The page for who is locked out (429), with the time from which they may try again."""
    cool_off = get_cool_off(request)
    username = get_client_username(request, credentials) or ""
    until = unlocked_at(
        username=username, address=get_client_ip_address(request), cool_off=cool_off
    )
    until = until or real_now() + cool_off
    left = max(1, ceil((until - real_now()).total_seconds() / 60))
    context = {
        "username": username,
        "until": shown.instant(until),
        "minutes": left,
        "login_url": reverse("admin:login"),
    }
    found = render(request, "admin/locked_out.html", context, status=429)
    found["Retry-After"] = str(left * 60)
    return found
