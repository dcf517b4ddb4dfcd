"""Where jobs and the access log name a person who is erased: another name takes the place."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import pgtrigger
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from segmentation.models import AccessRecord, Customer, Job


def forget_samples(customer: Customer) -> None:
    """Reports on data quality name orders that look alike, with the customer's."""
    about = [{"customer_pk": customer.pk}]
    reports = Job.objects.filter(kind="data_quality", result__duplicates__sample__contains=about)
    for job in reports.select_for_update().order_by("pk"):
        duplicates = job.result["duplicates"]
        duplicates["sample"] = [
            each for each in duplicates["sample"] if each.get("customer_pk") != customer.pk
        ]
        Job.objects.filter(pk=job.pk).update(result=job.result)


def forget_mentions(names: Collection[str], *, reference: str) -> None:
    """What jobs found and were asked for, and the details of looks: the sample of a preview, an
    explanation, the search of an export."""
    with pgtrigger.ignore("segmentation.AccessRecord:append_only"):
        for model, column in ((Job, "result"), (Job, "parameters"), (AccessRecord, "details")):
            rows = model._default_manager.annotate(text=Cast(column, TextField()))
            named = Q()
            for name in names:
                named |= Q(text__contains=json.dumps(name, ensure_ascii=False))
            found = rows.filter(named).select_for_update().order_by("pk")  # a worker may write, too
            for pk, document in found.values_list("pk", column):
                kept = _renamed(document, names, reference)
                model._default_manager.filter(pk=pk).update(**{column: kept})


# Where a person is named. The same text elsewhere is something else: customers' ids may be numbers,
# and so are a rule's values and the numbers of programs and runs.
_NAMING = frozenset({"sample", "customer", "customer_id", "q", "subject", "reason"})


def _renamed(value: Any, names: Collection[str], reference: str, *, is_naming: bool = False) -> Any:
    """A JSON value with another name in the place of these, where it names a person. A definition
    names none."""
    if isinstance(value, dict):
        return {
            key: each
            if key == "document"
            else _renamed(each, names, reference, is_naming=_is_naming(key, value))
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_renamed(each, names, reference, is_naming=is_naming) for each in value]
    return reference if is_naming and isinstance(value, str) and value in names else value


def _is_naming(key: str, beside: Mapping[str, Any]) -> bool:
    """Whether this key's text names a person; who asked for looks may have asked about a run."""
    if key == "subject" and beside.get("subject_kind"):
        return bool(beside["subject_kind"] == "customer")
    return key in _NAMING
