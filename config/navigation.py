"""The one navigation tree: fixed groups, each entry only for those who may see its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Entry:
    """A page of the tree: its words, icon and model; `covers` are pages reached by its tabs."""

    title: str | Promise
    icon: str
    model: str
    covers: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        return reverse(f"admin:{self.model.replace('.', '_')}_changelist")


FACTS = (
    "segmentation.order",
    "segmentation.orderline",
    "segmentation.refund",
    "segmentation.event",
    "segmentation.referral",
    "segmentation.customertag",
    "segmentation.factversion",
)
RESULTS = ("segmentation.run", "segmentation.segmentresult", "segmentation.runcount")
HISTORY = (
    "segmentation.definitionversion",
    "segmentation.definitionset",
    "segmentation.taggroupevent",
    "segmentation.metricevent",
    "segmentation.layeringevent",
    "segmentation.segmentevent",
    "segmentation.manualmemberevent",
    "membership.programevent",
    "membership.membershipevent",
)
ACCESS = (
    "axes.accessattempt",
    "axes.accesslog",
    "axes.accessfailurelog",
)
SCHEDULES = (
    "django_celery_beat.periodictask",
    "django_celery_beat.intervalschedule",
    "django_celery_beat.crontabschedule",
    "django_celery_beat.solarschedule",
    "django_celery_beat.clockedschedule",
)
STAFF = (
    "auth.user",
    "auth.group",
)
KEYS = ("segmentation.apikey", "segmentation.apikeyuse")
TREE: tuple[tuple[str | Promise, tuple[Entry, ...]], ...] = (
    (_("Customers"), (Entry(_("Customers"), "group", "segmentation.customer"),)),
    (
        _("Tags & segments"),
        (
            Entry(_("Tags"), "sell", "segmentation.taggroup"),
            Entry(_("Metrics"), "functions", "segmentation.metric"),
            Entry(_("Segments"), "filter_alt", "segmentation.segment"),
            Entry(_("Layerings"), "stacked_bar_chart", "segmentation.layering"),
            Entry(
                _("Lists"),
                "playlist_add_check",
                "segmentation.manualmember",
                ("segmentation.objection",),
            ),
        ),
    ),
    (
        _("Programs"),
        (
            Entry(_("Programs"), "workspace_premium", "membership.program"),
            Entry(
                _("Tiers and rules"),
                "rule",
                "membership.programversion",
                ("membership.tier",),
            ),
            Entry(_("Memberships"), "badge", "membership.membership"),
            Entry(_("Transitions"), "swap_vert", "membership.transition"),
        ),
    ),
    (
        _("Data & runs"),
        (
            Entry(_("Facts"), "receipt_long", FACTS[0], FACTS[1:]),
            Entry(_("Imports"), "upload_file", "segmentation.factbatch"),
            Entry(_("Runs"), "autorenew", RESULTS[0], RESULTS[1:]),
            Entry(_("Mirror"), "database", "segmentation.mirrormanifest"),
        ),
    ),
    (
        _("Audit"),
        (
            Entry(_("Actions log"), "history", "admin.logentry"),
            Entry(_("Definition history"), "difference", HISTORY[0], HISTORY[1:]),
            Entry(_("Log-ins"), "login", ACCESS[0], ACCESS[1:]),
        ),
    ),
    (
        _("Settings"),
        (
            Entry(_("Staff"), "manage_accounts", STAFF[0], STAFF[1:]),
            Entry(_("API keys"), "key", KEYS[0], KEYS[1:]),
            Entry(_("Schedules"), "schedule", SCHEDULES[0], SCHEDULES[1:]),
            Entry(_("Installation"), "settings", "segmentation.installation"),
        ),
    ),
)
TABBED = (FACTS, RESULTS, HISTORY, ACCESS, SCHEDULES, STAFF, KEYS,
          ("segmentation.manualmember", "segmentation.objection"),
          ("membership.programversion", "membership.tier"))  # fmt: skip


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The theme's navigation for this user; groups without an entry do not show."""
    home = {"title": _("Home"), "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    for title, entries in TREE:
        items = [item for entry in entries for item in _items(entry, request=request)]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def _items(entry: Entry, *, request: HttpRequest) -> list[dict[str, Any]]:
    """The entry, leading to the first of its pages that the user may see."""
    seen = [model for model in (entry.model, *entry.covers) if _may_view(model, request=request)]
    if not seen:
        return []
    links = [Entry("", "", model).link for model in seen]
    return [
        {
            "title": entry.title,
            "icon": entry.icon,
            "link": links[0],
            "active": any(request.path.startswith(link) for link in links),
        }
    ]


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Sibling lists as tabs above each other."""
    return [
        {
            "models": list(group),
            "items": [
                {"title": _title(model), "link": Entry("", "", model).link}
                for model in group
                if _may_view(model, request=request)
            ],
        }
        for group in TABBED
    ]


def _model_admin(label: str) -> Any:
    return next(
        (page for model, page in admin.site._registry.items() if model._meta.label_lower == label),
        None,
    )


def _may_view(label: str, *, request: HttpRequest) -> bool:
    page = _model_admin(label)
    return page is not None and bool(page.has_view_permission(request))


def _title(label: str) -> Any:
    return TAB_WORDS.get(label) or _model_admin(label).opts.verbose_name_plural


TAB_WORDS = {
    "segmentation.definitionversion": _("Versions"),
    "segmentation.definitionset": _("Definition sets"),
    "segmentation.taggroupevent": _("Tags"),
    "segmentation.metricevent": _("Metrics"),
    "segmentation.layeringevent": _("Layerings"),
    "segmentation.segmentevent": _("Segments"),
    "segmentation.manualmemberevent": _("Lists"),
    "membership.programevent": _("Programs"),
    "membership.membershipevent": _("Memberships"),
}
