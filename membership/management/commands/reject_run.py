from __future__ import annotations

from membership.management.decisions import DecisionCommand
from membership.services.held_runs import reject_run


class Command(DecisionCommand):
    """End a held run without publishing it."""

    help = "End a held run without publishing it."
    decide = staticmethod(reject_run)
