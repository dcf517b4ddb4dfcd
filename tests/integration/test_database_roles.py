"""The application works with a database role that can change no table (deploy/postgresql)."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.conftest import REPOSITORY, outside_environment

# The embedded server lets nobody in but its own account.
pytestmark = [pytest.mark.django_db, pytest.mark.services]
SCRIPTS = [REPOSITORY / "deploy/postgresql" / name for name in ("1-roles.sql", "2-rights.sql")]
DEFINITIONS = {
    "metrics": [
        {"key": "spend", "source": "orders", "unit": "money", "window": {"all": True},
         "aggregate": {"fn": "sum", "field": "net_amount"}}
    ],
    "segments": [
        {"key": "spenders", "purpose": "service", "visibility": "internal",
         "rule": {"metric": "spend", "cmp": "gte", "value": "100"}}
    ],
    "programs": [
        {"key": "club", "version": {
            "effective_from": "2026-01-01",
            "tiers": [{"key": "gold", "rank": 1,
                       "rule": {"metric": "spend", "cmp": "gte", "value": "100"}}]}}
    ],
}  # fmt: skip


class Server:
    """The server of the tests, with a database and two roles of this test's own."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.name = f"tierwise_{secrets.token_hex(4)}"
        given = connection.settings_dict
        self.host, self.port = str(given["HOST"]), str(given["PORT"] or 5432)
        self.superuser, self.postgres = str(given["USER"]), str(given["NAME"])

    def connect(self, *, user: str, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.host, port=self.port, user=user, dbname=database, autocommit=True
        )

    def script(self, path: Path) -> str:
        return path.read_text().replace("tierwise", self.name)

    def manage(self, user: str, *words: str) -> Any:
        """The JSON answer of a command that works as this role."""
        place = f"?host={self.host}&port={self.port}"
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env=outside_environment(self.var_dir)
            | {
                "DATABASE_URL": f"postgresql://{user}@/{self.name}{place}",
                "VAR_DIR": str(self.var_dir),
                "SECRET_KEY": "x" * 50,
                "TIME_ZONE": "Asia/Shanghai",
                "BASE_CURRENCY": "CNY",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "var")
    roles, rights = map(found.script, SCRIPTS)
    with found.connect(user=found.superuser, database=found.postgres) as root:
        for statement in filter(str.strip, roles.split(";")):
            root.execute(statement)  # type: ignore[arg-type]
    with found.connect(user=found.superuser, database=found.name) as root:
        root.execute(rights)  # type: ignore[arg-type]
    yield found
    with found.connect(user=found.superuser, database=found.postgres) as root:
        root.execute(f"DROP DATABASE {found.name} WITH (FORCE)")  # type: ignore[arg-type]
        for role in ("owner", "app"):
            root.execute(f"DROP ROLE {found.name}_{role}")  # type: ignore[arg-type]


def test_the_owner_sets_up_and_the_application_works(server: Server, tmp_path: Path) -> None:
    """Imports (COPY into temporary tables), definitions with their history, a run (mirror,
    advisory locks, exported snapshot, tier changes) and its verification; and no DDL."""
    owner, app = f"{server.name}_owner", f"{server.name}_app"
    server.manage(owner, "setup")
    definitions, orders = tmp_path / "definitions.json", tmp_path / "orders.csv"
    definitions.write_text(json.dumps(DEFINITIONS))
    rows = "".join(f"O{n},C{n},2026-01-10,{n}.00\n" for n in range(50, 150))
    orders.write_text(f"order_id,customer_id,placed_at,amount\n{rows}")
    server.manage(app, "apply", str(definitions), "--json")
    assert server.manage(app, "import", "orders", str(orders), "--json")["inserted"] == 100
    run = server.manage(app, "recompute", "--as-of", "2026-01-15", "--wait", "--json")
    assert (run["status"], run["segments"], run["programs"]) == (
        "published", {"spenders": 50}, {"club": {"gold": 50}},
    )  # fmt: skip
    assert server.manage(app, "verify_run", str(run["run"]), "--json")["equal"] is True
    with server.connect(user=app, database=server.name) as session:
        for forbidden in (
            "CREATE TABLE public.mine (n int)",
            "CREATE SCHEMA mine",
            "ALTER TABLE segmentation_run ADD COLUMN n int",
            "DROP TABLE segmentation_run",
            "ALTER TABLE membership_transition DISABLE TRIGGER ALL",
            "TRUNCATE membership_transition",
            "CREATE OR REPLACE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(forbidden)  # type: ignore[arg-type]


def test_after_a_restore_by_the_owner_the_application_works_on(
    server: Server, tmp_path: Path
) -> None:
    """The restore makes everything anew: what 2-rights.sql gave holds for that as well."""
    owner, app = f"{server.name}_owner", f"{server.name}_app"
    server.manage(owner, "setup")
    orders, file = tmp_path / "orders.csv", tmp_path / "backup"
    orders.write_text("order_id,customer_id,placed_at,amount\nO1,C1,2026-01-10,5.00\n")
    server.manage(app, "import", "orders", str(orders), "--json")
    server.manage(app, "backup", str(file))
    server.manage(owner, "restore", str(file), "--replace")
    orders.write_text("order_id,customer_id,placed_at,amount\nO2,C2,2026-01-10,5.00\n")
    assert server.manage(app, "import", "orders", str(orders), "--json")["inserted"] == 1
    run = server.manage(app, "recompute", "--as-of", "2026-01-15", "--wait", "--json")
    assert run["status"] == "published"
    with server.connect(user=app, database=server.name) as session:
        assert session.execute("SELECT count(*) FROM segmentation_order").fetchone() == (2,)
        for forbidden in ("TRUNCATE membership_transition", "CREATE TABLE public.mine (n int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(forbidden)
