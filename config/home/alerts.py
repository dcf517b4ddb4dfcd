"""Home: what is wrong now, for those who may see alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.admin.alert_words import severity_badge, state_badge
from membership.models import Alert, AlertRule
from membership.services.alert_words import sentence
from membership.services.alerting import WATCHING_GAP, may_see_alerts, watched_last
from segmentation.admin import shown
from segmentation.queries import installation

from .blocks import Block, Viewing, table_block

_FEW = 8
_NEWEST = 100
_SEVERITIES = (
    AlertRule.Severity.CRITICAL,
    AlertRule.Severity.WARNING,
    AlertRule.Severity.INFO,
)
_FIRST_LOOK = timedelta(minutes=10)  # after the set-up


def alerts_block(viewing: Viewing) -> Block | None:
    """Alerts that are not over, open and critical ones first; that nobody watches, if so. None
    without either, and for those who may not see alerts."""
    if not may_see_alerts(viewing.user):
        return None
    unresolved = Alert.objects.exclude(state=Alert.State.RESOLVED).select_related("rule")
    newest = list(unresolved.order_by("-pk")[:_NEWEST])
    alerts = sorted(newest, key=lambda alert: (alert.state != Alert.State.OPEN, _rank(alert)))
    silence = _silence(viewing)
    if not alerts and silence is None:
        return None
    rows: list[tuple[Any, ...]] = [] if silence is None else [silence]
    rows += [
        (
            _opened(alert, viewing=viewing),
            severity_badge(alert.rule),
            sentence(alert),
            state_badge(alert),
            shown.instant(alert.opened_at),
        )
        for alert in alerts[:_FEW]
    ]
    headers = (_("alert"), _("severity"), _("what is wrong"), _("state"), _("since"))
    table = shown.Table(
        _("Alerts"),
        headers,
        rows,
        more=(reverse("admin:membership_alert_changelist"), _("All alerts")),
    )
    return table_block("alerts", table)


def _rank(alert: Alert) -> int:
    return _SEVERITIES.index(alert.rule.severity)


def _opened(alert: Alert, *, viewing: Viewing) -> SafeString:
    """Leads to the alert; marked if its rule is the reader's own."""
    words = alert.rule.get_kind_display()
    opened = shown.link("membership_alert_change", args=[alert.pk], text=words)
    if alert.rule.owner_id != viewing.user.pk:
        return opened
    return format_html("{} {}", opened, shown.badge(_("Mine"), colour="primary"))


def _silence(viewing: Viewing) -> tuple[Any, ...] | None:
    """A row that says so when nobody watches: without a scheduler no alert would ever come."""
    last = watched_last()
    fixed = installation()
    began = last or (fixed.set_up_at + _FIRST_LOOK if fixed else None)
    if began is None or viewing.real_now - began <= WATCHING_GAP:
        return None
    return (
        _("Nobody watches"),
        shown.badge(_("Critical"), colour="danger"),
        _("Alerts are not being checked. Are the scheduler and a worker running?"),
        "",
        shown.instant(last),
    )
