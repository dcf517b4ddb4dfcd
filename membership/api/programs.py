"""`GET programs`, `programs/{key}`: published terms, in the language of `Accept-Language`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now
from membership.services.definitions import current_programs
from membership.services.member_view import newest_look
from membership.services.terms import ProgramTerms, VersionTerms, program_terms
from segmentation.api.instants import shown_instant
from segmentation.api.labels import label_text
from segmentation.api.pagination import PAGE_PARAMETERS, next_address, page_of
from segmentation.api.parameters import Parameters
from segmentation.api.schema import LANGUAGE, PAGE, errors, key_parameter, pages_of
from segmentation.api.trouble import RunTrouble
from segmentation.api.views import ApiView
from segmentation.services.definitions import current_catalog

from .memberships import trouble_since


class TermLength(serializers.Serializer[Any]):
    years = serializers.IntegerField()
    months = serializers.IntegerField()
    days = serializers.IntegerField()


class Threshold(serializers.Serializer[Any]):
    metric = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    unit = serializers.ChoiceField(choices=["money", "count", "days", "ratio"])
    cmp = serializers.ChoiceField(choices=["gte", "gt"])
    value = serializers.CharField()


class TierRow(serializers.Serializer[Any]):
    key = serializers.CharField()
    rank = serializers.IntegerField(help_text="1 is the lowest")
    label = serializers.CharField()  # type: ignore[assignment]
    condition = serializers.CharField(help_text="what the tier asks for, in a sentence")
    thresholds = Threshold(
        many=True, allow_null=True, help_text="the same as data; null where it is no list of them"
    )


class VersionRow(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    effective_from = serializers.DateField()
    qualification = serializers.ChoiceField(
        choices=["rolling", "calendar_year", "anniversary"], help_text="the period"
    )
    upgrade = serializers.ChoiceField(choices=["immediate", "period_end"])
    keep_for = TermLength(allow_null=True, help_text="null: a tier is held for good")
    grace = TermLength()
    downgrade = serializers.ChoiceField(choices=["one_level", "by_value"])
    tiers = TierRow(many=True)


class ProgramRow(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    timezone = serializers.CharField()
    version = VersionRow(allow_null=True, help_text="in force now; null: none yet")
    announced = VersionRow(many=True, help_text="published, in force later")
    last_good_as_of = serializers.DateTimeField(
        allow_null=True, help_text="of the newest published run, if it looked at the program"
    )
    last_error = RunTrouble(allow_null=True, help_text="null when all is well")


_TERM = {"years": 0, "months": 12, "days": 0}
_EXAMPLE: dict[str, Any] = {
    "key": "gold",
    "label": "Gold Club",
    "timezone": "Asia/Shanghai",
    "version": {
        "number": 1,
        "effective_from": "2017-01-01",
        "qualification": "rolling",
        "upgrade": "immediate",
        "keep_for": _TERM,
        "grace": {"years": 0, "months": 0, "days": 30},
        "downgrade": "one_level",
        "tiers": [
            {
                "key": "gold",
                "rank": 1,
                "label": "Gold",
                "condition": "Net spend (last 365 days, today included): at least 10000",
                "thresholds": [
                    {
                        "metric": "net_spend_365d",
                        "label": "Net spend",
                        "unit": "money",
                        "cmp": "gte",
                        "value": "10000",
                    }
                ],
            }
        ],
    },
    "announced": [],
    "last_good_as_of": "2018-01-01T00:00:00+08:00",
    "last_error": None,
}


class Programs(ApiView):
    """The living programs by key, with the terms in force and those announced."""

    scope = "members:read"

    @extend_schema(
        operation_id="programs",
        parameters=[*PAGE, LANGUAGE],
        responses={200: pages_of("ProgramPage", ProgramRow), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, known=PAGE_PARAMETERS)
        limit, after = parameters.limit(), parameters.cursor(str)
        parameters.check()
        programs = [each for each in current_programs() if after is None or each.key > after[0]]
        page = page_of(programs[: limit + 1], limit=limit)
        catalog, at, standing = current_catalog(), now(), _standing()
        return Response(
            {
                "next": next_address(request, page, cursor=lambda program: (program.key,)),
                "results": [
                    _document(program_terms(program, catalog=catalog, now=at), standing)
                    for program in page.rows
                ],
            }
        )


class OneProgram(ApiView):
    """The published terms of one program."""

    scope = "members:read"

    @extend_schema(
        operation_id="program",
        parameters=[key_parameter(), LANGUAGE],
        responses={200: ProgramRow, **errors(404, 422)},
        examples=[OpenApiExample("gold", value=_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, key: str) -> Response:
        Parameters(request, known=()).check()
        found = next((each for each in current_programs() if each.key == key), None)
        if found is None:
            raise Http404
        terms = program_terms(found, catalog=current_catalog(), now=now())
        return Response(_document(terms, _standing()))


@dataclass(frozen=True, slots=True)
class _Standing:
    """How current the tiers are: the newest published run and what went wrong since."""

    as_of: str | None
    looked_at: frozenset[str]
    trouble: dict[str, Any] | None


def _standing() -> _Standing:
    run, looked_at = newest_look()
    as_of = None if run is None else shown_instant(run.as_of)
    return _Standing(as_of, looked_at, trouble_since(run))


def _document(terms: ProgramTerms, standing: _Standing) -> dict[str, Any]:
    return {
        "key": terms.key,
        "label": label_text(terms.label),
        "timezone": terms.timezone,
        "version": None if terms.current is None else _version(terms.current),
        "announced": [_version(version) for version in terms.announced],
        "last_good_as_of": standing.as_of if terms.key in standing.looked_at else None,
        "last_error": standing.trouble,
    }


def _version(version: VersionTerms) -> dict[str, Any]:
    return {
        "number": version.number,
        "effective_from": version.effective_from.isoformat(),
        "qualification": version.period,
        "upgrade": version.upgrade,
        "keep_for": None if version.keep_for is None else asdict(version.keep_for),
        "grace": asdict(version.grace),
        "downgrade": version.downgrade,
        "tiers": [
            {
                "key": tier.key,
                "rank": tier.rank,
                "label": label_text(tier.label),
                "condition": tier.condition,
                "thresholds": None if tier.thresholds is None else list(tier.thresholds),
            }
            for tier in version.tiers
        ],
    }
