from __future__ import annotations

from membership.management.decisions import DecisionCommand
from membership.services.held_runs import release_run


class Command(DecisionCommand):
    """Publish exactly what a held run found."""

    help = "Publish exactly what a held run found."
    decide = staticmethod(release_run)
