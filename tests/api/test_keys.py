"""The `api_key` command and its service."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from segmentation.domain.errors import TierwiseError
from segmentation.models import ApiKey
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key, list_api_keys, revoke_api_key

pytestmark = pytest.mark.django_db


def run(*args: str) -> Any:
    out = io.StringIO()
    call_command("api_key", *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def failed(*args: str) -> Any:
    out = io.StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("api_key", *args, "--json", stdout=out)
    assert caught.value.code == 1
    return json.loads(out.getvalue())


def test_create_shows_the_key_once_and_stores_a_hash() -> None:
    made = run("create", "till", "--scopes", "facts:write, members:read,facts:write")
    assert list(made) == ["name", "key"]
    stored = ApiKey.objects.get()
    assert (stored.name, stored.scopes) == ("till", ["facts:write", "members:read"])
    secret = made["key"].partition(".")[2]
    assert secret not in json.dumps([str(value) for value in vars(stored).values()])
    listed = run("list")
    assert listed == {
        "keys": [
            {
                "name": "till",
                "prefix": made["key"][:8],
                "scopes": ["facts:write", "members:read"],
                "created": stored.created.isoformat(),
                "revoked": False,
                "home_stores": None,
            }
        ]
    }


def test_revoke_frees_the_name_and_is_for_good() -> None:
    first = run("create", "till", "--scopes", "facts:write")
    assert run("revoke", "till")["revoked"] is True
    assert failed("revoke", "till")["code"] == "not_found"
    second = run("create", "till", "--scopes", "facts:write")
    assert [(key["prefix"], key["revoked"]) for key in run("list")["keys"]] == [
        (first["key"][:8], True),
        (second["key"][:8], False),
    ]
    assert ApiKey.objects.is_valid(first["key"]) is False
    assert ApiKey.objects.is_valid(second["key"]) is True


def test_a_name_is_unique_among_keys_in_use() -> None:
    create_api_key("till", scopes=["facts:write"])
    error = failed("create", "till", "--scopes", "facts:write")
    assert (error["code"], error["details"]) == ("name_taken", [])
    assert ApiKey.objects.count() == 1


def test_all_wrong_scopes_are_named_with_the_right_ones() -> None:
    error = failed("create", "till", "--scopes", "facts:read,facts:write,all")
    assert error["code"] == "invalid"
    assert [(each["path"], each["code"]) for each in error["details"]] == [
        ("/scopes/0", "unknown_scope"),
        ("/scopes/2", "unknown_scope"),
    ]
    assert all(scope in error["details"][0]["message"] for scope in SCOPES)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (["create", "till"], "/scopes"),
        (["create", "till", "--scopes", " , "], "/scopes"),
        (["create", " ", "--scopes", "facts:write"], "/name"),
        (["create", "x" * 51, "--scopes", "facts:write"], "/name"),
        (["create", "a\nb", "--scopes", "facts:write"], "/name"),
        (["create", "--scopes", "facts:write"], "/name"),
        (["revoke"], "/name"),
    ],
)
def test_what_is_missing_is_said(args: list[str], path: str) -> None:
    error = failed(*args)
    assert error["code"] == "invalid"
    assert [each["path"] for each in error["details"]] == [path]
    assert not ApiKey.objects.exists()


def test_people_see_the_key_and_then_only_its_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("api_key", "create", "till", "--scopes", "facts:write")
    shown = capsys.readouterr().out
    prefix, secret = shown.split(": ", 1)[1].splitlines()[0].split(".")
    call_command("api_key", "list")
    listed = capsys.readouterr().out
    assert listed == f"{prefix}  till  in use  facts:write\n"
    assert secret not in listed


def test_services_refuse_an_unknown_name() -> None:
    with pytest.raises(TierwiseError, match="no key named nobody"):
        revoke_api_key("nobody")
    assert list_api_keys() == ()


def test_a_row_scope_is_given_with_the_key() -> None:
    run("create", "store", "--scopes", "customers:read", "--stores", "S2, S1,S2")
    assert ApiKey.objects.get().home_stores == ["S2", "S1"]
    assert run("list")["keys"][0]["home_stores"] == ["S2", "S1"]
    out = io.StringIO()
    call_command("api_key", "list", stdout=out)
    assert out.getvalue().rstrip().endswith("in use  customers:read  stores S2,S1")


def test_a_row_scope_of_no_store_is_none() -> None:
    document = failed("create", "store", "--scopes", "customers:read", "--stores", " ,")
    assert [(each["path"], each["code"]) for each in document["details"]] == [
        ("/stores", "required")
    ]
    with pytest.raises(TierwiseError) as caught:
        create_api_key("store", scopes=["customers:read"], home_stores=["S1", "a\x00", " "])
    assert [(each.path, each.code) for each in caught.value.problems] == [
        ("/stores/1", "invalid_store"), ("/stores/2", "invalid_store"),
    ]  # fmt: skip
    assert not ApiKey.objects.exists()
