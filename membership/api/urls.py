"""`/api/v1/`: what we promise to customers."""

from __future__ import annotations

from django.urls import path

from .customers import OneCustomer
from .later import Grants, Redemptions
from .memberships import CustomerMemberships
from .merges import CustomerMerging, MergeUndo, OneMerge
from .programs import OneProgram, Programs
from .run_stops import RunStop
from .runs import OneRun, Runs
from .transitions import Transitions

urlpatterns = [
    # `path` and not `str`: an id is any text, a slash included. The longer addresses come first.
    path(
        "customers/<path:customer_id>/memberships",
        CustomerMemberships.as_view(),
        name="api-customer-memberships",
    ),
    path(
        "customers/<path:customer_id>/merge", CustomerMerging.as_view(), name="api-customer-merge"
    ),
    path("merges/<int:merge>", OneMerge.as_view(), name="api-merge"),
    path("merges/<int:merge>/undo", MergeUndo.as_view(), name="api-merge-undo"),
    path("customers/<path:customer_id>", OneCustomer.as_view(), name="api-customer"),
    path("programs", Programs.as_view(), name="api-programs"),
    path("programs/<str:key>", OneProgram.as_view(), name="api-program"),
    path("runs", Runs.as_view(), name="api-runs"),
    path("runs/<int:run>", OneRun.as_view(), name="api-run"),
    path("runs/<int:run>/cancel", RunStop.as_view(), name="api-run-cancel"),
    path("transitions", Transitions.as_view(), name="api-transitions"),
    path("grants", Grants.as_view(), name="api-grants"),
    path("quotes", Redemptions.as_view(), name="api-quotes"),
    path("redemptions", Redemptions.as_view(), name="api-redemptions"),
    path(
        "redemptions/<str:redemption>/<str:act>", Redemptions.as_view(), name="api-redemption-act"
    ),
]
