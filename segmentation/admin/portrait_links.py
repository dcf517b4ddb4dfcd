"""Addresses of what can be done with a group of customers, for buttons on other pages."""

from __future__ import annotations

from typing import cast
from urllib.parse import urlencode

from django.urls import reverse

from segmentation.permissions import Viewer
from segmentation.services.customer_lists import ADD_LIST
from segmentation.services.subjects import VIEW_RIGHTS, Kind

VIEW_CUSTOMER = "segmentation.view_customer"


def portrait_url(subject: str, *, user: Viewer) -> str:
    """Where the portrait of `subject` (`segment:vip`, `layer:value_layer/high`, ...) is; "" for
    people who may not see it."""
    kind = subject.partition(":")[0]
    if kind not in VIEW_RIGHTS or not user.has_perm(VIEW_CUSTOMER):
        return ""
    if not user.has_perm(VIEW_RIGHTS[cast(Kind, kind)]):
        return ""
    return f"{reverse('portrait')}?{urlencode({'subject': subject})}"


def save_list_url(subject: str, *, user: Viewer) -> str:
    """Where the members of `subject` are saved as a list; "" without the right."""
    if not user.has_perm(ADD_LIST):
        return ""
    address = reverse("admin:segmentation_customerlist_save")
    return f"{address}?{urlencode({'subject': subject})}"
