"""What one membership lacks for the next tier, as a page asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from membership.domain.progress import Gap
from membership.models import Membership
from membership.services.member_view import member_view
from segmentation.engine.results import run_folder
from segmentation.queries import newest_published_run


@dataclass(frozen=True, slots=True)
class MissingToNext:
    """`gaps` None: there is no next tier, or its rule can't be said in gaps. `is_known` False: the
    newest run's files are gone, so nobody knows."""

    is_known: bool
    gaps: tuple[Gap, ...] | None = None


def missing_to_next(membership: Membership) -> MissingToNext:
    """From the newest published run's values; `membership` with its customer and program."""
    run = newest_published_run()
    if run is None or not (run_folder(run.pk) / "snapshot.parquet").is_file():
        return MissingToNext(is_known=False)
    for view in member_view(membership.customer.external_id) or ():
        if view.program == membership.program.key:
            return MissingToNext(is_known=True, gaps=view.progress)
    return MissingToNext(is_known=True)
