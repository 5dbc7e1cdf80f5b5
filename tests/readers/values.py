#!/usr/bin/env python3
"""Compares Parquet and Avro files of every Connect type with the values that they must hold, through readers that we did not write.

    values.py FOLDER JARS

reads the files that `cargo test --test readers` wrote to FOLDER (`<sample>.<lists>.<codec>.v<version>.parquet`, `<sample>.<codec>.avro`), a column at a time
where a reader can, and compares them with `<sample>.json`: Parquet by pyarrow, DuckDB, Polars and Java's parquet-cli (below JARS), Avro by fastavro, Polars and
parquet-cli. DuckDB's reader of Avro is an extension that no package registry has, so it is not among them.

A value is right when it is of the type that the reader has for the Connect type, and equal: floats to the bit, decimals to the digit and the scale. What a reader
cannot do is a row of KNOWN; a row that is not true any more is a failure, too. Prints what is wrong, then readers and types with counts of columns that were right.
"""

import base64
import collections
import datetime
import decimal
import fnmatch
import json
import pathlib
import re
import struct
import subprocess
import sys
import uuid

import duckdb
import fastavro
import polars
import pyarrow
import pyarrow.parquet

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
UNION = "io.confluent.connect.avro.Union"

# What readers cannot do: (reader, files, columns, a pattern of what it says, why). The first row that fits counts, and
# every column of every such file must fail so, or the row is wrong. None of it is about how the values were written.
KNOWN = [
    ("duckdb", "*.parquet", "decimal50", "is no decimal", "decimals of more than 38 digits are doubles"),
    ("duckdb", "nested.upstream.*", "structs_of_one", "not iterable", "in lists of two levels, a struct of one field is taken for its field"),
    ("duckdb", "nested.upstream.*", "lists_of_structs", "not iterable", "in lists of two levels, a struct of one field is taken for its field"),
    ("polars", "*.parquet", "decimal50", "can't decode Decimal128", "decimals of more than 38 digits are refused"),
    ("parquet-cli", "*.brotli.*", "*", "ClassNotFoundException: org.apache.hadoop.io.compress.BrotliCodec", "Hadoop has no Brotli, and Maven Central none for it"),
    ("fastavro", "far.*", "*", "is out of range", "Python's days end with the year 9999"),
    ("polars", "*.bzip2.avro", "*", "unsupported Avro codec", "bzip2 is refused"),
    ("polars", "in_map.*.avro", "*", "Avro maps are mapped", "maps are not implemented"),
    ("polars", "nested.*.avro", "map_of_*", "Avro maps are mapped", "maps are not implemented"),
    ("polars", "*.avro", "optional_map", "Avro maps are mapped", "maps are not implemented"),
    ("polars", "*.avro", "maps", "Avro maps are mapped", "maps are not implemented"),
    ("polars", "default.*.avro", "*", "OutOfSpec", "fields with a default other than null are refused"),
    ("polars", "optional_default.*.avro", "*", "OutOfSpec", "fields with a default other than null are refused"),
    ("polars", "*.avro", "alias", "OutOfSpec", "fields with a default other than null are refused"),
    ("polars", "in_struct.*.avro", "enum", "OutOfSpec", "a type that was defined before is not found by its name"),
    ("polars", "in_*.avro", "enum", "unreachable code", "enums are read as fields only, and not as optional ones"),
    ("polars", "many.*.avro", "enum", "unreachable code", "enums are read as fields only, and not as optional ones"),
    ("polars", "optional.*.avro", "enum", "unreachable code", "enums are read as fields only, and not as optional ones"),
    ("polars", "*.avro", "decimal", "precision must be", "decimals of more than 38 digits are refused; Connect's are of 64 where nothing is declared"),
    ("polars", "*.avro", "decimal50", "precision must be|more than 16 bytes", "decimals of more than 38 digits are refused"),
    ("polars", "*.avro", "union", "Deserializing type Union", "unions but those with null are not implemented"),
]


class Wrong(Exception):
    """A value that is not what it must be."""


# Values of readers as the JSON beside the files has them.


def number(value, bits):
    if not isinstance(value, float) and value not in ("NaN", "Infinity", "-Infinity"):
        raise Wrong(f"{value!r} is no float")
    value = float(value)
    return struct.pack(">f", value) if bits == 32 else struct.pack(">d", value)


def whole(value):
    if type(value) is not int:
        raise Wrong(f"{value!r} is no whole number")
    return value


def octets(value):
    """Bytes; the Java tool prints fixed ones as a list of signed numbers, others as the characters of ISO 8859-1."""
    match value:
        case bytes() | bytearray() | memoryview():
            return bytes(value)
        case str():
            return value.encode("iso-8859-1")
        case list():
            return bytes(byte & 0xFF for byte in value)
    raise Wrong(f"{value!r} are no bytes")


def digits(value, scale):
    if isinstance(value, (str, list)):
        unscaled = int.from_bytes(octets(value), "big", signed=True)
        value = decimal.Decimal(unscaled).scaleb(-scale, decimal.Context(prec=99))
    if not isinstance(value, decimal.Decimal) or value.as_tuple().exponent != -scale:
        raise Wrong(f"{value!r} is no decimal of scale {scale}")
    return format(value, "f")


def since_epoch(value, of, convert, physical):
    if physical:
        return whole(value)
    if type(value) is not of:
        raise Wrong(f"{value!r} is no {of.__name__}")
    return convert(value)


def milliseconds(instant):
    if instant.tzinfo is None:
        raise Wrong(f"{instant!r} has no time zone")
    return (instant - EPOCH) // datetime.timedelta(milliseconds=1)


def milliseconds_of_day(time):
    return ((time.hour * 60 + time.minute) * 60 + time.second) * 1000 + time.microsecond // 1000


def pairs(value):
    """The entries of a map, in whichever form a reader has it."""
    if isinstance(value, dict):
        return list(value.items())
    return [(entry["key"], entry["value"]) if isinstance(entry, dict) else tuple(entry) for entry in value]


def member(schema, value, physical):
    """The member of a union: Avro's readers have it bare, Parquet's as a struct of which one field is there."""
    fields = schema["fields"]
    if isinstance(value, dict):
        if list(value) != [f"member{at}" for at in range(len(fields))]:
            raise Wrong(f"{value!r} are no members")
        found = dict(zip((field["field"] for field in fields), value.values()))
    else:
        kinds = {"int32": int, "string": str}
        found = {field["field"]: value if type(value) is kinds[field["type"]] else None for field in fields}
    return {field["field"]: plain(field, found[field["field"]], physical) for field in fields} if any(inner is not None for inner in found.values()) else None


def plain(schema, value, physical):
    """The value in one form for all readers; `physical`: days and milliseconds are numbers."""
    if value is None:
        return None
    logical = schema.get("name", "").rpartition("org.apache.kafka.connect.data.")[2]
    match schema["type"]:
        case "bytes" if logical == "Decimal":
            return digits(value, int(schema["parameters"]["scale"]))
        case "int32" if logical == "Date":
            return since_epoch(value, datetime.date, lambda day: (day - EPOCH.date()).days, physical)
        case "int32" if logical == "Time":
            return since_epoch(value, datetime.time, milliseconds_of_day, physical)
        case "int64" if logical == "Timestamp":
            return since_epoch(value, datetime.datetime, milliseconds, physical)
        case "int8" | "int16" | "int32" | "int64":
            return whole(value)
        case "float":
            return number(value, 32)
        case "double":
            return number(value, 64)
        case "bytes":
            return octets(value)
        case "string" if isinstance(value, bytes) and "parameters" in schema:  # some read enums as bytes
            return value.decode()
        case "array":
            return [plain(schema["items"], item, physical) for item in value]
        case "map":
            entries = [(plain(schema["keys"], key, physical), plain(schema["values"], inner, physical)) for key, inner in pairs(value)]
            return sorted(entries, key=lambda entry: entry[0])
        case "struct" if schema.get("name") == UNION:
            return member(schema, value, physical)
        case "struct":
            if list(value) != [field["field"] for field in schema["fields"]]:
                raise Wrong(f"{value!r} has other fields")
            return {field["field"]: plain(field, value[field["field"]], physical) for field in schema["fields"]}
    if isinstance(value, uuid.UUID):
        value = str(value)
    if type(value) is not {"boolean": bool, "string": str}[schema["type"]]:
        raise Wrong(f"{value!r} is no {schema['type']}")
    return value


def wanted(schema, value):
    """The same form of a value that is in the JSON beside the files."""
    match value, schema["type"]:
        case None, _:
            return None
        case str(), "bytes" if "Decimal" in schema.get("name", ""):
            return value
        case str(), "bytes":
            return base64.b64decode(value)
        case list(), "array":
            return [wanted(schema["items"], item) for item in value]
        case _, "map":
            return sorted(((wanted(schema["keys"], key), wanted(schema["values"], inner)) for key, inner in pairs(value)), key=lambda entry: entry[0])
        case dict(), _:
            return {field["field"]: wanted(field, value[field["field"]]) for field in schema["fields"]}
        case _, "float":
            return number(value, 32)
        case _, "double":
            return number(value, 64)
    return value


# Readers of one column. `far`: it has days that Python's types do not reach, and is read as numbers.


def pyarrow_parquet(path, column, far):
    values = pyarrow.parquet.read_table(path, columns=[column]).column(column).combine_chunks()
    if far:
        kinds = {pyarrow.date32(): pyarrow.int32(), pyarrow.timestamp("ms", "UTC"): pyarrow.int64()}
        values = values.view(kinds[values.type])
    return values.to_pylist()


def duckdb_parquet(path, column, far):
    of = {"DATE": "({0} - DATE '1970-01-01')::BIGINT", "TIMESTAMP WITH TIME ZONE": "epoch_ms({0})"}
    kind = duckdb.execute(f'DESCRIBE SELECT "{column}" FROM read_parquet(?)', [str(path)]).fetchone()[1]
    value = of[kind].format(f'"{column}"') if far else f'"{column}"'
    return [row[0] for row in duckdb.execute(f"SELECT {value} FROM read_parquet(?)", [str(path)]).fetchall()]


def polars_values(values, far):
    if far and values.dtype not in (polars.Date, polars.Datetime("ms", "UTC")):
        raise Wrong(f"read as {values.dtype}")
    return (values.to_physical() if far else values).to_list()


def polars_parquet(path, column, far):
    return polars_values(polars.read_parquet(path, columns=[column])[column], far)


def polars_avro(path, column, far):
    """From the file of this column alone: one column that Polars does not know costs it all of a file's."""
    return polars_values(polars.read_avro(path.parent / "by-column" / f"{path.stem}.{column}.avro")[column], far)


def fastavro_avro(path, column, _far):
    with open(path, "rb") as stream:
        return [row[column] for row in fastavro.reader(stream)]


COLUMN_READERS = {
    "parquet": {"pyarrow": pyarrow_parquet, "duckdb": duckdb_parquet, "polars": polars_parquet},
    "avro": {"fastavro": fastavro_avro, "polars": polars_avro},
}


def is_three_levels(path):
    """True when lists have three levels, which the Java tool must be told: else it asks for two, and finds nulls."""
    return path.suffix == ".parquet" and "repeated group field_id=-1 list {" in str(pyarrow.parquet.ParquetFile(path).schema)


def parquet_cli(paths, counts, jars, options):
    """For each file its rows, or what the Java tool said, which prints a line of JSON for each row of each file and stops where it fails."""
    found, waiting = {}, list(paths)
    while waiting:
        java = ["java", "-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars}/*"]
        command = [*java, "org.apache.parquet.cli.Main", *options, "cat"]
        run = subprocess.run(command + [str(path) for path in waiting], capture_output=True, encoding="utf-8", timeout=120)
        rows = [json.loads(line) for line in run.stdout.split("\n") if line.startswith("{")]
        while waiting and len(rows) >= counts[waiting[0]]:
            path = waiting.pop(0)
            found[path], rows = rows[: counts[path]], rows[counts[path] :]
        if waiting:
            causes = re.findall(r"^(?:Caused by|Exception in).*", run.stdout + run.stderr, re.MULTILINE)
            found[waiting.pop(0)] = Wrong(causes[-1] if causes else f"no rows: {run.stderr[-300:]}")
        elif run.returncode != 0 or rows:
            raise SystemExit(f"parquet-cli ended with {run.returncode} and {len(rows)} rows too many: {run.stderr[-300:]}")
    return found


def compare(columns, read, physical):
    """For each column, why it is not what it must be, or nothing. `read` gives a column's values."""
    for column in columns:
        schema, want = column["schema"], [wanted(column["schema"], value) for value in column["values"]]
        try:
            got = [plain(schema, value, physical) for value in read(column["name"])]
        except BaseException as error:  # a reader in Rust may panic
            yield column["name"], str(error).split("\n")[0] or repr(error)
            continue
        differ = [f"{other!r}, not {one!r}" for one, other in zip(want, got) if repr(one) != repr(other)]
        yield column["name"], f"{len(got)} rows, not {len(want)}" if len(want) != len(got) else next(iter(differ), None)


def results(folder, jars):
    """(reader, file, column, why it is wrong) for every reader, file and column."""
    samples = {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}
    files = {path: samples[path.name.split(".")[0]] for path in sorted(folder.iterdir()) if path.suffix in (".parquet", ".avro")}
    for path, columns in files.items():
        far = path.name.startswith("far.")
        for reader, read in COLUMN_READERS[path.suffix[1:]].items():
            for column, why in compare(columns, lambda column: read(path, column, far), far and reader != "fastavro"):
                yield reader, path.name, column, why
    counts = {path: len(columns[0]["values"]) for path, columns in files.items()}
    for three_levels in (False, True):
        options = ["-Dparquet.avro.write-old-list-structure=false"] if three_levels else []
        for path, rows in parquet_cli([path for path in files if is_three_levels(path) == three_levels], counts, jars, options).items():
            def values(column):
                if isinstance(rows, Wrong):
                    raise rows
                return [row[column] for row in rows]
            for column, why in compare(files[path], values, True):
                yield "parquet-cli", path.name, column, why


def report(found):
    """Prints what is wrong and a table of readers and types; true when nothing is wrong but what is known."""
    wrong, used = collections.defaultdict(list), set()
    counts = collections.defaultdict(collections.Counter)
    for reader, name, column, why in found:
        form = name.rpartition(".")[2]
        known = next((row for row in KNOWN if row[0] == reader and fnmatch.fnmatch(name, row[1]) and fnmatch.fnmatch(column, row[2])), None)
        if known and why and re.search(known[3], why):
            used.add(known)
            counts[form, column][reader, "known"] += 1
        elif known:
            wrong[reader, f"is in KNOWN ({known[4]}), but: {why or 'it is right'}"].append((name, column))
        elif why:
            wrong[reader, why[:300]].append((name, column))
        else:
            counts[form, column][reader, "right"] += 1
    for row in set(KNOWN) - used:
        wrong[row[0], f"is in KNOWN ({row[4]}), and never happens"].append(row[1:3])
    for form, readers in (("parquet", ["pyarrow", "duckdb", "polars", "parquet-cli"]), ("avro", ["fastavro", "polars", "parquet-cli"])):
        print(f"\n{form:18}" + "".join(f"{reader:>16}" for reader in readers))
        for (_, column), count in (item for item in counts.items() if item[0][0] == form):
            cell = lambda reader: f"{count[reader, 'right']}" + (f" + {count[reader, 'known']} known" if count[reader, "known"] else "")
            print(f"  {column:16}" + "".join(f"{cell(reader):>16}" for reader in readers))
        total = lambda reader, kind: sum(count[reader, kind] for (of, _), count in counts.items() if of == form)
        print(f"  {'all':16}" + "".join(f"{total(reader, 'right')} + {total(reader, 'known')} known".rjust(16) for reader in readers))
    for reader, files, columns, _, why in KNOWN:
        print(f"known: {reader}, {files}, {columns}: {why}")
    for (reader, why), places in wrong.items():
        print(f"WRONG: {reader}: {why}: {', '.join(sorted({place[1] for place in places}))} in {', '.join(sorted({place[0] for place in places})[:9])}")
    print(f"\nreaders: {sum(count[key] for count in counts.values() for key in count if key[1] == 'right')} columns right, "
          f"{sum(count[key] for count in counts.values() for key in count if key[1] == 'known')} known limits, {sum(map(len, wrong.values()))} wrong")
    return not wrong


if __name__ == "__main__":
    duckdb.execute("SET TimeZone = 'UTC'")
    sys.exit(0 if report(results(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))) else 1)
