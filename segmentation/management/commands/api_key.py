"""`api_key create NAME --scopes a,b [--stores a,b]`, `api_key list`, `api_key revoke NAME`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.management.base import ContractCommand
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key, list_api_keys, revoke_api_key


class Command(ContractCommand):
    help = "Make, list and revoke the API keys of outside systems."
    is_audited = True

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=("create", "list", "revoke"))
        parser.add_argument("name", nargs="?", help="the key's name (create, revoke)")
        parser.add_argument(
            "--scopes",
            default="",
            metavar="A,B",
            help=f"create: what the key may do, separated by commas: {', '.join(SCOPES)}",
        )

        parser.add_argument(
            "--stores",
            metavar="A,B",
            help="create: the key reads only customers of these home stores, separated by commas",
        )

    def answer(self, **options: Any) -> Mapping[str, Any]:
        act, name = options["act"], options["name"]
        if act == "list":
            return {"keys": [_shown(asdict(record)) for record in list_api_keys()]}
        if not name:
            problem = Problem("/name", "required", f"Write: api_key {act} NAME")
            raise TierwiseError("The name of the key is missing.", problems=(problem,))
        if act == "revoke":
            return _shown(asdict(revoke_api_key(name)))
        stores = None if options["stores"] is None else _words(options["stores"])
        made = create_api_key(name, scopes=_words(options["scopes"]), home_stores=stores)
        return {"name": made.name, "key": made.key}

    def show(self, document: Mapping[str, Any]) -> None:
        if "key" in document:
            self.stdout.write(f"{document['name']}: {document['key']}")
            self.stdout.write("Keep it safe: it is shown only once.")
            return
        for record in document.get("keys", [document]):
            state = "revoked" if record["revoked"] else "in use"
            scopes = ",".join(record["scopes"])
            stores = record["home_stores"]
            only = "" if stores is None else f"  stores {','.join(stores)}"
            self.stdout.write(f"{record['prefix']}  {record['name']}  {state}  {scopes}{only}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    stores = record["home_stores"]
    return {
        **record,
        "scopes": list(record["scopes"]),
        "created": record["created"].isoformat(),
        "home_stores": None if stores is None else list(stores),
    }
