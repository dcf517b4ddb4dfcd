"""Personal data as screens and answers show it: enough to recognise, too little to use."""

from __future__ import annotations

_BLOT = "••••"


def mask_phone(phone: str) -> str:
    """The first three and last two characters of a long number, else nothing of it.

    >>> mask_phone("13812345678")
    '138••••78'
    """
    return f"{phone[:3]}{_BLOT}{phone[-2:]}" if len(phone) >= 9 else _BLOT


def mask_email(address: str) -> str:
    """The first character and the domain.

    >>> mask_email("li.lei@example.com")
    'l••••@example.com'
    """
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}{_BLOT}@{domain}" if at else _BLOT


def mask_id(identifier: str) -> str:
    """The last four characters of a long id, else nothing of it."""
    return f"{_BLOT}{identifier[-4:]}" if len(identifier) >= 12 else _BLOT
