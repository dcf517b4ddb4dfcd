"""What several export sources share: customers' columns and cells, the run that answers, and the
lines that say what its figures depend on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from segmentation.domain.definitions import Catalog, FactMetric
from segmentation.domain.errors import NotFoundError
from segmentation.domain.row_numbers import row_number
from segmentation.domain.windows import resolve
from segmentation.models import Customer, Run
from segmentation.permissions import visible_customers
from segmentation.queries import newest_published_run

from .exporting import ExportColumn, ExportScope
from .spreadsheets import Cell, Row
from .wording import in_language, interval_words, named, window_words

_CHUNK = 2000

# (column of the model, title, is it personal data)
_CUSTOMER = (
    ("external_id", gettext_lazy("Customer ID"), False),
    ("name", gettext_lazy("Customer name"), True),
    ("phone", gettext_lazy("Phone"), True),
    ("email", gettext_lazy("E-mail"), True),
    ("birth_date", gettext_lazy("Birth date"), True),
    ("gender", gettext_lazy("Gender"), False),
    ("city", gettext_lazy("City"), False),
    ("region", gettext_lazy("Region"), False),
    ("channel", gettext_lazy("Channel"), False),
    ("home_store", gettext_lazy("Home store"), False),
    ("registered_at", gettext_lazy("Registered at"), False),
    ("consent_marketing", gettext_lazy("Consents to marketing"), False),
)
CUSTOMER_COLUMNS = tuple(
    ExportColumn(name, title, is_personal=personal) for name, title, personal in _CUSTOMER
)
CUSTOMER_FIELDS = tuple(name for name, _title, _personal in _CUSTOMER)


def exported_customers(scope: ExportScope) -> QuerySet[Customer]:
    """The customers this person may have rows of; nobody who was erased."""
    return visible_customers(scope.user)


def customer_rows(
    members: Iterable[tuple[int, Sequence[Cell]]], *, scope: ExportScope
) -> Iterator[Row]:
    """One row for each of these customers that this person may see.

    `members` are bitmap positions, each with the cells that follow the customer's own; their order
    is rising within a portion. Memory holds one portion at a time.
    """
    customers = exported_customers(scope)
    waiting = iter(members)
    while portion := dict(islice(waiting, _CHUNK)):
        found = customers.filter(ordinal__in=list(portion)).order_by("ordinal")
        for ordinal, *cells in found.values_list("ordinal", *CUSTOMER_FIELDS):
            yield (*cells, *portion[ordinal])


def answering_run(parameters: Mapping[str, Any]) -> Run:
    """The run named in the parameters, else the newest published one. Raises NotFoundError."""
    asked = parameters.get("run")
    if asked is None:
        run = newest_published_run()
    else:
        ready = Run.objects.filter(status__in=(Run.Status.PUBLISHED, Run.Status.HISTORICAL))
        number = row_number(str(asked))
        run = None if number is None else ready.filter(pk=number).first()
    if run is None:
        raise NotFoundError(_("No run has published this yet."))
    return run


def run_lines(run: Run) -> list[tuple[str, Cell]]:
    """As-of and number of the run."""
    return [(_("As of"), run.as_of), (_("Run"), run.pk)]


def metric_lines(
    run: Run, catalog: Catalog, keys: Iterable[str], *, zone: ZoneInfo
) -> list[tuple[str, Cell]]:
    """The interval of each metric, with both ends at the run's as-of; formulas have none."""
    lines: list[tuple[str, Cell]] = []
    for key in keys:
        metric = catalog.metrics.get(key)
        if isinstance(metric, FactMetric):
            ends = interval_words(resolve(metric.window, as_of=run.as_of, zone=zone), zone=zone)
            name = _("Interval of “%(metric)s”") % {"metric": in_language(metric.label)}
            lines.append((name, named(window_words(metric.window), ends)))
    return lines


def label_column() -> str:
    """The column of names in the language of now."""
    return "label_zh_hans" if (get_language() or "").startswith("zh") else "label_en"
