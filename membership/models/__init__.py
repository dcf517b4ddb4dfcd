from .instant import InstantBatch, InstantStanding
from .programs import Membership, Program, ProgramVersion, Tier, Transition

__all__ = [
    "InstantBatch",
    "InstantStanding",
    "Membership",
    "Program",
    "ProgramVersion",
    "Tier",
    "Transition",
]
