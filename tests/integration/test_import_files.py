"""What a file may look like, and what refuses it whole."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command

from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Customer, FactBatch, Order, OrderLine
from segmentation.services.importing import FileRefused, csv_files, import_file
from tests.fixtures.fact_files import NOW, Importer

pytestmark = pytest.mark.django_db
HEADER = "order_id,customer_id,placed_at,amount"


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def call_import(importer: Importer, path: Path, *, rejects: Path) -> None:
    import_file(
        path, kind="orders", actor="operator", zone=importer.zone, base_currency="CNY", now=NOW,
        recorded_at=NOW, rejects=rejects,
    )  # fmt: skip


def test_lines_are_physical_and_raw_is_the_text(importer: Importer) -> None:
    text = (
        f"\ufeff{HEADER}\r\n"
        'O1,"C\n1",2024-01-01,1\r\n'
        "\r\n"
        'O2,"C\n2",2024-01-01,x\r\n'
        "O3,C3,2024-01-01\r\n"
        'O4,"C4,2024-01-01,1\r\n'
        "O5,C5,2024-01-01,5\r\n"
        'O6,"C"6,2024-01-01,1\r\n'
        "O7,C7,2024-01-01,1,\r\n"
        "O8,C8,2024-01-01,8"
    )
    result = importer.text("orders", text)
    assert result.counts == (3, 0, 0, 5)
    assert result.rejects == [
        (5, "bad_number"),
        (7, "column_count"),
        (8, "bad_csv"),
        (10, "bad_csv"),
        (11, "column_count"),
    ]
    assert result.raws == [
        'O2,"C\n2",2024-01-01,x',
        "O3,C3,2024-01-01",
        'O4,"C4,2024-01-01,1',
        'O6,"C"6,2024-01-01,1',
        "O7,C7,2024-01-01,1,",
    ]
    assert set(Order.objects.values_list("external_id", flat=True)) == {"O1", "O5", "O8"}


def test_gzip_and_column_order(importer: Importer) -> None:
    text = "amount,placed_at,customer_id,order_id\n1,2024-01-01,C1,O1\n"
    assert importer.text("orders", text, name="f.csv.gz").counts == (1, 0, 0, 0)
    assert importer.text("orders", text, name="F.CSV").counts == (0, 1, 0, 0)


def test_a_header_alone_is_an_empty_import(importer: Importer) -> None:
    assert importer.text("orders", HEADER + "\n").counts == (0, 0, 0, 0)
    assert not FactBatch.objects.exists()


@pytest.mark.parametrize(
    ("name", "content", "codes"),
    [
        ("f.csv", b"", ["empty_file"]),
        ("f.csv", b"\n\n", ["empty_file"]),
        ("f.csv", b"order_id\xff\n", ["not_utf8"]),
        ("f.csv", f"{HEADER}\nO1,C1,2024-01-01,1\nO2,\udcff".encode("utf-8", "surrogateescape"),
         ["not_utf8"]),
        ("f.csv.gz", gzip.compress(f"{HEADER}\nO1,C1,2024-01-01,1\n".encode(), mtime=0)[:-9],
         ["broken_gzip"]),
        ("f.csv.gz", b"no gzip", ["broken_gzip"]),
        ("f.parquet", b"no parquet", ["broken_parquet"]),
        ("f.parquet", b"", ["empty_file"]),
        ("f.xlsx", b"PK", ["unknown_format"]),
        ("f.csv", b"order_id,order_id,amount,colour, placed_at\n",
         ["duplicate_column", "unknown_column", "unknown_column", "missing_column",
          "missing_column"]),
        ("f.csv", b"\"order_id\n", ["bad_csv"]),
    ],
)  # fmt: skip
def test_refused_files(importer: Importer, name: str, content: bytes, codes: list[str]) -> None:
    path = importer.folder / name
    path.write_bytes(content)
    with pytest.raises(FileRefused) as refused:
        importer.file("orders", path)
    assert [problem.code for problem in refused.value.problems] == codes
    assert not FactBatch.objects.exists()
    assert not Customer.objects.exists()
    assert {file.name for file in importer.folder.iterdir()} == {name}


def test_missing_file_and_kind(importer: Importer) -> None:
    with pytest.raises(NotFoundError):
        importer.file("orders", importer.folder / "none.csv")
    with pytest.raises(TierwiseError) as refused:
        importer.text("order", HEADER)
    assert refused.value.code == "unknown_kind"


def test_parquet_values(importer: Importer) -> None:
    path = importer.folder / "f.parquet"
    table = pa.table(
        {
            "order_id": pa.array([1, 2, 3, 4], pa.int32()),
            "customer_id": pa.array(["C1", "C1", "", "C2"]).dictionary_encode(),
            "placed_at": pa.array([datetime(2024, 1, 1)] * 4, pa.timestamp("ns")),  # noqa: DTZ001
            "paid_at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("ms", "UTC")),
            "completed_at": pa.array([date(2024, 1, 3)] * 4),
            "amount": [0.1, 19.99, 5.0, 1e-05],
            "discount": pa.array([1, None, 3, 4], pa.decimal128(9, 2)),
            "goods_amount": np.array([0.1, np.nan, 1, 1], dtype="f4"),
            "is_promotion": [True, None, False, False],
            "store_id": [12.0, None, 7.0, 7.0],
        }
    )
    pq.write_table(table, path)
    result = importer.file("orders", path)
    assert result.rejects == [(3, "missing"), (4, "too_precise")]
    assert json.loads(result.raws[1])["amount"] == "0.00001"
    rows = Order.objects.order_by("external_id").values_list(
        "external_id", "placed_at", "paid_at", "completed_at", "amount", "discount",
        "goods_amount", "is_promotion", "store_id",
    )  # fmt: skip
    midnight = datetime(2023, 12, 31, 16, tzinfo=UTC)
    paid = datetime(2024, 1, 1, tzinfo=UTC)
    completed = datetime(2024, 1, 2, 16, tzinfo=UTC)
    assert list(rows) == [
        ("1", midnight, paid, completed, Decimal("0.1"), 1, Decimal("0.1"), True, "12"),
        ("2", midnight, paid, completed, Decimal("19.99"), None, None, None, None),
    ]


def test_parquet_lines_with_float_numbers_and_dates(importer: Importer) -> None:
    importer.text("orders", f"{HEADER}\nO1,C1,2024-01-01,9\n")
    path = importer.folder / "f.parquet"
    columns = {"order_id": ["O1"], "line_no": [1.0], "sku": ["S"], "amount": [9]}
    pq.write_table(pa.table(columns), path)
    assert importer.file("order_lines", path).counts == (1, 0, 0, 0)
    assert OrderLine.objects.get().line_no == 1
    birth = {"customer_id": ["C1"], "birth_date": [datetime(2000, 2, 29)]}  # noqa: DTZ001
    pq.write_table(pa.table(birth), path)
    assert importer.file("customers", path).counts == (1, 0, 0, 0)
    assert Customer.objects.get().birth_date == date(2000, 2, 29)
    pq.write_table(pa.table({"customer_id": [1.5], "city": [["x"]]}), path)
    with pytest.raises(FileRefused) as refused:
        importer.file("customers", path)
    assert [problem.code for problem in refused.value.problems] == ["bad_column_type"] * 2


def test_damaged_parquet_is_refused_whole(importer: Importer) -> None:
    path = importer.folder / "f.parquet"
    column = pa.array([f"O{i}" for i in range(5000)])
    table = pa.table(dict.fromkeys(("order_id", "customer_id", "placed_at", "amount"), column))
    pq.write_table(table, path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    bad_text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0])), pa.py_buffer(b"\xff")]
    )
    other = importer.folder / "g.parquet"
    pq.write_table(pa.table({"customer_id": bad_text}), other)
    path.write_bytes(content)
    for kind, file in (("orders", path), ("customers", other)):
        with pytest.raises(FileRefused) as refused:
            importer.file(kind, file)
        assert [problem.code for problem in refused.value.problems] == ["broken_parquet"]
    assert not FactBatch.objects.exists()


def test_chunks_join_seamlessly(importer: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "CHUNK_ROWS", 3)
    rows = [(f"O{i % 7}", "C1", "2024-01-01", "x" if i == 5 else i) for i in range(10)]
    result = importer.rows("orders", HEADER.replace(",", " "), rows)
    assert (result.counts, result.rejects) == ((6, 0, 3, 1), [(7, "bad_number")])
    assert Order.objects.get(external_id="O2").amount == 9


def test_the_command(importer: Importer, capsys: pytest.CaptureFixture[str]) -> None:
    path = importer.folder / "f.csv"
    path.write_text(f"{HEADER}\nO1,C1,2024-01-01,1\nO2,C1,2024-01-01,x\n")
    rejects = importer.folder / "r.csv"
    call_command("import", "orders", str(path), "--rejects", str(rejects), "--json")
    assert json.loads(capsys.readouterr().out) == {
        "kind": "orders", "read": 2, "inserted": 1, "unchanged": 0, "updated": 0, "rejected": 1,
    }  # fmt: skip
    assert rejects.read_text().splitlines()[0] == "line,reason_code,reason,raw"
    path.write_text(f"{HEADER}\n")
    call_command("import", "orders", str(path), "--rejects", str(rejects), "--strict")
    assert "read 0" in capsys.readouterr().out
    assert rejects.read_text() == "line,reason_code,reason,raw\n"
    with pytest.raises(SystemExit) as ended:
        call_command("import", "order", str(path), "--json")
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["code"] == "unknown_kind"


def test_rejects_that_cannot_be_written_stop_the_import(importer: Importer) -> None:
    path = importer.folder / "f.csv"
    path.write_text(f"{HEADER}\nO1,C1,2024-01-01,1\n")
    text = path.read_text()
    pipe = importer.folder / "pipe"
    os.mkfifo(pipe)
    for place in (path, importer.folder, importer.folder / "none" / "r.csv", pipe):
        with pytest.raises(TierwiseError, match=r"can't be written|no place"):
            call_import(importer, path, rejects=place)
    assert path.read_text() == text
    assert pipe.is_fifo()  # neither replaced nor waited for
    assert not Order.objects.exists()


def test_a_pipe_is_refused_and_not_waited_for(importer: Importer) -> None:
    pipe = importer.folder / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(FileRefused, match="no ordinary file"):
        call_import(importer, pipe, rejects=importer.folder / "r.csv")
    assert list(importer.folder.iterdir()) == [pipe]
