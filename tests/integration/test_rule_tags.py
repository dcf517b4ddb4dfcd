"""Rule tags in a run: what their rules may read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segmentation.models import RunCount
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_rule_tag_reads_the_tier_held_before_the_run(settings: Any, tmp_path: Path) -> None:
    """Tags come before tiers; a tier leaf reads the membership before the run, as in a segment.
    The program may even read the tag: that is no cycle."""
    settings.TIME_ZONE = "Asia/Shanghai"
    settings.BASE_CURRENCY = "CNY"
    settings.VAR_DIR = tmp_path
    world = World()
    [club] = CLUB["programs"]
    rules = [
        {"value": "gold", "rule": {"tier": "club", "cmp": "eq", "value": "gold"}},
        {"value": "member", "rule": {"tier": "club", "cmp": "at_least", "value": "silver"}},
        {"value": "nobody", "rule": {"all": []}},
    ]
    tagged = {"tag": "standing", "cmp": "in", "value": ["gold", "member"]}
    loyal = {**club, "key": "loyal"}
    loyal["version"] = {**club["version"], "tiers": [{"key": "one", "rank": 1, "rule": tagged}]}
    tags = [{"group": "standing", "exclusive": True, "rules": rules}]
    world.apply({**CLUB, "tags": tags, "programs": [club, loyal]})
    world.order("anna", "2026-01-10T09:00:00", "1500.00")
    world.order("bert", "2026-01-10T09:00:00", "150.00")
    world.order("cleo", "2026-01-10T09:00:00", "1.00")

    def sizes(as_of: str) -> dict[str, int]:
        found = RunCount.objects.filter(run=world.run(as_of), kind="tag")
        return dict(found.values_list("value", "size"))

    assert sizes("2026-01-15") == {"gold": 0, "member": 0, "nobody": 3}
    assert world.tiers("loyal") == {}
    assert sizes("2026-01-16") == {"gold": 1, "member": 1, "nobody": 1}
    assert world.tiers("loyal") == {"anna": "one", "bert": "one"}
