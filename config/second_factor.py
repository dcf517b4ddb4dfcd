"""The second factor: codes of an authenticator app (TOTP), with recovery codes for its loss.

Anybody may switch it on. Who may publish or see hidden data must have it while
`settings.SECOND_FACTOR` is "required": until it is set up and a code was given in this session,
every page of the admin leads here.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Callable
from math import ceil
from typing import Any, cast
from urllib.parse import urlencode

import segno
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.utils.translation import gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django_otp import devices_for_user, login, match_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminTextInputWidget

from segmentation.permissions import VIEW_HIDDEN, publish_permission

from .clock import real_now

RECOVERY_CODES = 10
_LONG = 90  # seconds; a longer wait is told in minutes
_KINDS = ("tag", "metric", "layering", "segment", "program")
_STRONG = (VIEW_HIDDEN, *(publish_permission(kind) for kind in _KINDS))
# Pages that must answer before the code was given.
_OPEN = ("admin:login", "admin:logout", "admin:jsi18n", "second_factor", "second_factor_set_up")


def must_have(user: User) -> bool:
    """Whether this person can't work without a second factor."""
    required = settings.SECOND_FACTOR == "required"
    return required and any(user.has_perm(right) for right in _STRONG)


def has_device(user: User) -> bool:
    return any(True for _device in devices_for_user(user, confirmed=True))


class SecondFactor:
    """Leads to the code, or to setting it up, before any other page of the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(reverse("admin:index")):
            wanted = self._wanted(request)
            if wanted is not None:
                if request.headers.get("HX-Request"):
                    return HttpResponse(status=401, headers={"HX-Redirect": wanted})
                return HttpResponseRedirect(wanted)
        return self.get_response(request)

    def _wanted(self, request: HttpRequest) -> str | None:
        user = cast(Any, request.user)
        if not user.is_authenticated or user.is_verified():
            return None
        if request.path in {reverse(name) for name in _OPEN}:
            return None
        name = "second_factor" if has_device(user) else None
        if name is None and must_have(user):
            name = "second_factor_set_up"
        if name is None:
            return None
        back = request.get_full_path() if request.method == "GET" else ""
        query = f"?{_next(back)}" if back and back != reverse("admin:index") else ""
        return reverse(name) + query


class CodeForm(forms.Form):
    code = forms.CharField(
        label=_("Code"),
        max_length=32,
        strip=True,
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}
        ),
    )


@never_cache
@sensitive_post_parameters("code")
@login_required
def enter_code(request: HttpRequest) -> HttpResponse:
    """Ask for a code of the app, or a recovery code, and open the admin for this session."""
    user = cast(User, request.user)
    if not has_device(user):
        return HttpResponseRedirect(reverse("second_factor_set_up"))
    form = CodeForm(request.POST or None)
    seconds = _must_wait(user) if request.method == "POST" else 0
    if seconds and form.is_valid():
        form.add_error("code", _wait_words(seconds))
    elif request.method == "POST" and form.is_valid():
        with transaction.atomic():
            device = match_token(user, form.cleaned_data["code"].replace(" ", ""))
        if device is not None:
            login(request, device)
            _tell_remaining(request, device)
            return HttpResponseRedirect(_back(request))
        form.add_error("code", _wrong_words(_must_wait(user)))
    return _page(request, "admin/second_factor.html", _("Second factor"), form=form)


@never_cache
@sensitive_post_parameters("code")
@login_required
def set_up(request: HttpRequest) -> HttpResponse:
    """Show the secret to scan, confirm it with a code, give the recovery codes once."""
    user = cast(Any, request.user)
    if has_device(user) and not user.is_verified():
        return HttpResponseRedirect(reverse("second_factor"))
    if TOTPDevice.objects.filter(user=user, confirmed=True).exists():
        return _page(request, "admin/second_factor_on.html", _("Second factor"), form=None)
    device, _is_new = TOTPDevice.objects.get_or_create(
        user=user, confirmed=False, defaults={"name": "app"}
    )
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if device.verify_token(form.cleaned_data["code"].replace(" ", "")):
            codes = _confirm(device)
            login(request, device)
            _write_down(user, gettext_noop("Second factor switched on"))
            return _page(
                request,
                "admin/second_factor_codes.html",
                _("Recovery codes"),
                codes=codes,
                back=_back(request),
            )
        form.add_error("code", gettext("This code does not fit. Check the clock of the phone."))
    return _page(
        request,
        "admin/second_factor_set_up.html",
        _("Set up the second factor"),
        form=form,
        picture=_picture(device),
        secret=_spaced(device),
        is_required=must_have(user),
    )


def _confirm(device: TOTPDevice) -> list[str]:
    with transaction.atomic():
        device.confirmed = True
        device.save()
        TOTPDevice.objects.filter(user=device.user, confirmed=False).delete()
        StaticDevice.objects.filter(user=device.user).delete()
        recovery = StaticDevice.objects.create(user=device.user, name="recovery")
        codes = [StaticToken.random_token() for _number in range(RECOVERY_CODES)]
        StaticToken.objects.bulk_create(StaticToken(device=recovery, token=code) for code in codes)
    return codes


def _must_wait(user: User) -> int:
    """For how many seconds no code is looked at: after each wrong one twice as long."""
    waits = []
    for device in devices_for_user(user, confirmed=True):
        is_allowed, why = device.verify_is_allowed()
        until = None if is_allowed else (why or {}).get("locked_until")
        waits.append(0 if until is None else max(1, ceil((until - real_now()).total_seconds())))
    return min(waits, default=0)


def _wait_words(seconds: int) -> str:
    if seconds > _LONG:
        minutes = ceil(seconds / 60)
        text = ngettext(
            "Too many wrong codes: the next one is looked at in %(minutes)s minute.",
            "Too many wrong codes: the next one is looked at in %(minutes)s minutes.",
            minutes,
        )
        return text % {"minutes": minutes}
    text = ngettext(
        "Too soon after a wrong code: the next one is looked at in %(seconds)s second.",
        "Too soon after a wrong code: the next one is looked at in %(seconds)s seconds.",
        seconds,
    )
    return text % {"seconds": seconds}


def _wrong_words(seconds: int) -> str:
    wrong = gettext("This code is wrong or used up.")
    return f"{wrong} {_wait_words(seconds)}" if seconds else wrong


def reset(user: User) -> bool:
    """Take a person's second factor away, as when the phone is lost; False: there was none."""
    with transaction.atomic():
        removed = [
            kind.objects.filter(user=user).delete()[0] for kind in (TOTPDevice, StaticDevice)
        ]
    return any(removed)


def _write_down(user: User, what: str) -> None:
    LogEntry.objects.log_actions(
        user_id=user.pk,
        queryset=[user],
        action_flag=CHANGE,
        change_message=what,
        single_object=True,
    )


def _tell_remaining(request: HttpRequest, device: Any) -> None:
    if isinstance(device, StaticDevice):
        left = device.token_set.count()
        text = gettext("A recovery code was used. %(left)s are left.") % {"left": left}
        messages.warning(request, text)


def _picture(device: TOTPDevice) -> str:
    svg = segno.make(device.config_url, micro=False).svg_inline(scale=5, border=2)
    return mark_safe(svg)  # noqa: S308  # made here from our own address, no text of others


def _spaced(device: TOTPDevice) -> str:
    secret = b32encode(device.bin_key).decode().rstrip("=")
    return " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))


def _next(address: str) -> str:
    return urlencode({"next": address})


def _back(request: HttpRequest) -> str:
    wanted = request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}):
        return wanted
    return reverse("admin:index")


def _page(request: HttpRequest, template: str, title: Any, **extra: Any) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": title, **extra}
    return TemplateResponse(request, template, context)


URLS = [
    path("admin/second-factor/", enter_code, name="second_factor"),
    path("admin/second-factor/set-up/", set_up, name="second_factor_set_up"),
]
