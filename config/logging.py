"""Logging: structured lines on standard error, with personal data and keys masked."""

from __future__ import annotations

import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

MASK = "***"
_SECRET_NAMES = re.compile(
    r"pass(word|wd)?$|secret|token|authorization|cookie|api_?key|phone|e_?mail|unionid|external_userid",
    re.IGNORECASE,
)
_PATTERNS = (
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), MASK),  # an e-mail address
    (re.compile(r"\b[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}\b"), MASK),  # an API key
    (re.compile(r"(?i)\b(bearer|api-key)\s+\S+"), rf"\1 {MASK}"),
    (re.compile(r"(://[^:/@\s]*):[^@/\s]+@"), rf"\1:{MASK}@"),  # the password in a URL
    # A mainland China mobile number, or any number in the international form.
    (re.compile(r"(?<![\w.:-])(?:\+?86[ -]?)?1[3-9]\d{9}(?![\w.:-])"), MASK),
    (re.compile(r"(?<!\w)\+\d{1,3}[ -]?\d(?:[ -]?\d){6,12}(?!\w)"), MASK),
)


def masked(text: str) -> str:
    """`text` without e-mail addresses, telephone numbers, keys and passwords."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _masked_value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return MASK if _SECRET_NAMES.search(name) else masked(value)
    if isinstance(value, dict):
        return {key: _masked_value(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked_value(name, inner) for inner in value]
    if _SECRET_NAMES.search(name) and value is not None and not isinstance(value, bool):
        return MASK
    return value


def mask_personal(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """structlog processor: masks every value of the event."""
    for name, value in event.items():
        if not name.startswith("_"):
            event[name] = _masked_value("" if name == "event" else name, value)
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configuration(*, level: str, is_terminal: bool | None = None) -> dict[str, Any]:
    """The LOGGING setting: readable lines on a terminal, JSON lines elsewhere."""
    terminal = sys.stderr.isatty() if is_terminal is None else is_terminal
    # The traceback is text before it is masked: a message in it may quote a customer.
    renderer: list[Any] = [structlog.processors.format_exc_info, mask_personal]
    renderer.append(
        structlog.dev.ConsoleRenderer(colors=True)
        if terminal
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderer,
                ],
                "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder(allow={"status_code"})],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"level": level, "handlers": [], "propagate": True},
            "django.server": {"level": level, "handlers": [], "propagate": True},
            "celery.app.trace": {"level": "WARNING" if level == "INFO" else level},
            "celery.beat": {"level": "WARNING" if level == "INFO" else level},
            "django_celery_beat": {"level": "WARNING" if level == "INFO" else level},
            "axes": {"level": "WARNING"},
        },
    }


def set_up_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
