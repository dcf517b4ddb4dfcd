"""Instants as people and programs write them: on the command line and in requests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.windows import local_midnight

# Room on both sides for windows, time zones and validities.
_YEARS = range(2, 9990)


def instant(text: str, *, path: str) -> datetime:
    """An ISO time; without offset in the project's zone, a date alone is its local midnight.

    In UTC. Raises TierwiseError for anything else, and outside the years 2 to 9989.
    """
    try:
        found = _instant(text, path=path).astimezone(UTC)
        if found.year in _YEARS:
            return found
    except OverflowError:
        pass
    message = _("%(text)s lies outside the years %(first)s to %(last)s") % {
        "text": text,
        "first": _YEARS[0],
        "last": _YEARS[-1],
    }
    raise _refusal(Problem(path, "out_of_range", message))


def _instant(text: str, *, path: str) -> datetime:
    zone = ZoneInfo(settings.TIME_ZONE)
    try:
        if len(text) == 10:
            return local_midnight(date.fromisoformat(text), zone)
        parsed = datetime.fromisoformat(text)
    except ValueError:
        message = _("%(text)s is no ISO time such as 2018-01-01T00:00") % {"text": repr(text)}
        raise _refusal(Problem(path, "wrong_type", message)) from None
    if parsed.tzinfo is not None:
        return parsed
    local = parsed.replace(tzinfo=zone)
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != parsed:
        message = _("%(text)s does not exist in %(zone)s") % {"text": text, "zone": zone.key}
        raise _refusal(Problem(path, "nonexistent_time", message))
    return local


def _refusal(problem: Problem) -> TierwiseError:
    return TierwiseError(_("The arguments are not valid."), problems=(problem,))
