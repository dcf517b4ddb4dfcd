"""The buttons that lead from lists and pages of definitions into the builder."""

from __future__ import annotations

from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from segmentation.permissions import EDIT_DRAFTS, Viewer, publish_permission


def buttons(kind: str, key: str, *, user: Viewer) -> SafeString:
    """Edit, clone and retire for the page of one definition; nothing for who may do neither."""
    may_edit = user.has_perm(EDIT_DRAFTS)
    may_retire = user.has_perm(publish_permission(kind))
    start = reverse("admin:builder_start")
    context = {
        "edit_url": reverse("admin:builder_draft", args=[kind, key]) if may_edit else "",
        "clone_url": f"{start}?{urlencode({'kind': kind, 'from': key})}" if may_edit else "",
        "retire_url": reverse("admin:builder_retire", args=[kind, key]) if may_retire else "",
    }
    return render_to_string("admin/builder/buttons.html", context)


def new_button(kind: str, *, user: Viewer) -> SafeString:
    """New and From a template, for the list of a kind; nothing without the right."""
    if not user.has_perm(EDIT_DRAFTS):
        return SafeString("")
    context = {
        "new_url": f"{reverse('admin:builder_start')}?{urlencode({'kind': kind})}",
        "templates_url": reverse("admin:builder_templates"),
    }
    return render_to_string("admin/builder/new_button.html", context)
