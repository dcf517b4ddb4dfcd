"""`/api/v1/`: what we know about customers."""

from __future__ import annotations

from django.urls import path

from . import schema  # noqa: F401  (registers the security scheme)
from .bulk import BULK_VIEWS

urlpatterns = [
    path(f"{kind}/bulk", view.as_view(), name=f"api-{kind}-bulk")
    for kind, view in BULK_VIEWS.items()
]
