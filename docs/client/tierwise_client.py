"""A small client of the Tierwise API: one file, Python 3.11, the standard library only.

    client = Tierwise("https://tierwise.example.com", key="1a2B3c4D....")
    client.send_facts("orders", [{"order_id": "O1", "customer_id": "C1", ...}])
    for change in client.transitions(since=stored_since): ...

Copy it and change it. It shows what a caller should do: send facts in batches, follow pages by
their links, wait as long as `Retry-After` says, use an `Idempotency-Key` where something starts.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

Json = dict[str, Any]
ROWS_AT_ONCE = 5000


class ApiError(Exception):
    """An answer that is no success: `status`, a stable `code`, and each problem with its path."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {document.get('code')}: {document.get('message')}")
        self.status = status
        self.code = str(document.get("code", ""))
        self.details: list[Json] = list(document.get("details", []))


@dataclass(frozen=True)
class RowResult:
    """What became of one row that was sent."""

    index: int
    id: str | None
    status: str  # inserted, unchanged, updated, rejected
    code: str | None
    message: str | None


@dataclass(frozen=True)
class Transition:
    """One decision about one membership. Keep `id` of the last one: it is the next `since`."""

    id: int
    customer_id: str
    program: str
    kind: str
    from_tier: str | None
    to_tier: str | None
    at: str


class Tierwise:
    """The endpoints as methods. Raises ApiError; connection errors are `urllib.error.URLError`."""

    def __init__(
        self,
        address: str,
        *,
        key: str,
        language: str = "en",
        patience: float = 120,
        timeout: float = 30,
    ) -> None:
        """`patience`: how many seconds in all a throttled request is tried again."""
        if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
            raise ValueError(f"{address!r} is no address of a web server")
        self._base = address.rstrip("/") + "/api/v1/"
        self._key = key
        self._language = language
        self._patience = patience
        self._timeout = timeout

    def send_facts(self, kind: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[RowResult]:
        """Send rows of a kind (`orders`, `customers`, ...) in batches; what became of each row.

        Sending the same rows again changes nothing, so a batch without an answer can be repeated.
        """
        source, sent = iter(rows), 0
        while batch := list(islice(source, ROWS_AT_ONCE)):
            answer = self._call("POST", f"{kind}/bulk", body={"rows": batch})
            for row in answer["results"]:
                yield RowResult(**{**row, "index": sent + row["index"]})
            sent += len(batch)

    def customer(self, customer_id: str) -> Json | None:
        """What is known about a customer; None for an unknown (or erased) one."""
        found: Json | None = self._found(f"customers/{_quoted(customer_id)}")
        return found

    def memberships(self, customer_id: str) -> list[Json] | None:
        """The member's own view, to be shown to them; None for an unknown customer."""
        found: list[Json] | None = self._found(f"customers/{_quoted(customer_id)}/memberships")
        return found

    def object_to_decisions(self, customer_id: str) -> Json:
        """The customer objects to personalised decisions: at once. Returns the receipt."""
        return self._wish(customer_id, {"kind": "object"})

    def erase(self, customer_id: str) -> Json:
        """Ask for the erasure of the customer. Returns the receipt; `receipt` tells when done."""
        return self._wish(customer_id, {"kind": "erase", "confirm": customer_id})

    def receipt(self, receipt: str) -> Json:
        """How far a privacy request is."""
        found: Json = self._call("GET", f"privacy/{_quoted(receipt)}")
        return found

    def programs(self) -> Iterator[Json]:
        """Published terms, in the client's language."""
        return self._pages("programs")

    def members(self, segment: str, *, part: str = "members") -> Iterator[str]:
        """Ids of a segment's members at the newest run, or who `entered` or `left` with it."""
        for row in self._pages(f"segments/{_quoted(segment)}/members", part=part):
            yield str(row["customer_id"])

    def transitions(self, *, since: str | int | None = None) -> Iterator[Transition]:
        """All transitions after `since` (an id or an ISO time), the oldest first."""
        given = {} if since is None else {"since": str(since)}
        wanted = Transition.__dataclass_fields__
        for row in self._pages("transitions", **given):
            yield Transition(**{name: row[name] for name in wanted})

    def start_run(self, *, as_of: str | None = None, key: str | None = None) -> int:
        """Queue a recompute. The same `key` again gives the same run back. Returns its number."""
        body = {} if as_of is None else {"as_of": as_of}
        answer = self._call("POST", "runs", body=body, idempotency_key=key or uuid.uuid4().hex)
        return int(answer["run"])

    def run(self, number: int) -> Json:
        """How far a run is and what it found."""
        found: Json = self._call("GET", f"runs/{number}")
        return found

    def _wish(self, customer_id: str, body: Json) -> Json:
        path = f"customers/{_quoted(customer_id)}/privacy"
        found: Json = self._call("POST", path, body=body, idempotency_key=uuid.uuid4().hex)
        return found

    def _found(self, path: str) -> Any:
        try:
            return self._call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _pages(self, path: str, **parameters: str) -> Iterator[Json]:
        address = path + "?" + urllib.parse.urlencode({**parameters, "limit": "1000"})
        while True:
            page = self._call("GET", address)
            rows: Sequence[Json] = page["results"]
            yield from rows
            if page["next"] is None:
                return
            # Only what it asks for: the key goes to nobody but the address it belongs to.
            address = f"{path}?{urllib.parse.urlsplit(page['next']).query}"

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310  (the scheme was checked)
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Accept-Language": self._language,
                "Content-Type": "application/json",
            },
        )
        if idempotency_key is not None:
            request.add_header("Idempotency-Key", idempotency_key)
        until = time.monotonic() + self._patience
        while True:
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                wait = _wait(error)
                if wait is None or time.monotonic() + wait > until:
                    raise ApiError(error.code, _document(error)) from None
                error.close()
                time.sleep(wait)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _wait(error: urllib.error.HTTPError) -> float | None:
    """How long a throttled request has to wait; None for every other error."""
    return float(error.headers.get("Retry-After") or 1) if error.code == 429 else None


def _document(error: urllib.error.HTTPError) -> Json:
    with error:
        try:
            found = json.load(error)
        except ValueError:  # a proxy's page
            return {"code": "unreadable", "message": str(error.reason)}
    return found if isinstance(found, dict) else {}
