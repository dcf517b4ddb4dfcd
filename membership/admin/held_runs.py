"""The decision about a held run: what it would do, and a page each to release and to reject it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget

from config import clock
from membership.models import Transition
from membership.services.held_runs import (
    LONGEST_REASON,
    Move,
    held_moves,
    reject_run,
    release_run,
)
from segmentation.admin import shown
from segmentation.admin.definition_parts import related_link
from segmentation.admin.held_words import reasons_table, segment_rows, told_findings
from segmentation.admin.log_lines import told
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Run
from segmentation.permissions import RELEASE_RUN, hidden_words, row_scope
from segmentation.services.relations import relations

from .wording import KIND_COLOURS, tier_names

RELEASE, REJECT = "release", "reject"
_MOST_SEGMENTS = 10  # whose dependents are listed
_KINDS = dict(Transition.Kind.choices)


class DecisionForm(forms.Form):
    """Why."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy("Kept with the run and your name."),
    )


@dataclass(frozen=True)
class HeldPanel:
    """What a run's page says about its being held; `decision` "" while nobody has decided.
    `is_dry`: it is a dry run, that would be held."""

    is_held: bool
    is_dry: bool
    tables: tuple[shown.Table, ...]
    may_decide: bool
    published: str
    decision: str = ""
    by: str = ""
    at: str = ""
    reason: str = ""


def held_panel(run: Run, *, request: HttpRequest) -> HeldPanel | None:
    """The panel of a run that is or was held, or of a dry run that would be."""
    if not run.held_reasons:
        return None
    user = request.user
    is_held = run.status == Run.Status.HELD
    base = run.base_run
    return HeldPanel(
        is_held=is_held,
        is_dry=run.is_dry_run,
        tables=(
            reasons_table(run, user=user),
            *(_consequences(run, user=user) if is_held else ()),
        ),
        may_decide=is_held and user.has_perm(RELEASE_RUN),
        published="" if base is None else shown.instant(base.as_of),
        decision=run.get_decision_display() if run.decision else "",
        by=run.decided_by or shown.EMPTY,
        at=shown.instant(run.decided_at),
        reason=told(run.decision_reason, words=hidden_words(user)) or shown.EMPTY,
    )


def _consequences(run: Run, *, user: Any) -> tuple[shown.Table, ...]:
    if row_scope(user) is not None:
        return ()
    return (*_dependents(run, user=user), _moves(run))


def _dependents(run: Run, *, user: Any) -> tuple[shown.Table, ...]:
    """What uses the segments that are out of range."""
    named = segment_rows(told_findings(run, user=user))
    rows = []
    for row in list(named.values())[:_MOST_SEGMENTS]:
        for used in relations(Ref("segment", row.key), viewer=user).used_by:
            rows.append((shown.label(row), related_link(used, user=user)))
    if not named:
        return ()
    return (
        shown.Table(
            _("What depends on these segments"),
            (_("segment"), _("used by")),
            rows,
            empty=_("Nothing uses it."),
        ),
    )


def _moves(run: Run) -> shown.Table:
    names = tier_names()
    return shown.Table(
        _("Tier changes it would make"),
        (_("program"), _("what"), _("from"), _("to"), _("number of customers")),
        [_move(move, names) for move in held_moves(run)],
        empty=_("None: everybody keeps their tier."),
        note=_("Nothing of this has happened yet."),
        numeric=frozenset({4}),
    )


def _move(move: Move, names: dict[tuple[str, str], tuple[str, str]]) -> tuple[Any, ...]:
    def tier(key: str) -> str:
        return names.get((move.program, key), ("", key or shown.EMPTY))[1]

    programs = {program: label for (program, _tier), (label, _name) in names.items()}
    return (
        programs.get(move.program, move.program),
        shown.badge(
            _KINDS.get(move.kind, move.kind), colour=KIND_COLOURS.get(move.kind, "default")
        ),
        tier(move.before),
        tier(move.after),
        shown.count(move.customers),
    )


def decision_view(request: HttpRequest, run_id: int, act: str, *, site: AdminSite) -> HttpResponse:
    """Asks for the reason, and decides. Sent twice, the form decides once."""
    user = request.user
    if not user.has_perm(RELEASE_RUN) or not user.has_perm("segmentation.view_run"):
        raise PermissionDenied
    assert isinstance(user, User)  # behind the log-in
    run = Run.objects.filter(pk=run_id).first()
    if run is None or run.is_dry_run or not run.held_reasons:
        raise Http404
    page = reverse("admin:segmentation_run_change", args=[run.pk])
    form = DecisionForm(request.POST or None)
    status = 200
    if request.method == "POST" and form.is_valid():
        decide = release_run if act == RELEASE else reject_run
        try:
            reason = form.cleaned_data["reason"]
            decide(run.pk, user=user, reason=reason, now=clock.real_now())
        except NotFoundError:
            raise Http404 from None
        except TierwiseError as error:
            form.add_error(None, error.message)
            status = 409
        else:
            messages.success(request, _done(act))
            return HttpResponseRedirect(page)
    elif request.method != "POST" and run.status != Run.Status.HELD:
        return HttpResponseRedirect(page)  # decided since the button was drawn
    context = {
        **site.each_context(request),
        "title": _("Release the run") if act == RELEASE else _("Reject the run"),
        "subtitle": f"{run.pk} · {shown.instant(run.as_of)}",
        "act": act,
        "run": run,
        "back": page,
        "form": form,
        "published": shown.instant(run.base_run.as_of if run.base_run else None),
        "as_of": shown.instant(run.as_of),
        "tables": (reasons_table(run, user=user), *_consequences(run, user=user)),
        "opts": Run._meta,
    }
    return TemplateResponse(request, "admin/runs/decide.html", context, status=status)


def _done(act: str) -> str:
    if act == RELEASE:
        return _("Released: what the run found is published now.")
    return _("Rejected: the last published result stays.")
