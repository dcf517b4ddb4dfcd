"""Reading the definitions document (docs/definitions.md) with all problems at once."""

from .catalog import build_catalog, read_document, read_entries, read_section
from .entries import Entry, Use
from .loading import load_text, load_value
from .place import Place, Report, pointer
from .rules import Scope, read_rule
from .stored import read_stored

__all__ = [
    "Entry",
    "Place",
    "Report",
    "Scope",
    "Use",
    "build_catalog",
    "load_text",
    "load_value",
    "pointer",
    "read_document",
    "read_entries",
    "read_rule",
    "read_section",
    "read_stored",
]
