from .access import SCOPES, ApiKey, ApiKeyUse
from .definitions import (
    Definition,
    DefinitionSet,
    DefinitionVersion,
    Layering,
    ManualMember,
    Metric,
    Objection,
    Segment,
    TagGroup,
)
from .facts import (
    KINDS,
    Customer,
    CustomerTag,
    Event,
    Fact,
    FactBatch,
    FactVersion,
    Order,
    OrderLine,
    Referral,
    Refund,
)
from .installation import Installation
from .mirror import MirrorManifest
from .runs import Run, RunCount, SegmentResult

__all__ = [
    "KINDS",
    "SCOPES",
    "ApiKey",
    "ApiKeyUse",
    "Customer",
    "CustomerTag",
    "Definition",
    "DefinitionSet",
    "DefinitionVersion",
    "Event",
    "Fact",
    "FactBatch",
    "FactVersion",
    "Installation",
    "Layering",
    "ManualMember",
    "Metric",
    "MirrorManifest",
    "Objection",
    "Order",
    "OrderLine",
    "Referral",
    "Refund",
    "Run",
    "RunCount",
    "Segment",
    "SegmentResult",
    "TagGroup",
]
