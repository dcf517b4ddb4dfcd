"""Recording of facts: files (`import_file`) and API rows (`record_rows`), by the same rules."""

from .chunks import FileRefused, Refusal
from .imports import Progress, import_file
from .recording import Counts
from .records import RowResult, RowResults, record_rows

__all__ = [
    "Counts",
    "FileRefused",
    "Progress",
    "Refusal",
    "RowResult",
    "RowResults",
    "import_file",
    "record_rows",
]
