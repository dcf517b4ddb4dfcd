"""Segments as Roaring bitmaps of customer ordinals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """Members of a segment at a run, who entered and who left since the run before."""

    members: BitMap
    entered: BitMap
    left: BitMap


def bitmap_of(ordinals: npt.NDArray[np.uint32]) -> BitMap:
    """The bitmap of distinct ordinals, compressed as far as runs of neighbours allow."""
    bitmap = BitMap(ordinals)
    bitmap.run_optimize()
    return bitmap


def change(members: BitMap, before: BitMap | None) -> SegmentChange:
    """Without a run before, everybody entered."""
    if before is None:
        return SegmentChange(members, BitMap(members), BitMap())
    return SegmentChange(members, members - before, before - members)
