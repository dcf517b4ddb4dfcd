"""Rules and channels as people set them. Who may is the caller's to check."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, time

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from membership.domain.alerts import THRESHOLDS, out_of_bounds
from membership.models import AlertChannel, AlertRoute, AlertRule
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.masking import mask_email

from .alert_http import Undeliverable, split_address
from .alert_words import THRESHOLD_WORDS
from .alerting import SINCE

MOST_RECIPIENTS = 20


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a person decides about a rule."""

    is_enabled: bool
    severity: str
    thresholds: Mapping[str, int]
    owner: User | None
    quiet_from: time | None
    quiet_until: time | None
    remind_hours: int
    channels: Collection[AlertChannel]


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What a person decides about a channel; `address` or `secret` None: as it is."""

    name: str
    kind: str
    address: str | None
    secret: str | None
    language: str
    is_enabled: bool


def save_rule(rule: AlertRule, given: RuleSettings) -> None:
    """Change a rule. Raises TierwiseError with every problem."""
    problems = [
        Problem(
            f"/thresholds/{name}",
            "out_of_range",
            _("“%(name)s” must be a whole number from %(least)s to %(most)s.")
            % {
                "name": THRESHOLD_WORDS.get((rule.kind, name), name),
                "least": THRESHOLDS[rule.kind][name].least,
                "most": THRESHOLDS[rule.kind][name].most,
            }
            if name in THRESHOLDS[rule.kind]
            else _("This kind of rule has no such threshold."),
        )
        for name in out_of_bounds(rule.kind, given.thresholds)
    ]
    if (given.quiet_from is None) != (given.quiet_until is None):
        text = _("Quiet hours need a beginning and an end.")
        problems.append(Problem("/quiet_until", "incomplete", text))
    elif given.quiet_from is not None and given.quiet_from == given.quiet_until:
        text = _("Quiet hours can't end when they begin.")
        problems.append(Problem("/quiet_until", "out_of_range", text))
    _refuse(problems)
    with transaction.atomic():
        held = AlertRule.objects.select_for_update().get(pk=rule.pk)
        is_changed = held.thresholds != dict(given.thresholds)
        AlertRule.objects.filter(pk=rule.pk).update(
            is_enabled=given.is_enabled,
            severity=given.severity,
            thresholds=dict(given.thresholds),
            owner=given.owner,
            quiet_from=given.quiet_from,
            quiet_until=given.quiet_until,
            remind_hours=given.remind_hours,
            # Remembered figures were chosen by the old numbers.
            memory={key: held.memory[key] for key in (SINCE,) if key in held.memory}
            if is_changed
            else held.memory,
        )
        wanted = {channel.pk for channel in given.channels}
        routes = AlertRoute.objects.filter(rule=rule)
        known = set(routes.values_list("channel_id", flat=True))
        routes.filter(channel_id__in=known - wanted).delete()
        AlertRoute.objects.bulk_create(
            AlertRoute(rule=rule, channel_id=pk) for pk in sorted(wanted - known)
        )


def save_channel(channel: AlertChannel | None, given: ChannelSettings, *, now: datetime) -> int:
    """Change a channel, or make one of None; the kind of an existing one stays. Returns its id."""
    row = channel or AlertChannel(kind=given.kind)
    problems = []
    if given.address is not None:
        address, problem = _read_address(row.kind, given.address)
        if problem is not None:
            problems.append(problem)
        row.address, row.target = address, masked_address(row.kind, address)
    elif channel is None:
        problems.append(Problem("/address", "missing", _("An address is needed.")))
    if given.secret is not None and given.secret != row.secret:
        row.secret, row.secret_set_at = given.secret, now if given.secret else None
    _refuse(problems)
    row.name, row.language, row.is_enabled = given.name, given.language, given.is_enabled
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        text = _("Another channel has this name.")
        raise TierwiseError(text, problems=(Problem("/name", "taken", text),)) from None
    return int(row.pk)


def masked_address(kind: str, address: str) -> str:
    """Enough of an address to recognise it, too little to write to it."""
    if kind == AlertChannel.Kind.EMAIL:
        return ", ".join(mask_email(each) for each in address.split())[:300]
    host, _slash, rest = address.partition("://")[2].partition("/")
    end = rest[-4:] if len(rest) >= 12 else ""
    return f"{host}/…{end}"[:300]


def _read_address(kind: str, text: str) -> tuple[str, Problem | None]:
    if kind == AlertChannel.Kind.EMAIL:
        return _read_recipients(text)
    address = text.strip()
    try:
        split_address(address)
    except Undeliverable as error:
        message = (
            _("The address must begin with https://.")
            if error.code == "https_only"
            else _("This is no address of the form https://host/path.")
        )
        return address, Problem("/address", error.code, message)
    return address, None


def _read_recipients(text: str) -> tuple[str, Problem | None]:
    found = [each for each in text.replace(",", " ").replace(";", " ").split() if each]
    for each in found:
        try:
            validate_email(each)
        except ValidationError:
            message = _("Write one e-mail address on each line.")
            return "\n".join(found), Problem("/address", "bad_address", message)
    if not 0 < len(found) <= MOST_RECIPIENTS:
        message = _("Write 1 to %(most)s e-mail addresses.") % {"most": MOST_RECIPIENTS}
        return "\n".join(found), Problem("/address", "out_of_range", message)
    return "\n".join(found), None


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise TierwiseError(problems[0].message, problems=tuple(problems))
