"""`/api/v1/`: what we promise to customers."""

from __future__ import annotations

from django.urls import path

from .memberships import CustomerMemberships

urlpatterns = [
    # `path` and not `str`: an id is any text, a slash included.
    path(
        "customers/<path:customer_id>/memberships",
        CustomerMemberships.as_view(),
        name="api-customer-memberships",
    ),
]
