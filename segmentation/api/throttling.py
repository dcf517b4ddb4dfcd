"""How many requests a key may make."""

from __future__ import annotations

import time
from math import ceil

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from segmentation.models import ApiKey
from segmentation.services.api_keys import count_request

DEFAULT_RATE = "6000/minute"
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def parse_rate(rate: str) -> tuple[int, int]:
    """`"100/minute"` as (requests, seconds). Raises ValueError for anything else."""
    count, _slash, unit = rate.partition("/")
    if unit not in _SECONDS or not count.isdecimal() or int(count) < 1:
        raise ValueError(f"{rate!r} is no rate; write for example 600/minute")
    return int(count), _SECONDS[unit]


class ApiKeyThrottle(BaseThrottle):
    """At most `settings.API_THROTTLE_RATE` requests of one key in each stretch of time.

    The stretches are fixed (each minute, each hour) and counted in the database, over all
    processes. Reads the real clock.
    """

    def __init__(self) -> None:
        self._remaining: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, ApiKey):
            return True
        most, seconds = parse_rate(getattr(settings, "API_THROTTLE_RATE", DEFAULT_RATE))
        now = time.time()
        stretch = int(now // seconds)
        if count_request(request.auth, stretch=stretch) <= most:
            return True
        self._remaining = (stretch + 1) * seconds - now
        return False

    def wait(self) -> float | None:
        """Seconds until the next stretch begins, whole and at least 1."""
        return None if self._remaining is None else max(1, ceil(self._remaining))
