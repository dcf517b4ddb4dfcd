"""A killed batch of the instant path has done nothing, and the next one does it all (S06)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.clock import real_now
from membership.models import InstantBatch, InstantStanding, Transition
from membership.services.instant import Done, do_batch
from segmentation.models import CustomerMark
from tests.fixtures.world import CLUB, World

from .test_run_kill import run_elsewhere

pytestmark = pytest.mark.django_db(transaction=True)

POINTS = {
    "marks are taken": "membership.services.instant:_decide",
    "everything is computed": "membership.services.instant:_compute:after",
    "marks are removed": "membership.services.instant:remove_marks:after",
    "tiers are written, not committed": "membership.services.instant:write_staged:after",
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS.keys())
def test_nothing_is_lost_and_nothing_happens_twice(
    settings: Any, tmp_path: Path, point: str
) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.VAR_DIR = tmp_path
    world = World()
    world.apply(CLUB)
    world.order("anna", "2026-01-10T09:00:00", "1")
    world.run("2026-01-11")
    CustomerMark.objects.all().delete()
    now = real_now()
    for name in ("anna", "bert"):
        world.order(name, now.replace(microsecond=0).isoformat(), "150")
    marks = set(CustomerMark.objects.values_list("pk", flat=True))
    assert len(marks) == 2

    assert run_elsewhere(tmp_path, point, work="instant") == -9
    assert set(CustomerMark.objects.values_list("pk", flat=True)) == marks
    assert not Transition.objects.exists()
    assert not InstantBatch.objects.exists()
    assert not InstantStanding.objects.exists()

    assert do_batch(clock=real_now, real=real_now) == Done(customers=2, changes=2)
    assert world.tiers() == {"anna": "silver", "bert": "silver"}
    assert Transition.objects.count() == 2
    assert not CustomerMark.objects.exists()
    assert do_batch(clock=real_now, real=real_now) is None
