"""Alerts in words, in the language of whoever reads: made when they are shown or sent.

No word names a segment, and none counts what only some may know of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext, ngettext
from django.utils.translation import gettext_lazy as _

from membership.models import Alert, AlertKind

FACT_WORDS: Mapping[str, str | Promise] = {
    "customers": _("Customers"),
    "orders": _("Orders"),
    "order_lines": _("Order lines"),
    "refunds": _("Refunds"),
    "events": _("Events"),
    "referrals": _("Referrals"),
    "tags": _("Customer tags"),
}
THRESHOLD_WORDS: Mapping[tuple[str, str], str | Promise] = {
    ("run_late", "minutes"): _("minutes that are never too long"),
    ("run_late", "times"): _("times the median of the last runs"),
    ("run_late", "waiting_minutes"): _("minutes without a worker"),
    ("run_missing", "minutes"): _("minutes after the schedule"),
    ("mirror_lag", "minutes"): _("minutes since the oldest waiting import"),
    ("mirror_lag", "batches"): _("waiting imports (0: any number)"),
    ("rejects", "rows"): _("rejected rows at least"),
    ("rejects", "percent"): _("per cent of the rows at least"),
    ("feed_stopped", "days"): _("silent days at least"),
    ("upgrades", "times"): _("times the median of the last 28 days"),
    ("upgrades", "least"): _("upgrades at least"),
    ("upgrades", "days"): _("days with a run at least"),
    ("approval_waiting", "hours"): _("hours without a change"),
}


def title(alert: Alert) -> str:
    """What kind of thing is wrong."""
    return str(AlertKind(alert.rule.kind).label)


def sentence(alert: Alert) -> str:
    """What is wrong, with its figures."""
    return _SENTENCES[alert.rule.kind](alert.parameters)


def advice(kind: str) -> str:
    """What a person can do about it."""
    return str(_ADVICE[kind])


def _instant(text: str) -> str:
    at = datetime.fromisoformat(text).astimezone(ZoneInfo(settings.TIME_ZONE))
    return f"{at:%Y-%m-%d %H:%M}"


def _fact_kind(kind: str) -> str:
    return str(FACT_WORDS.get(kind, kind))


def _program(about: Mapping[str, Any]) -> str:
    language = "zh-hans" if (get_language() or "").startswith("zh") else "en"
    return str(about["label"].get(language) or about["program"])


def _run_failed(about: Mapping[str, Any]) -> str:
    return gettext("Run %(run)s as of %(as_of)s failed. The last good results stay published.") % {
        "run": about["run"],
        "as_of": _instant(about["as_of"]),
    }


def _run_held(about: Mapping[str, Any]) -> str:
    return gettext(
        "Run %(run)s as of %(as_of)s is held and waits for a person. The last good results stay "
        "published."
    ) % {"run": about["run"], "as_of": _instant(about["as_of"])}


def _run_late(about: Mapping[str, Any]) -> str:
    values = {**about, "since": _instant(about["since"])}
    if about["cause"] == "waiting":
        return gettext("No worker has taken run %(run)s, which waits since %(since)s.") % values
    if about["cause"] == "retried":
        return (
            gettext(
                "Run %(run)s was asked for at %(since)s and has not succeeded: %(attempts)s "
                "attempts so far."
            )
            % values
        )
    return (
        gettext(
            "Run %(run)s is under way since %(since)s, longer than the %(limit)s minutes that are "
            "usual at most."
        )
        % values
    )


def _run_missing(about: Mapping[str, Any]) -> str:
    return gettext("The run that was due at %(due)s was not started by anybody.") % {
        "due": _instant(about["due"])
    }


def _parity(about: Mapping[str, Any]) -> str:
    return ngettext(
        "Run %(run)s: engine and oracle disagree about %(customers)s customer of %(checked)s "
        "checked.",
        "Run %(run)s: engine and oracle disagree about %(customers)s customers of %(checked)s "
        "checked.",
        about["customers"],
    ) % {**about}


def _mirror_lag(about: Mapping[str, Any]) -> str:
    if "batches" in about:
        return gettext(
            "More than %(batches)s imports wait for a run, the oldest since %(since)s."
        ) % {"batches": f"{about['batches']:,}", "since": _instant(about["since"])}
    return gettext("Facts recorded at %(since)s wait for a run.") % {
        "since": _instant(about["since"])
    }


def _rejects(about: Mapping[str, Any]) -> str:
    return ngettext(
        "%(rejected)s of %(read)s rows of “%(kind)s” were rejected, in %(imports)s import.",
        "%(rejected)s of %(read)s rows of “%(kind)s” were rejected, in %(imports)s imports.",
        about["imports"],
    ) % {
        "rejected": f"{about['rejected']:,}",
        "read": f"{about['read']:,}",
        "kind": _fact_kind(about["kind"]),
        "imports": f"{about['imports']:,}",
    }


def _feed_stopped(about: Mapping[str, Any]) -> str:
    values = {**about, "kind": _fact_kind(about["kind"])}
    stopped = ngettext(
        "Nothing new of “%(kind)s” for %(days)s day.",
        "Nothing new of “%(kind)s” for %(days)s days.",
        about["days"],
    )
    usual = ngettext(
        "Usually it comes at least every day.",
        "Usually it comes at least every %(days)s days.",
        about["usual"],
    )
    return f"{stopped % values} {usual % {'days': about['usual']}}"


def _upgrades(about: Mapping[str, Any]) -> str:
    return gettext(
        "%(program)s: %(count)s upgrades on %(day)s; the median of the last days is %(usual)s."
    ) % {
        "program": _program(about),
        "count": f"{about['count']:,}",
        "usual": f"{about['usual']:,}",
        "day": date.fromisoformat(about["day"]).isoformat(),
    }


def _approval_waiting(about: Mapping[str, Any]) -> str:
    return ngettext(
        "%(count)s draft waits to be published, last changed at %(since)s.",
        "%(count)s drafts wait to be published, the oldest since %(since)s.",
        about["count"],
    ) % {"count": f"{about['count']:,}", "since": _instant(about["since"])}


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    AlertKind.RUN_FAILED: _run_failed,
    AlertKind.RUN_HELD: _run_held,
    AlertKind.RUN_LATE: _run_late,
    AlertKind.RUN_MISSING: _run_missing,
    AlertKind.PARITY: _parity,
    AlertKind.MIRROR_LAG: _mirror_lag,
    AlertKind.REJECTS: _rejects,
    AlertKind.FEED_STOPPED: _feed_stopped,
    AlertKind.UPGRADES: _upgrades,
    AlertKind.APPROVAL_WAITING: _approval_waiting,
}
_ADVICE: Mapping[str, str | Promise] = {
    AlertKind.RUN_FAILED: _(
        "Read the run's error, mend the cause and start another run. The alert ends when a later "
        "run is published."
    ),
    AlertKind.RUN_HELD: _("Look at what would change, then release or reject the run."),
    AlertKind.RUN_LATE: _("See whether a worker for runs is alive and what the run is doing."),
    AlertKind.RUN_MISSING: _(
        "See whether the scheduler is alive and the schedule is switched on; start a run by hand."
    ),
    AlertKind.PARITY: _(
        "Verify the run and keep its log: the result of the engine can't be trusted until the "
        "difference is explained."
    ),
    AlertKind.MIRROR_LAG: _("Start a run: it takes what was recorded."),
    AlertKind.REJECTS: _("Read the reasons with the import and ask the sender to mend the file."),
    AlertKind.FEED_STOPPED: _("Ask the sender; until the data comes, people seem inactive."),
    AlertKind.UPGRADES: _(
        "Look at who moved and why before the rewards go out; a rule or a feed may be wrong."
    ),
    AlertKind.APPROVAL_WAITING: _("Publish or discard the drafts."),
}
