"""`/api/v1/`: what we know about customers."""

from __future__ import annotations

from django.urls import path

from . import schema  # noqa: F401  (registers the security scheme)
from .bulk import BULK_VIEWS
from .privacy import CustomerPrivacy, PrivacyExport, PrivacyReceipt
from .segments import SegmentMembers, SegmentRuns, Segments

urlpatterns = [
    *(
        path(f"{kind}/bulk", view.as_view(), name=f"api-{kind}-bulk")
        for kind, view in BULK_VIEWS.items()
    ),
    # `path` and not `str`: an id is any text, a slash included.
    path(
        "customers/<path:customer_id>/privacy",
        CustomerPrivacy.as_view(),
        name="api-customer-privacy",
    ),
    path("privacy/<str:receipt>", PrivacyReceipt.as_view(), name="api-privacy-receipt"),
    path("privacy/<str:receipt>/export", PrivacyExport.as_view(), name="api-privacy-export"),
    path("segments", Segments.as_view(), name="api-segments"),
    path("segments/<str:key>/members", SegmentMembers.as_view(), name="api-segment-members"),
    path("segments/<str:key>/runs", SegmentRuns.as_view(), name="api-segment-runs"),
]
