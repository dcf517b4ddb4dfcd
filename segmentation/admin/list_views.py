"""The acts on customer lists: making one, filling it from a file, naming it, retiring it, and
saving a group of customers as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from config import clock
from segmentation.domain.definitions import Label
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import CustomerList, Job
from segmentation.permissions import may_see_hidden
from segmentation.queries import newest_published_run
from segmentation.services.customer_lists import (
    ADD_LIST,
    CHANGE_LIST,
    NAMED,
    create_list,
    rename_list,
    retire_list,
)
from segmentation.services.jobs import new_key
from segmentation.services.list_saves import request_save
from segmentation.services.list_uploads import request_upload
from segmentation.services.overtaken import state_of
from segmentation.services.subject_portraits import subject_name
from segmentation.services.subjects import read_subject

from .definition_pages import DefinitionPageAdmin
from .list_forms import EditForm, NewListForm, RetireForm, SaveForm, UploadForm
from .looking import looker

_PAGE = "admin:segmentation_customerlist_change"
_FIELDS = {"/key": "key", "/label/en": "label_en", "/label/zh-hans": "label_zh_hans"}


class CustomerListViews(DefinitionPageAdmin):
    """Mixed into the pages of customer lists."""

    def form_urls(self) -> list[URLPattern]:
        def part(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(view)
            return path(route, wrapped, name=f"segmentation_customerlist_{name}")

        return [
            part("save/", self.save_view, "save"),
            part("<int:pk>/upload/", self.upload_view, "upload"),
            part("<int:pk>/edit/", self.edit_view, "edit"),
            part("<int:pk>/retire/", self.retire_view, "retire"),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A new list, empty or from a file. Sent twice, the form makes one upload."""
        user = _person(request, ADD_LIST)
        form = NewListForm(
            request.POST or None,
            request.FILES or None,
            may_hide=may_see_hidden(user),
            may_fill=user.has_perm(CHANGE_LIST),
            initial={"request_key": new_key()},
        )
        if request.method == "POST" and form.is_valid():
            again = _job_of(form.cleaned_data["request_key"], user=user)
            if again is not None:
                return _to_job(again)
            try:
                with transaction.atomic():
                    row, job = self._made(form, request=request, user=user)
            except TierwiseError as error:
                _tell(form, error)
            else:
                messages.success(request, _("The list is made."))
                return _to_job(job) if job else HttpResponseRedirect(reverse(_PAGE, args=[row.pk]))
        title = _("New list")
        return self._form(request, form, title=title, submit=_("Make the list"))

    def _made(
        self, form: NewListForm, *, request: HttpRequest, user: User
    ) -> tuple[CustomerList, Job | None]:
        asked = form.cleaned_data
        row = create_list(
            key=asked["key"],
            label=form.label,
            is_hidden=bool(asked.get("is_hidden")),
            note=asked["note"],
            viewer=user,
            actor=user.get_username(),
            reason=asked["reason"],
        )
        if not asked.get("file"):
            return row, None
        job = request_upload(
            row,
            file=asked["file"],
            mode="replace",
            user=user,
            actor=user.get_username(),
            reason=asked["reason"],
            now=clock.real_now(),
            key=asked["request_key"],
        )
        return row, job

    def save_view(self, request: HttpRequest) -> HttpResponse:
        """`subject` names the group whose members of now become a list."""
        user = _person(request, ADD_LIST)
        run = newest_published_run()
        if run is None:
            raise Http404
        try:
            subject = read_subject(request.GET.get("subject", ""), run=run, viewer=user)
        except NotFoundError:
            raise Http404 from None
        name = subject_name(subject)
        label = subject.label if subject.value is None else Label(name, name)
        initial = {
            "request_key": new_key(),
            "label_en": label.en,
            "label_zh_hans": label.zh_hans,
            "note": _("Saved from %(group)s") % {"group": name},
        }
        form = SaveForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            asked = form.cleaned_data
            try:
                job = request_save(
                    subject,
                    run=run,
                    key=asked["key"],
                    label=form.label,
                    note=asked["note"],
                    reason=asked["reason"],
                    user=user,
                    looker=looker(request),
                    now=clock.real_now(),
                    request_key=asked["request_key"],
                )
            except TierwiseError as error:
                _tell(form, error)
            else:
                return _to_job(job)
        return self._form(
            request,
            form,
            title=_("Save as a list: %(group)s") % {"group": name},
            submit=_("Save as a list"),
            intro=_("The members of the newest run become a list that does not change by itself."),
            is_hidden=subject.is_hidden,
        )

    def upload_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A file for this list, as a job. Sent twice, the form makes one job."""
        row, user = self._living(request, pk)
        form = UploadForm(
            request.POST or None, request.FILES or None, initial={"request_key": new_key()}
        )
        if request.method == "POST" and form.is_valid():
            asked = form.cleaned_data
            try:
                job = request_upload(
                    row,
                    file=asked["file"],
                    mode=asked["mode"],
                    user=user,
                    actor=user.get_username(),
                    reason=asked["reason"],
                    now=clock.real_now(),
                    key=asked["request_key"],
                )
            except TierwiseError as error:
                _tell(form, error)
            else:
                return _to_job(job)
        title = _("Upload: %(list)s") % {"list": self.heading(row)}
        return self._form(request, form, title=title, submit=_("Upload"), row=row)

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Names and note; the key stays."""
        row, user = self._living(request, pk)
        initial = {
            "label_en": row.label_en, "label_zh_hans": row.label_zh_hans, "note": row.note,
            "seen": state_of(row, NAMED),
        }  # fmt: skip
        form = EditForm(request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                rename_list(
                    row,
                    label=form.label,
                    note=form.cleaned_data["note"],
                    viewer=user,
                    actor=user.get_username(),
                    reason=form.cleaned_data["reason"],
                    seen=form.cleaned_data["seen"] or None,
                )
            except TierwiseError as error:
                _tell(form, error)
                form.data = {
                    **dict(form.data.items()),
                    "seen": initial["seen"],
                }  # sent again, it overwrites
            else:
                messages.success(request, _("Saved."))
                return HttpResponseRedirect(reverse(_PAGE, args=[row.pk]))
        title = _("Name and note: %(list)s") % {"list": self.heading(row)}
        return self._form(request, form, title=title, submit=_("Save"), row=row)

    def retire_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for the reason; refused while a rule reads the list."""
        row, user = self._living(request, pk)
        form = RetireForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                retire_list(
                    row,
                    viewer=user,
                    actor=user.get_username(),
                    reason=form.cleaned_data["reason"],
                    now=clock.real_now(),
                )
            except TierwiseError as error:
                _tell(form, error)
            else:
                messages.success(request, _("The list is retired."))
                return HttpResponseRedirect(reverse(_PAGE, args=[row.pk]))
        return self._form(
            request,
            form,
            title=_("Retire: %(list)s") % {"list": self.heading(row)},
            submit=_("Retire the list"),
            intro=_("No rule can name it any more. Its members and its history stay."),
            row=row,
        )

    def _living(self, request: HttpRequest, pk: int) -> tuple[CustomerList, User]:
        """The list, for who may change it; 404 for who may not know of it, or once retired."""
        row: CustomerList = self.seen(request, pk)
        user = _person(request, CHANGE_LIST)
        if row.retired_at is not None:
            raise Http404
        return row, user

    def _form(
        self,
        request: HttpRequest,
        form: forms.Form,
        *,
        title: str,
        submit: str,
        intro: str = "",
        row: CustomerList | None = None,
        is_hidden: bool = False,
    ) -> HttpResponse:
        back = reverse("admin:segmentation_customerlist_changelist")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": title,
            "form": form,
            "submit": submit,
            "intro": intro,
            "is_hidden": is_hidden,
            "cancel_url": back if row is None else reverse(_PAGE, args=[row.pk]),
        }
        return TemplateResponse(request, "admin/lists/form.html", context)


def _person(request: HttpRequest, right: str) -> User:
    if not request.user.has_perm(right):
        raise PermissionDenied
    assert isinstance(request.user, User)  # behind the log-in
    return request.user


def _job_of(key: str, *, user: User) -> Job | None:
    return Job.objects.filter(idempotency_key=key, requested_by=user).first()


def _to_job(job: Job) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:segmentation_job_change", args=[job.pk]))


def _tell(form: forms.Form, error: TierwiseError) -> None:
    """The problems of a service beside the fields they are about."""
    if not error.problems:
        form.add_error(None, error.message)
    for problem in error.problems:
        field = _FIELDS.get(problem.path)
        form.add_error(field if field in form.fields else None, problem.message)
