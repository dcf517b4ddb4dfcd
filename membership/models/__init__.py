from .alerts import Alert, AlertChannel, AlertDelivery, AlertKind, AlertRoute, AlertRule
from .instant import InstantBatch, InstantStanding
from .programs import Membership, Program, ProgramVersion, Tier, Transition

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertDelivery",
    "AlertKind",
    "AlertRoute",
    "AlertRule",
    "InstantBatch",
    "InstantStanding",
    "Membership",
    "Program",
    "ProgramVersion",
    "Tier",
    "Transition",
]
