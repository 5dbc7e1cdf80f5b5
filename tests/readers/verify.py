#!/usr/bin/env python3
"""Compares files of orders with the orders that they must hold, value by value, through readers that we did not write.

    verify.py --format parquet|json|avro --folder DIR --expected ORDERS.jsonl

reads every file of the format below DIR: Parquet with DuckDB and with pyarrow, JSON lines (also gzipped) with DuckDB and with pyarrow, Avro with fastavro.
Prints one JSON object a reader: rows, distinct ids, sums, and how many orders are missing, doubled, unexpected or different. Succeeds when every reader read
something and nothing is missing, unexpected or different; doubled orders are the caller's to judge.
"""

import argparse
import datetime
import json
import pathlib
import sys

import duckdb
import fastavro
import pyarrow
import pyarrow.json
import pyarrow.parquet

COLUMNS = {
    "id": "BIGINT",
    "ts": "BIGINT",
    "customer": "VARCHAR",
    "country": "VARCHAR",
    "amount": "DOUBLE",
    "currency": "VARCHAR",
    "status": "VARCHAR",
    "sku": "VARCHAR",
    "qty": "INTEGER",
    "gift": "BOOLEAN",
    "address": "STRUCT(street VARCHAR, city VARCHAR, zip VARCHAR, country VARCHAR)",
    "tags": "VARCHAR[]",
}
TEXT = pyarrow.string()
ARROW = {
    "id": pyarrow.int64(),
    "ts": pyarrow.int64(),
    "customer": TEXT,
    "country": TEXT,
    "amount": pyarrow.float64(),
    "currency": TEXT,
    "status": TEXT,
    "sku": TEXT,
    "qty": pyarrow.int64(),
    "gift": pyarrow.bool_(),
    "address": pyarrow.struct([(name, TEXT) for name in ("street", "city", "zip", "country")]),
    "tags": pyarrow.list_(TEXT),
}
ENDINGS = {"parquet": (".parquet",), "json": (".json", ".json.gz"), "avro": (".avro",)}


def select(database, source):
    """The query that brings a source's columns to COLUMNS' types: a timestamp becomes ms since the epoch, however the format holds it."""
    types = {row[0]: row[1] for row in database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    missing = [name for name in COLUMNS if name not in types]
    unknown = [name for name in types if name not in COLUMNS]
    if missing or unknown:
        sys.exit(f"error: the files lack the columns {missing}, and have the unknown ones {unknown}")
    ts = "epoch_ms(ts)" if types["ts"].startswith("TIMESTAMP") else "ts"
    columns = [ts if name == "ts" else f"{name}::{kind}" for name, kind in COLUMNS.items()]
    return f"SELECT {', '.join(columns)} FROM {source}"


def read_with_duckdb(database, form, files):
    """Fills the table `actual` by DuckDB's own readers, all files at once."""
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    if form == "parquet":
        source = f"read_parquet([{names}], hive_partitioning = false)"
    else:
        columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
        source = f"read_json([{names}], format = 'newline_delimited', columns = {{{columns}}}, hive_partitioning = false)"
    database.execute(f"INSERT INTO actual {select(database, source)}")


def read_with_pyarrow(database, form, files):
    """Fills the table `actual` by pyarrow, file by file."""
    options = pyarrow.json.ParseOptions(explicit_schema=pyarrow.schema(ARROW.items()), unexpected_field_behavior="error")
    for file in files:
        table = pyarrow.parquet.ParquetFile(file).read() if form == "parquet" else pyarrow.json.read_json(file, parse_options=options)
        database.register("chunk", table)
        database.execute(f"INSERT INTO actual {select(database, 'chunk')}")
        database.unregister("chunk")


def read_with_fastavro(database, _form, files):
    """Fills the table `actual` by fastavro, file by file."""
    for file in files:
        with open(file, "rb") as stream:
            rows = list(fastavro.reader(stream))
        is_timestamp = bool(rows) and isinstance(rows[0]["ts"], datetime.datetime)
        unknown = set(rows[0]) - set(ARROW) if rows else set()
        if unknown:
            sys.exit(f"error: {file} has the unknown fields {sorted(unknown)}")
        kinds = {**ARROW, "ts": pyarrow.timestamp("ms", "UTC") if is_timestamp else ARROW["ts"]}
        table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(kinds.items()))
        database.register("chunk", table)
        database.execute(f"INSERT INTO actual {select(database, 'chunk')}")
        database.unregister("chunk")


READERS = {
    "parquet": {"duckdb": read_with_duckdb, "pyarrow": read_with_pyarrow},
    "json": {"duckdb": read_with_duckdb, "pyarrow": read_with_pyarrow},
    "avro": {"fastavro": read_with_fastavro},
}


def compare(database):
    """What `actual` holds, against `expected`."""
    one = lambda query: database.execute(query).fetchone()
    rows, distinct, amount, quantity = one("SELECT count(*), count(DISTINCT id), coalesce(sum(amount), 0), coalesce(sum(qty), 0) FROM actual")
    report = {
        "rows": rows,
        "distinct": distinct,
        "doubled": rows - distinct,
        "amount": round(amount, 2),
        "quantity": quantity,
        "missing": one("SELECT count(*) FROM expected e ANTI JOIN actual a ON e.id = a.id")[0],
        "unexpected": one("SELECT count(*) FROM actual a ANTI JOIN expected e ON e.id = a.id")[0],
        "different": {},
    }
    differs = {name: f"e.{name} IS DISTINCT FROM a.{name}" for name in COLUMNS}
    counts = one(f"SELECT {', '.join(f'count(*) FILTER (WHERE {test})' for test in differs.values())} FROM expected e JOIN actual a ON e.id = a.id")
    for name, count in zip(differs, counts):
        if count:
            example = one(f"SELECT e.id, e.{name}::VARCHAR, a.{name}::VARCHAR FROM expected e JOIN actual a ON e.id = a.id WHERE {differs[name]} LIMIT 1")
            report["different"][name] = {"orders": count, "for example": dict(zip(("id", "expected", "actual"), example))}
    if report["missing"]:
        ids = database.execute("SELECT e.id FROM expected e ANTI JOIN actual a ON e.id = a.id ORDER BY 1 LIMIT 10").fetchall()
        report["missing ids"] = [row[0] for row in ids]
    return report


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--format", required=True, choices=sorted(READERS))
    arguments.add_argument("--folder", required=True, type=pathlib.Path)
    arguments.add_argument("--expected", required=True, type=pathlib.Path, help="orders as JSON lines")
    arguments = arguments.parse_args()

    files = sorted(path for path in arguments.folder.rglob("*") if path.is_file() and path.name.endswith(ENDINGS[arguments.format]))
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    table = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in COLUMNS.items())
    expected = str(arguments.expected).replace("'", "''")
    database.execute(f"CREATE TABLE expected AS SELECT * FROM read_json('{expected}', format = 'newline_delimited', columns = {{{columns}}})")

    good = True
    for name, read in READERS[arguments.format].items():
        database.execute(f"CREATE OR REPLACE TABLE actual ({table})")
        if files:
            read(database, arguments.format, files)
        report = {"reader": name, "files": len(files), **compare(database)}
        print(json.dumps(report, ensure_ascii=False), flush=True)
        good = good and not (report["missing"] or report["unexpected"] or report["different"])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
