from .access import SCOPES, ApiKey, ApiKeyUse, RequestKey
from .audit import AccessRecord, PrivacyRequest
from .calendar import PromotionEvent
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
from .desk import (
    Card,
    CustomerList,
    CustomerListMember,
    Draft,
    LastUse,
    StaffScope,
    Star,
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
    living,
)
from .installation import Installation
from .jobs import Job
from .marks import CustomerMark
from .merges import CustomerMerge, RedirectedFact, RunErasure
from .mirror import MirrorManifest
from .runs import Run, RunCount, SegmentResult
from .staff import Person, PersonRight, PersonRole, Role, RoleRight

__all__ = [
    "AccessRecord",
    "ApiKey",
    "ApiKeyUse",
    "Card",
    "Customer",
    "CustomerList",
    "CustomerListMember",
    "CustomerMark",
    "CustomerMerge",
    "CustomerTag",
    "Definition",
    "DefinitionSet",
    "DefinitionVersion",
    "Draft",
    "Event",
    "Fact",
    "FactBatch",
    "FactVersion",
    "Installation",
    "Job",
    "KINDS",
    "LastUse",
    "Layering",
    "ManualMember",
    "Metric",
    "MirrorManifest",
    "Objection",
    "Order",
    "OrderLine",
    "Person",
    "PersonRight",
    "PersonRole",
    "PrivacyRequest",
    "PromotionEvent",
    "RedirectedFact",
    "Referral",
    "Refund",
    "RequestKey",
    "Role",
    "RoleRight",
    "Run",
    "RunCount",
    "RunErasure",
    "SCOPES",
    "Segment",
    "SegmentResult",
    "StaffScope",
    "Star",
    "TagGroup",
    "living",
]
