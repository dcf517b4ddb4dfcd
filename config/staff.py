"""Pages of staff: people, their roles, their row scope, their second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, ManyToManyField, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from segmentation.admin import shown
from segmentation.admin.base import ListTitle
from segmentation.admin.history import HistoryPages
from segmentation.admin.right_words import permission_words, role_words
from segmentation.domain.row_numbers import row_number
from segmentation.models import StaffScope
from segmentation.permissions import row_scope
from segmentation.services.wording import listed

from . import second_factor
from .granting import grantable_rights, grantable_roles, may_change_person, may_change_role

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    from unfold.admin import ModelAdmin, StackedInline


# What no page asks for is not offered: rights on tables of packages, and to write history.
_OFFERED = Q(
    content_type__app_label__in=(
        "admin", "auth", "axes", "django_celery_beat", "membership", "segmentation",
    )
) & ~Q(content_type__model__endswith="event", codename__regex="^(add|change|delete)_")  # fmt: skip


class _Choices:
    """Offers the permissions and roles that the reader may give, with translated names."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        is_role = db_field.related_model is Group
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is None:
            return None
        field.help_text = ""  # how to pick several with the keyboard: these boxes need no words
        if is_role:
            field.queryset = grantable_roles(request.user)
            field.label, field.label_from_instance = _("Roles"), role_words
        else:
            rights = grantable_rights(request.user)
            field.queryset = rights.filter(_OFFERED).select_related("content_type")
            field.label_from_instance = permission_words
            of_person = db_field.name == "user_permissions"
            field.label = _("Rights beside those of the roles") if of_person else _("Rights")
        return field


class RoleFilter(admin.SimpleListFilter):
    """People with a role, by its translated name."""

    title = _("role")
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(group.pk), role_words(group)) for group in Group.objects.order_by("name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        role = row_number(self.value() or "")
        return queryset if role is None else queryset.filter(groups=role)


class _Framed(ListTitle, HistoryPages):
    """Our words for what the page is of, and the link to the history on the page of a row."""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        if row is not None:
            context["title"] = self.kind_title
            context["heading"] = context["subtitle"] = self.heading(row)
            context["history_url"] = self.history_address(row)
        found: HttpResponse = super().render_change_form(  # type: ignore[misc]
            request, context, *args, **kwargs
        )
        return found


class ScopeInline(StackedInline):
    """Which stores' customers a person without "all stores" may see."""

    model = StaffScope
    verbose_name_plural = _("Row scope: only the customers of these home stores")
    extra = 0
    max_num = 1

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and row_scope(request.user) is None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who is confined to some stores decides about nobody's stores."""
        return super().has_change_permission(request, obj) and row_scope(request.user) is None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and row_scope(request.user) is None

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "home_stores":
            field.help_text = _("Separated by commas")
        return field


class UserPage(_Choices, _Framed, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    kind_title = _("Staff")
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False
    list_display = (
        "username",
        "shown_name",
        "shown_roles",
        "is_active",
        "has_factor",
        "last_login",
    )
    list_filter = ("is_active", "is_superuser", RoleFilter)
    filter_horizontal = ()
    inlines = (ScopeInline,)
    change_form_outer_after_template = "admin/second_factor_reset.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        devices = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
        people: QuerySet[User] = super().get_queryset(request).prefetch_related("groups")
        return people.annotate(shown_factor=Exists(devices))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also to set a password and to take a second factor away (config/granting.py)."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_change_person(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or may_change_person(request.user, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_readonly_fields(request, obj)
        return found if request.user.is_superuser else (*found, "is_superuser")

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_inline_instances(request, obj) if obj is not None else []

    def get_urls(self) -> list[Any]:
        reset = path(
            "<int:number>/reset-second-factor/",
            self.admin_site.admin_view(self.reset_view),
            name="auth_user_reset_second_factor",
        )
        return [reset, *super().get_urls()]

    def reset_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Take the second factor of somebody away after a person has confirmed it."""
        person = self.get_object(request, str(number))
        if person is None:
            raise Http404
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        back = reverse("admin:auth_user_change", args=[number])
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Reset the second factor"),
                "person": person,
                "back": back,
            }
            return TemplateResponse(request, "admin/second_factor_reset_confirm.html", context)
        if second_factor.reset(person):
            self.log_change(request, person, gettext_noop("Second factor reset"))
            text = gettext("The second factor of %(person)s is reset.")
            messages.success(request, text % {"person": person.get_username()})
        else:
            messages.info(request, gettext("There was no second factor to reset."))
        return HttpResponseRedirect(back)

    @admin.display(description=_("name"))
    def shown_name(self, person: User) -> str:
        return person.get_full_name() or shown.EMPTY

    @admin.display(description=_("roles"))
    def shown_roles(self, person: User) -> str:
        names = [role_words(group) for group in person.groups.all()]
        if person.is_superuser:
            names.insert(0, gettext("Administrator"))
        return listed(names) or shown.EMPTY

    @admin.display(description=_("second factor"))
    def has_factor(self, person: Any) -> SafeString:
        if person.shown_factor:
            return shown.badge(_("On"), colour="success")
        return shown.badge(_("Off"), colour="default")


class GroupPage(_Choices, _Framed, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    kind_title = _("Roles")
    filter_horizontal = ()
    show_full_result_count = False
    list_display = ("shown_role",)
    list_display_links = ("shown_role",)

    def heading(self, row: Any) -> str:
        return role_words(row)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_change_role(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or may_change_role(request.user, obj))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who only looks reads the role's name in their language; who edits, the stored one."""
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj) or obj is None:
            return fields
        return ["shown_role" if name == "name" else name for name in fields]

    @admin.display(description=_("role"), ordering="name")
    def shown_role(self, group: Group) -> str:
        return role_words(group)


for _model, _page in ((User, UserPage), (Group, GroupPage)):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
    admin.site.register(_model, _page)
