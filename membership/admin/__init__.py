"""The admin of what we promise to customers; each module registers its pages."""

from . import (
    alert_channels,
    alert_deliveries,
    alert_rules,
    alerts,
    builder,
    customer_page,
    histories,
    instant,
    memberships,
    merges,
    programs,
    runs,
    transitions,
)

__all__ = [
    "alert_channels",
    "alert_deliveries",
    "alert_rules",
    "alerts",
    "builder",
    "customer_page",
    "histories",
    "instant",
    "memberships",
    "merges",
    "programs",
    "runs",
    "transitions",
]
