"""Every address of the admin that can be read, for tests that walk all of them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from django.contrib import admin
from django.contrib.admin.utils import quote as quote_pk
from django.urls import reverse

from segmentation.models import ApiKey, ManualMember

SAMPLES = 2  # newest objects of each model; make_shop() writes the hidden ones last


def addresses(*, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Home, every list (also searched for `words`), add form, page, history and autocomplete."""
    yield reverse("admin:index")
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listing = reverse(f"{name}_changelist")
        yield listing
        if page.search_fields:
            for word in words:
                yield f"{listing}?q={quote(word)}"
        yield reverse(f"{name}_add")
        for row in model._default_manager.order_by("-pk")[:SAMPLES]:
            key = row.prefix if isinstance(row, ApiKey) else quote_pk(row.pk)
            for view in ("change", "history"):
                yield reverse(f"{name}_{view}", args=[key])
    for app in ("auth", "membership", "segmentation"):
        yield reverse("admin:app_list", args=[app])
    for field in ("customer", "segment"):
        for word in ("", *words):
            yield (
                reverse("admin:autocomplete")
                + f"?app_label=segmentation&model_name=manualmember&field_name={field}"
                + f"&term={quote(word)}"
            )
    for word in words:
        yield reverse("admin:search") + f"?s={quote(word)}&extended=1"
    yield reverse("admin:segmentation_run_recompute")
    for row in ManualMember.objects.order_by("-pk")[:SAMPLES]:
        yield reverse("admin:segmentation_manualmember_delete", args=[row.pk])
