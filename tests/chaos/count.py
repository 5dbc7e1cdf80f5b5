#!/usr/bin/env python3
"""Counts what a folder of Parquet files holds of numbered records, with a reader that we did not write.

    count.py --folder DIR --sent 0:1200,1:1187

Record `number` of partition `part` was sent once for each number below the partition's count, in order; its number is its offset. Prints one JSON object: files,
rows, lost (sent, in no file), doubled (rows beyond the first of a record), disorder (rows of a file that follow a later record of their partition),
misnamed (files whose name does not end with the offset of their first record), and some of what is wrong, in words.
"""

import argparse
import json
import pathlib

import duckdb

EXAMPLES = 4


def counts(folder: str, sent: dict[int, int]) -> dict:
    db = duckdb.connect(config={"threads": 1})
    db.execute("CREATE TABLE sent (part INTEGER, count BIGINT)")
    db.executemany("INSERT INTO sent VALUES (?, ?)", list(sent.items()))
    paths = [str(path) for path in pathlib.Path(folder).rglob("*.parquet") if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if paths:
        options = "filename = true, file_row_number = true, hive_partitioning = false"
        db.execute(f"CREATE TABLE found AS SELECT part, number, filename, file_row_number AS place FROM read_parquet(?, {options})", [paths])
    else:
        db.execute("CREATE TABLE found (part INTEGER, number BIGINT, filename VARCHAR, place BIGINT)")

    def one(query: str) -> int:
        return db.execute(query).fetchone()[0]

    missing = """SELECT part, number FROM (SELECT part, unnest(range(count)) AS number FROM sent)
                 ANTI JOIN found USING (part, number)"""
    twice = "SELECT part, number, count(*) AS times, list(DISTINCT filename) AS files FROM found GROUP BY part, number HAVING count(*) > 1"
    names = r"""SELECT filename, min(number) AS first, regexp_extract(filename, '\+(\d+)\.[a-z.]*$', 1) AS named FROM found GROUP BY filename"""
    examples = [f"lost: partition {part}, offsets {first} to {last}" for part, first, last in db.execute(
        f"""SELECT part, min(number), max(number) FROM (SELECT part, number, number - row_number() OVER (PARTITION BY part ORDER BY number) AS run
            FROM ({missing})) GROUP BY part, run ORDER BY 1, 2 LIMIT {EXAMPLES}""").fetchall()]
    for part, number, times, files in db.execute(f"{twice} ORDER BY part, number LIMIT {EXAMPLES}").fetchall():
        short = ", ".join(str(pathlib.Path(file).relative_to(folder)) for file in sorted(files))
        examples.append(f"doubled: partition {part}, offset {number}, {times} times, in {short}")
    return {
        "files": len(paths),
        "rows": one("SELECT count(*) FROM found"),
        "lost": one(f"SELECT count(*) FROM ({missing})"),
        "doubled": one(f"SELECT coalesce(sum(times - 1), 0)::BIGINT FROM ({twice})"),
        "strange": one("SELECT count(*) FROM found LEFT JOIN sent USING (part) WHERE number IS NULL OR count IS NULL OR number >= count"),
        "disorder": one("""SELECT count(*) FROM (SELECT number < lag(number) OVER (PARTITION BY filename, part ORDER BY place) AS back FROM found) WHERE back"""),
        "misnamed": one(f"SELECT count(*) FROM ({names}) WHERE named = '' OR named::BIGINT <> first"),
        "examples": examples,
    }


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--folder", required=True)
    arguments.add_argument("--sent", required=True)
    given = arguments.parse_args()
    sent = {int(part): int(count) for part, count in (pair.split(":") for pair in given.sent.split(",") if pair)}
    print(json.dumps(counts(given.folder, sent)))


if __name__ == "__main__":
    main()
