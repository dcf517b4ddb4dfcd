"""The admin of what we promise to customers; each module registers its pages."""

from . import builder, customer_page, histories, memberships, programs, runs, transitions

__all__ = [
    "builder",
    "customer_page",
    "histories",
    "memberships",
    "programs",
    "runs",
    "transitions",
]
