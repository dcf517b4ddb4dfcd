"""Alerts on screens: badges, links to what they are about, errors of messages in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from membership.models import Alert, AlertDelivery, AlertKind, AlertRule
from membership.services.alert_words import FACT_WORDS
from segmentation.admin import shown

from .links import transitions_url

STATE_COLOURS = {
    Alert.State.OPEN: "danger",
    Alert.State.ACKNOWLEDGED: "warning",
    Alert.State.RESOLVED: "success",
}
_SEVERITY_COLOURS = {
    AlertRule.Severity.CRITICAL: "danger",
    AlertRule.Severity.WARNING: "warning",
    AlertRule.Severity.INFO: "info",
}
_DELIVERY_COLOURS = {
    AlertDelivery.State.WAITING: "info",
    AlertDelivery.State.SENT: "success",
    AlertDelivery.State.FAILED: "danger",
    AlertDelivery.State.SKIPPED: "default",
}
ERROR_WORDS: Mapping[str, str | Promise] = {
    "bad_address": _("This is no address of the form https://host/path."),
    "https_only": _("The address must begin with https://."),
    "unknown_host": _("The host's name leads nowhere."),
    "private_address": _(
        "The host lies in a private network; the operator can allow it (ALERT_INTERNAL_HOSTS)."
    ),
    "no_connection": _("The other side can't be reached."),
    "certificate": _("The other side's certificate is not trusted."),
    "timeout": _("The other side did not answer in time."),
    "http_status": _("The other side answered with HTTP status %(details)s."),
    "unreadable": _("The other side's answer says neither yes nor no."),
    "refused": _("The robot refused the message: %(details)s"),
    "no_mail_server": _("No mail server is set (EMAIL_URL)."),
    "mail_refused": _("The mail server refused the message (%(details)s)."),
    "fault": _("The message could not be made (%(details)s); the log has the details."),
}


def state_badge(alert: Alert) -> SafeString:
    return shown.badge(alert.get_state_display(), colour=STATE_COLOURS[Alert.State(alert.state)])


def severity_badge(rule: AlertRule) -> SafeString:
    colour = _SEVERITY_COLOURS[AlertRule.Severity(rule.severity)]
    return shown.badge(rule.get_severity_display(), colour=colour)


def delivery_badge(delivery: AlertDelivery) -> SafeString:
    colour = _DELIVERY_COLOURS[AlertDelivery.State(delivery.state)]
    return shown.badge(delivery.get_state_display(), colour=colour)


def error_words(text: str) -> str:
    """A stored error, `code details`, as a sentence."""
    if not text:
        return shown.EMPTY
    code, _space, details = text.partition(" ")
    words = ERROR_WORDS.get(code)
    return text if words is None else str(words) % {"details": details}


def about_link(alert: Alert, *, user: Any) -> tuple[str, str] | None:
    """The address and words of what the alert is about, if this person may open it."""
    about = alert.parameters
    match alert.rule.kind:
        case AlertKind.REJECTS if user.has_perm("segmentation.view_factbatch"):
            address = reverse("admin:segmentation_factbatch_change", args=[about["batch"]])
            return address, gettext("Import %(import)s") % {"import": about["batch"]}
        case AlertKind.FEED_STOPPED if user.has_perm("segmentation.view_factbatch"):
            address = reverse("admin:segmentation_factbatch_changelist")
            words = str(FACT_WORDS.get(about["kind"], about["kind"]))
            return f"{address}?kind__exact={about['kind']}", words
        case AlertKind.MIRROR_LAG if user.has_perm("segmentation.view_factbatch"):
            return reverse("admin:segmentation_factbatch_changelist"), gettext("Imports")
        case AlertKind.UPGRADES if user.has_perm("membership.view_transition"):
            day = date.fromisoformat(about["day"])
            address = transitions_url(program=about["program"], kind="upgrade", days=(day, day))
            return address, gettext("Transitions")
        case AlertKind.APPROVAL_WAITING if user.has_perm("segmentation.view_draft"):
            return reverse("admin:segmentation_draft_changelist"), gettext("Drafts")
        case AlertKind.RUN_MISSING if user.has_perm("segmentation.view_run"):
            return reverse("admin:segmentation_run_changelist"), gettext("Runs")
    if "run" in about and user.has_perm("segmentation.view_run"):
        address = reverse("admin:segmentation_run_change", args=[about["run"]])
        return address, gettext("Run %(run)s") % {"run": about["run"]}
    return None
