"""Prints what Parquet files hold as sorted JSON rows, values as text, which keeps every bit.

    read_series.py pyarrow|duckdb exports|blocks FILES...

`blocks` asks what docs/formats.md says to ask of a store's own files.
"""

import json
import sys

reader, kind, *files = sys.argv[1:]
if reader == "duckdb":
    import duckdb

    latest = """SELECT series, timestamp, arg_max(value, filename) FROM read_parquet(?, filename = true, union_by_name = true)
                WHERE value IS NOT NULL GROUP BY series, timestamp"""
    every = "SELECT series, timestamp, value FROM read_parquet(?)"
    rows = duckdb.execute(latest if kind == "blocks" else every, [files]).fetchall()
else:
    import pyarrow.parquet

    # In order of the folders' names, so that of two values the later block's stays.
    values = {}
    for file in sorted(files):
        table = pyarrow.parquet.read_table(file)
        for row in table.to_pylist():
            values[row["series"], row["timestamp"]] = row["value"]
    rows = [(*key, value) for key, value in values.items()]
print(json.dumps([(series, timestamp, repr(value)) for series, timestamp, value in sorted(rows)]))
