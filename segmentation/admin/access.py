"""API keys, the installation's fixed settings and the mirror's manifests."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from rest_framework_api_key.models import APIKey
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from segmentation.domain.errors import TierwiseError
from segmentation.models import ApiKey, ApiKeyUse, Installation, MirrorManifest
from segmentation.permissions import row_scope
from segmentation.services.api_keys import create_api_key, grantable_scopes, revoke_api_key

from . import shown
from .base import NUL, KeysetAdmin, ReadOnlyAdmin, TierwiseAdmin

SCOPE_WORDS = {
    "facts:write": _("send facts"),
    "customers:read": _("read customers"),
    "customers:write": _("change customers' privacy choices"),
    "members:read": _("read members' own view"),
    "redemptions:write": _("quote and redeem"),
    "segments:read": _("read internal segments"),
    "segments:read_hidden": _("read hidden segments"),
    "runs:read": _("follow runs"),
    "runs:write": _("start runs"),
    "runs:cancel": _("stop runs"),
}


class ApiKeyForm(forms.Form):
    """The name, scopes and row scope of a new key. Nobody makes a key that may more than they do:
    a scope is offered to those who have its right, and who is confined to some stores confines
    the key to some of these."""

    name = forms.CharField(label=_("name"), max_length=50, widget=UnfoldAdminTextInputWidget)
    scopes = forms.MultipleChoiceField(
        label=_("scopes"),
        widget=forms.CheckboxSelectMultiple,
        choices=(),
    )
    stores = forms.CharField(
        label=_("home stores"),
        required=False,
        max_length=10_000,
        help_text=_(
            "One a line: the key reads the customers of these stores only. Empty: of all stores."
        ),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own_stores = row_scope(user)
        scopes = self.fields["scopes"]
        scopes.choices = [  # type: ignore[attr-defined]
            (scope, f"{scope} – {SCOPE_WORDS[scope]}") for scope in grantable_scopes(user)
        ]

    def clean_stores(self) -> list[str] | None:
        lines = [line.strip() for line in self.cleaned_data["stores"].splitlines()]
        stores = [line for line in lines if line]
        own = self._own_stores
        if own is not None and not (stores and set(stores) <= set(own)):
            raise forms.ValidationError(_("Name stores of your own only."))
        return stores or None


@admin.register(ApiKey)
class ApiKeyAdmin(TierwiseAdmin):
    """Keys are made and revoked; the secret shows once, on the page that answers the form.

    Addresses carry the key's prefix: the row id contains the hash.
    """

    actions = None
    list_display = ("shown_name", "prefix", "shown_scopes", "created", "shown_state")
    list_display_links = None
    fields = (("name", "prefix"), "shown_scopes", "shown_stores", ("created", "shown_state"))
    change_form_outer_after_template = "admin/revoke_api_key.html"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def address_key(self, row: Any) -> str:
        return str(row.prefix)

    def heading(self, row: Any) -> str:
        return str(row.name)

    def may_revoke(self, request: HttpRequest) -> bool:
        return request.user.has_perm("segmentation.change_apikey")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ApiKey | None:
        if NUL in object_id:
            return None
        return self.get_queryset(request).filter(prefix=object_id).first()

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(self.revoke_view)
        own = [path("<str:prefix>/revoke/", revoke, name="segmentation_apikey_revoke")]
        return own + super().get_urls()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ApiKeyForm(request.POST or None, user=request.user)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("New API key"),
            "form": form,
        }
        if request.method == "POST" and form.is_valid():
            try:
                made = create_api_key(
                    form.cleaned_data["name"],
                    scopes=form.cleaned_data["scopes"],
                    home_stores=form.cleaned_data["stores"],
                    actor=request.user.get_username(),
                )
            except TierwiseError as error:
                for text in [each.message for each in error.problems] or [error.message]:
                    form.add_error(None, text)
            else:
                row = ApiKey.objects.filter(name=made.name, revoked=False).get()
                self.log_addition(request, row, [{"added": {}}])
                context["made"] = made
        return TemplateResponse(request, "admin/new_api_key.html", context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        key = self.get_object(request, object_id or "")
        context = {
            **(extra_context or {}),
            "api_key": key,
            **({"original": key.name} if key else {}),  # the theme links to a row by its pk
            "may_revoke": key is not None and not key.revoked and self.may_revoke(request),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def revoke_view(self, request: HttpRequest, prefix: str) -> HttpResponse:
        key = self.get_object(request, prefix)
        if key is None or not self.has_view_permission(request):
            raise Http404
        if request.method != "POST" or not self.may_revoke(request):
            raise PermissionDenied
        try:
            revoke_api_key(key.name, actor=request.user.get_username())
        except TierwiseError as error:
            messages.error(request, error.message)
        else:
            self.log_change(request, key, [{"changed": {"fields": ["revoked"]}}])
            messages.success(request, gettext("The key %(name)s is revoked.") % {"name": key.name})
        return HttpResponseRedirect(reverse("admin:segmentation_apikey_changelist"))

    @admin.display(description=_("name"))
    def shown_name(self, key: ApiKey) -> SafeString:
        return shown.link("segmentation_apikey_change", args=[key.prefix], text=key.name)

    @admin.display(description=_("scopes"))
    def shown_scopes(self, key: ApiKey) -> SafeString:
        return format_html("{}", ", ".join(key.scopes))

    @admin.display(description=_("home stores"))
    def shown_stores(self, key: ApiKey) -> Any:
        return _("all stores") if key.home_stores is None else ", ".join(key.home_stores)

    @admin.display(description=_("state"))
    def shown_state(self, key: ApiKey) -> SafeString:
        if key.revoked:
            return shown.badge(_("Revoked"), colour="danger")
        if key.has_expired:
            return shown.badge(_("Expired"), colour="warning")
        return shown.badge(_("In use"), colour="success")


@admin.register(ApiKeyUse)
class ApiKeyUseAdmin(KeysetAdmin):
    """How busy each key was last; the row is overwritten in each stretch of time."""

    list_display = ("shown_key", "requests")
    list_display_links = None
    list_select_related = ("key",)
    fields = ("shown_key", "requests")

    @admin.display(description=_("API key"))
    def shown_key(self, use: ApiKeyUse) -> SafeString:
        return shown.link("segmentation_apikey_change", args=[use.key.prefix], text=use.key.name)


if admin.site.is_registered(APIKey):  # the library's own kind of key is not used here
    admin.site.unregister(APIKey)


@admin.register(Installation)
class InstallationAdmin(ReadOnlyAdmin):
    list_display = ("time_zone", "base_currency", "clock_start", "set_up_at")


@admin.register(MirrorManifest)
class MirrorManifestAdmin(KeysetAdmin):
    list_display = ("generation", "file_count", "row_count", "size", "tzdata_version", "created_at")
    fields = (("generation", "created_at"), ("file_count", "row_count", "size"), "tzdata_version")

    @admin.display(description=_("files"))
    def file_count(self, manifest: MirrorManifest) -> str:
        return shown.count(len(manifest.files))

    @admin.display(description=_("rows"))
    def row_count(self, manifest: MirrorManifest) -> str:
        return shown.count(sum(int(file.get("rows", 0)) for file in manifest.files))

    @admin.display(description=_("size"))
    def size(self, manifest: MirrorManifest) -> str:
        total = sum(int(file.get("bytes", 0)) for file in manifest.files)
        return f"{total / 1_048_576:,.1f} MiB"
