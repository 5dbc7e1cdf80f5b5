#!/usr/bin/env python3
"""Compares Parquet files of every Connect type with the rows that they must hold, value by value, through readers that we did not write.

    cargo run -p lakehead-formats --example parquet_samples -- DIR
    parquet_types.py DIR

reads each file of DIR with pyarrow, DuckDB and Polars (those that are installed), one column at a time, and prints a line for each column that a reader
refuses or reads otherwise, with the files in which it does, then a table of readers and files. Succeeds when nothing is found but what KNOWN lists.
"""

import base64
import collections
import datetime
import decimal
import importlib.util
import json
import math
import pathlib
import sys

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

# What readers cannot do: (reader, column) -> why. None of it is about how the values were written.
KNOWN = {
    ("duckdb", "decimal50"): "decimals of more than 38 digits are doubles",
    ("polars", "decimal50"): "decimals of more than 38 digits are refused",
    ("duckdb", "structs_of_one"): "in lists of two levels, a struct of one field is taken for its field",
    ("duckdb", "lists_of_structs"): "in lists of two levels, a struct of one field is taken for its field",
    ("duckdb", "map_of_structs"): "some pages in Hadoop's LZ4 framing are refused (parquet.codec=lz4): lz4_raw is the portable one",
}


def pyarrow_reader(path, column):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path, columns=[column]).column(column).to_pylist()


def duckdb_reader(path, column):
    import duckdb

    duckdb.execute("SET TimeZone = 'UTC'")
    return [row[0] for row in duckdb.execute(f'SELECT "{column}" FROM read_parquet(?)', [str(path)]).fetchall()]


def polars_reader(path, column):
    import polars

    return polars.read_parquet(path, columns=[column])[column].to_list()


READERS = {"pyarrow": pyarrow_reader, "duckdb": duckdb_reader, "polars": polars_reader}


def plain(value):
    """A value of a reader as the JSON beside the files has it; bytes stay bytes, maps become lists of pairs."""
    match value:
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case tuple() | list():
            return [plain(inner) for inner in value]
        case decimal.Decimal():
            return format(value, "f")
        case datetime.datetime():
            return round((value.replace(tzinfo=value.tzinfo or datetime.timezone.utc) - EPOCH) / datetime.timedelta(milliseconds=1))
        case datetime.date():
            return (value - EPOCH.date()).days
        case datetime.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1000 + value.microsecond // 1000
        case bytearray() | memoryview():
            return bytes(value)
    return value


def same(column, want, got):
    if column == "bytes":
        want = base64.b64decode(want)
    if column == "enum" and isinstance(got, bytes):
        got = got.decode()
    if column == "union" and want is not None:
        want = {f"member{number}": value for number, value in enumerate(want.values())}
    if column == "map_by_int":
        want = [{"key": key, "value": value} for key, value in want]
    if column == "float32":
        return math.isclose(want, got, rel_tol=1e-6)
    return equal(want, got)


def equal(want, got):
    if isinstance(want, dict) and isinstance(got, list):
        got = dict((entry["key"], entry["value"]) if isinstance(entry, dict) else entry for entry in got)
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(equal(want[name], got[name]) for name in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(equal(one, other) for one, other in zip(want, got))
    return type(want) is type(got) and want == got


def compare(read, path, column, want):
    """Why the column is not what it must be, or nothing."""
    try:
        got = [plain(value) for value in read(path, column)]
    except BaseException as error:  # a reader in Rust may panic
        return str(error).split("\n")[0][:120]
    wrong = [(one, other) for one, other in zip(want, got) if not same(column, one, other)]
    if len(want) != len(got):
        return f"{len(got)} rows, not {len(want)}"
    return f"{wrong[0][1]!r}, not {wrong[0][0]!r}" if wrong else None


def main(folder):
    readers = {name: read for name, read in READERS.items() if importlib.util.find_spec(name)}
    problems, good, all_of = collections.defaultdict(list), collections.Counter(), collections.Counter()
    for path in sorted(folder.glob("*.parquet")):
        rows = json.loads((folder / f"{path.name.split('.')[0]}.json").read_text())
        for name, read in readers.items():
            for column in rows[0]:
                why = compare(read, path, column, [row[column] for row in rows])
                all_of[name, path.name.split(".")[0]] += 1
                if why:
                    problems[name, column, why].append(path.name)
                else:
                    good[name, path.name.split(".")[0]] += 1
    new = 0
    for (name, column, why), paths in problems.items():
        known = KNOWN.get((name, column))
        new += known is None
        print(f"{'known' if known else 'NEW'}: {name}, {column}: {known or why} ({len(paths)} files, as {paths[0]})")
    for (name, sample), count in all_of.items():
        print(f"{name:8} {sample:15} {good[name, sample]} of {count} columns")
    return 1 if new or not all_of else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
