"""The one navigation tree: fixed groups, each entry only for those who may see its page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from membership.admin import verification
from membership.services.alerting import open_alerts
from membership.services.home import own_jobs_under_way
from segmentation.admin import operations, segment_overlap
from segmentation.queries.changes import readable_models
from segmentation.services.data_quality import may_see_quality


@dataclass(frozen=True)
class Page:
    """A page that is no list of a model: its address by name, its words, who may see it."""

    name: str
    title: str | Promise
    is_for: Callable[[Any], bool]


Place = str | Page  # the label of a model with a list, or a page of its own


@dataclass(frozen=True)
class Entry:
    """A line of the tree; leads to the first of its places that the user may see. The others are
    reached by its tabs. `number` says how much is going on there, in front of everybody's eyes:
    one query on every page."""

    title: str | Promise
    icon: str
    places: tuple[Place, ...]
    number: Callable[[Any], int] | None = None


QUALITY = Page("admin:segmentation_factbatch_quality", _("Data quality"), may_see_quality)
OUTSIDE = Page(
    "admin:pghistory_context_outside",
    _("Outside the application"),
    lambda user: bool(readable_models(user)),
)
VERIFICATION = Page(
    "audit_verification", _("Verification"), lambda user: user.has_perms(verification.RIGHTS)
)
OVERLAP = Page("admin:segmentation_segment_overlap", _("Overlap"), segment_overlap.may_see_overlaps)

FACTS = (
    "segmentation.order",
    "segmentation.orderline",
    "segmentation.refund",
    "segmentation.event",
    "segmentation.referral",
    "segmentation.customertag",
    "segmentation.factversion",
)
CUSTOMERS = (
    "segmentation.customer",
    "segmentation.privacyrequest",
    "segmentation.objection",
    "segmentation.customermerge",
)
SEGMENTS: tuple[Place, ...] = ("segmentation.segment", OVERLAP)
LISTS = ("segmentation.customerlist", "segmentation.manualmember")
VERSIONS = ("membership.programversion", "membership.tier")
RUNS = (
    "segmentation.run",
    "segmentation.segmentresult",
    "segmentation.runcount",
    "segmentation.mirrormanifest",
    "membership.instantbatch",
    "segmentation.customermark",
)
OPERATIONS: tuple[Place, ...] = (
    "pghistory.context",
    "admin.logentry",
    "segmentation.definitionversion",
    "segmentation.definitionset",
    "axes.accesslog",
    "axes.accessfailurelog",
    "axes.accessattempt",
    OUTSIDE,
)
LOOKS = ("segmentation.accessrecord",)
STAFF = ("auth.user", "auth.group")
ALERT_RULES = (
    "membership.alertrule",
    "membership.alertchannel",
    "membership.alertdelivery",
)
KEYS = ("segmentation.apikey", "segmentation.apikeyuse")
SCHEDULES = (
    "django_celery_beat.periodictask",
    "django_celery_beat.intervalschedule",
    "django_celery_beat.crontabschedule",
    "django_celery_beat.solarschedule",
    "django_celery_beat.clockedschedule",
)
TREE: tuple[tuple[str | Promise, tuple[Entry, ...]], ...] = (
    (_("Customers"), (Entry(_("Customers"), "group", CUSTOMERS),)),
    (
        _("Tags & segments"),
        (
            Entry(_("Tags"), "sell", ("segmentation.taggroup",)),
            Entry(_("Metrics"), "functions", ("segmentation.metric",)),
            Entry(_("Segments"), "filter_alt", SEGMENTS),
            Entry(_("Layerings"), "stacked_bar_chart", ("segmentation.layering",)),
            Entry(_("Lists"), "playlist_add_check", LISTS),
            Entry(_("Drafts"), "edit_note", ("segmentation.draft",)),
        ),
    ),
    (
        _("Programs"),
        (
            Entry(_("Programs"), "workspace_premium", ("membership.program",)),
            Entry(_("Tiers and rules"), "rule", VERSIONS),
            Entry(_("Memberships"), "badge", ("membership.membership",)),
            Entry(_("Transitions"), "swap_vert", ("membership.transition",)),
        ),
    ),
    (
        _("Data & runs"),
        (
            Entry(_("Facts"), "receipt_long", FACTS),
            Entry(_("Imports"), "upload_file", ("segmentation.factbatch",)),
            Entry(_("Runs"), "autorenew", RUNS),
            Entry(_("Alerts"), "notifications", ("membership.alert",), open_alerts),
            Entry(_("Data quality"), "fact_check", (QUALITY,)),
            Entry(_("Promotion calendar"), "event", ("segmentation.promotionevent",)),
            Entry(_("Jobs"), "pending_actions", ("segmentation.job",), own_jobs_under_way),
        ),
    ),
    (
        _("Audit"),
        (
            Entry(_("Operations log"), "history", OPERATIONS),
            Entry(_("Access to sensitive data"), "visibility_lock", LOOKS),
            Entry(_("Verification"), "verified", (VERIFICATION,)),
        ),
    ),
    (
        _("Settings"),
        (
            Entry(_("Staff"), "manage_accounts", STAFF),
            Entry(_("API keys"), "key", KEYS),
            Entry(_("Alert rules"), "notifications_active", ALERT_RULES),
            Entry(_("Schedules"), "schedule", SCHEDULES),
            Entry(_("Installation"), "settings", ("segmentation.installation",)),
        ),
    ),
)
# Siblings as tabs above each other. Pages with a frame of their own ask for theirs by name.
TABS: tuple[tuple[str, tuple[Place, ...]], ...] = (
    ("customers", CUSTOMERS),
    ("facts", FACTS),
    (segment_overlap.TABS, SEGMENTS),
    ("lists", LISTS),
    ("versions", VERSIONS),
    ("runs", RUNS),
    (operations.TABS, OPERATIONS),
    ("staff", STAFF),
    ("keys", KEYS),
    ("schedules", SCHEDULES),
    ("alert_rules", ALERT_RULES),
)
TAB_WORDS = {
    "auth.user": _("Staff"),
    "auth.group": _("Roles"),
    "pghistory.context": _("Acts"),
    "admin.logentry": _("Clicks"),
    "axes.accesslog": _("Log-ins"),
    "axes.accessfailurelog": _("Failed log-ins"),
    "axes.accessattempt": _("Lock-outs"),
    "segmentation.definitionversion": _("Published versions"),
    "segmentation.definitionset": _("Definition sets"),
    "segmentation.mirrormanifest": _("Mirror"),
    "membership.instantbatch": _("Between runs"),
    "segmentation.customermark": _("Still to look at"),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The theme's navigation for this user; groups without an entry do not show."""
    home = {"title": _("Home"), "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [home]}]
    active = _active_place(request)
    for title, entries in TREE:
        items = [
            item for entry in entries for item in _items(entry, active=active, request=request)
        ]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def _items(entry: Entry, *, active: Place | None, request: HttpRequest) -> list[dict[str, Any]]:
    seen = [place for place in entry.places if _may_see(place, request=request)]
    if not seen:
        return []
    return [
        {
            "title": entry.title,
            "icon": entry.icon,
            "link": _address(seen[0]),
            "active": active in entry.places,
            "badge": entry.number(request.user) if entry.number else 0,
            "badge_variant": "info",
        }
    ]


def tabs(request: HttpRequest) -> list[dict[str, Any]]:
    """Sibling lists as tabs above each other; a single one needs none."""
    active = _active_place(request)
    found = []
    for name, places in TABS:
        items = [
            {"title": _title(place), "link": _address(place), "active": place == active}
            for place in places
            if _may_see(place, request=request)
        ]
        if len(items) > 1:
            models = [place for place in places if isinstance(place, str)]
            found.append({"page": name, "models": models, "items": items})
    return found


def _active_place(request: HttpRequest) -> Place | None:
    """The place whose address begins this one's; of several the longest, so that a page below a
    list is itself and not the list."""
    places = [place for _title, entries in TREE for entry in entries for place in entry.places]
    found = [
        (len(address), number)
        for number, place in enumerate(places)
        if _exists(place) and request.path.startswith(address := _address(place))
    ]
    return places[max(found)[1]] if found else None


def _address(place: Place) -> str:
    if isinstance(place, Page):
        return reverse(place.name)
    return reverse(f"admin:{place.replace('.', '_')}_changelist")


def _model_admin(label: str) -> Any:
    return next(
        (page for model, page in admin.site._registry.items() if model._meta.label_lower == label),
        None,
    )


def _exists(place: Place) -> bool:
    return isinstance(place, Page) or _model_admin(place) is not None


def _may_see(place: Place, *, request: HttpRequest) -> bool:
    if isinstance(place, Page):
        return request.user.is_authenticated and place.is_for(request.user)
    page = _model_admin(place)
    return page is not None and bool(page.has_view_permission(request))


def _title(place: Place) -> Any:
    if isinstance(place, Page):
        return place.title
    return TAB_WORDS.get(place) or capfirst(_model_admin(place).opts.verbose_name_plural)
