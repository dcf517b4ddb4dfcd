"""Settings of the admin theme. Imported by settings.py, so it names callables by their path."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Tierwise",
    "SITE_HEADER": "Tierwise",
    "SITE_SUBHEADER": _("Membership programs"),
    "SITE_SYMBOL": "workspace_premium",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("segmentation/favicon.svg"),
        }
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "#eefbf8",
            "100": "#d5f4ec",
            "200": "#aee8db",
            "300": "#79d5c4",
            "400": "#44bba8",
            "500": "#259f8d",
            "600": "#178073",
            "700": "#15665d",
            "800": "#15524b",
            "900": "#15443f",
            "950": "#062825",
        },
    },
    "STYLES": [
        lambda request: static("segmentation/admin.css"),
        lambda request: static("segmentation/builder.css"),
    ],
    "SCRIPTS": [
        lambda request: static("segmentation/csrf.js"),
        lambda request: static("segmentation/loading.js"),
    ],
    "DASHBOARD_CALLBACK": "config.home.home",
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "config.navigation.sidebar",
    },
    "ACCOUNT": {
        "navigation": [
            {"title": _("Second factor"), "link": reverse_lazy("second_factor_set_up")},
        ]
    },
    "TABS": "config.navigation.tabs",
}
