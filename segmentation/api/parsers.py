"""JSON in, without losing a digit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import IO, Any, NoReturn

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

DEFAULT_MAX_BODY_BYTES = 20 * 1024 * 1024
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_NUMBER = 100  # digits and exponent; far beyond any amount, far below what costs memory


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class ExactJSONParser(BaseParser):
    """Numbers with a point become `Decimal`; NaN, Infinity and repeated keys are refused.

    A body above `settings.API_MAX_BODY_BYTES` is 413 `too_large`, before it is read whole.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        most = getattr(settings, "API_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES)
        body = stream.read(most + 1)
        if len(body) > most:
            raise BodyTooLarge(_("Send at most %(most)s bytes at a time.") % {"most": most})
        try:
            text = body.decode("utf-8")
            found = json.loads(
                text,
                parse_float=_decimal,
                parse_int=_integer,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
            if _HALF_CHARACTER.search(text):
                # Half a character can be neither stored nor sent back.
                json.dumps(found, ensure_ascii=False, default=str).encode()
            return found
        except RecursionError:
            raise ParseError(_("This is no JSON: nested too deeply.")) from None
        except ValueError as error:
            raise ParseError(_("This is no JSON: %(why)s") % {"why": error}) from None


def _decimal(text: str) -> Decimal:
    number = Decimal(text)
    if len(text) > _LONGEST_NUMBER or abs(number.adjusted()) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return number


def _integer(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    return int(text)


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found
