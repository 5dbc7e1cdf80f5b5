#!/usr/bin/env python3
"""Prints what files hold, as readers that we did not write see it.

    rows.py FILE...

prints one JSON object a line and file: {"file": path, "rows": [...]}. Parquet is read by pyarrow, Avro by fastavro, JSON lines by Python. Instants are milliseconds
since the epoch, bytes hexadecimal, decimals texts, maps of Parquet lists of pairs.
"""

import datetime
import decimal
import json
import sys

import fastavro
import pyarrow.parquet

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(value):
    """A value of a type that JSON does not have, as one that it has."""
    match value:
        case datetime.datetime():
            return round((value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).timestamp() * 1000)
        case datetime.date():
            return (value - EPOCH.date()).days
        case bytes():
            return value.hex()
        case decimal.Decimal():
            return str(value)
    raise TypeError(f"{value!r} has no form in JSON")


def rows(path):
    if path.endswith(".parquet"):
        return pyarrow.parquet.ParquetFile(path).read().to_pylist()
    with open(path, "rb") as stream:
        return list(fastavro.reader(stream)) if path.endswith(".avro") else [json.loads(line) for line in stream]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps({"file": path, "rows": rows(path)}, default=plain))
