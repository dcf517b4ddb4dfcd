"""Finding a customer by what support is told: id, name, phone, e-mail."""

from __future__ import annotations

import re

from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat, Lower, Right

from segmentation.models import Customer

SHORTEST = 2  # a single character finds nothing but a whole id: it would name thousands
_FEW = 20_000
_END = 4  # digits at the end of a phone that have an index
_PHONE = re.compile(r"[+\d][\d\s().-]*")


def find_customers(customers: QuerySet[Customer], *, term: str) -> QuerySet[Customer]:
    """Those whose id starts with `term`, whose name does, whose phone is it or ends in its four
    digits, or whose e-mail it is; and the one into whom the id `term` was merged.

    Every comparison has an index, so a search costs what it finds. Ids are compared byte for byte;
    names also as people write them (ROWAN, rowan, Rowan); of a phone only the digits count, with
    or without the country code; e-mails without case.
    """
    term = term.replace("\x00", "").strip()
    if not term:
        return customers
    survivor = _merged_into(term)
    if len(term) < SHORTEST:
        return customers.filter(Q(external_id=term) | survivor)
    found = Q(external_id__startswith=term) | survivor
    for start in _spellings(term):
        found |= Q(name__startswith=start)
    exact = _by_contact(customers, term)
    if exact is not None:
        # Read first: the planner knows nothing of how rare an e-mail or four digits are, and would
        # rather walk through everybody in the order of the list.
        found |= Q(pk__in=list(exact.order_by().values_list("pk", flat=True)))
    return customers.filter(found)


def _merged_into(term: str) -> Q:
    """By row: read first, as below, because a subquery would keep the indexes from being used."""
    aliases = Customer.objects.filter(external_id=term, merged_into__isnull=False)
    return Q(pk__in=list(aliases.values_list("merged_into", flat=True)))


def in_id_order(found: QuerySet[Customer]) -> QuerySet[Customer]:
    """What was found, by id, at the cost of what was found; one short query more.

    Asked for the first page of some thousands among a million, the planner walks through everybody
    by id until the page is full, which may be at the end. So few are gathered first and sorted.
    """
    if found.order_by()[: _FEW + 1].count() > _FEW:
        return found.order_by("external_id")
    # An expression: no index gives this order, so there is nothing to walk along.
    return found.order_by(Concat("external_id", Value("")))


def _by_contact(customers: QuerySet[Customer], term: str) -> QuerySet[Customer] | None:
    """Those whose e-mail or phone the term is; None when it is neither."""
    if "@" in term:
        folded = customers.alias(email_folded=Lower("email"))
        return folded.filter(email__isnull=False, email_folded=term.lower())
    digits = re.sub(r"\D", "", term)
    if len(digits) < _END or not _PHONE.fullmatch(term):
        return None
    ending = customers.alias(phone_end=Right("phone", _END))
    ending = ending.filter(phone__isnull=False, phone_end=digits[-_END:])
    if len(digits) == _END:
        return ending
    return ending.alias(phone_digits=_digits()).filter(phone_digits__endswith=digits)


def _spellings(term: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((term, term.lower(), term.upper(), term.title())))


def _digits() -> Func:
    return Func(
        F("phone"), Value(r"\D"), Value(""), Value("g"),
        function="regexp_replace", output_field=TextField(),
    )  # fmt: skip
