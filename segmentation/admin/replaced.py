"""Pages of facts that a later import replaced. Read-only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.domain.masking import mask_email, mask_id, mask_phone
from segmentation.models import FactVersion
from segmentation.permissions import row_scope

from .base import KeysetAdmin
from .facts import KIND_WORDS


@admin.register(FactVersion)
class FactVersionAdmin(KeysetAdmin):
    """What a later import replaced; contact data in it is masked like the customer's.

    A replaced row does not say whose it is, so whoever sees some stores only sees none of them.
    """

    list_display = ("serial", "shown_kind", "row_id", "batch_id", "superseded_by_id")
    fields = ("shown_kind", "row_id", "batch_id", "superseded_by_id", "shown_row")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FactVersion]:
        rows: QuerySet[FactVersion] = super().get_queryset(request)
        return rows if row_scope(request.user) is None else rows.none()

    @admin.display(description=_("kind"))
    def shown_kind(self, version: FactVersion) -> str:
        return str(KIND_WORDS.get(version.kind, version.kind))

    @admin.display(description=_("replaced content"))
    def shown_row(self, version: FactVersion) -> SafeString:
        masks = {
            "phone": mask_phone,
            "email": mask_email,
            "unionid": mask_id,
            "external_userid": mask_id,
        }
        row = version.row
        cells = (
            (name, masks[name](str(value)) if value and name in masks else value)
            for name, value in sorted(row.items())
            if value is not None
        )
        lines = format_html_join("\n", "{}: {}", cells)
        return format_html('<pre class="tw-code">{}</pre>', lines)
