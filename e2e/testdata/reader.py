"""Queries every view of a lake in a loop, opening the file anew each time, for some seconds."""

import sys
import time

import duckdb

path, seconds, views = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
deadline = time.monotonic() + seconds
rounds, most = 0, 0
counts = dict.fromkeys(views, 0)
while time.monotonic() < deadline:
    with duckdb.connect(path, read_only=True) as lake:
        for view in views:
            rows = lake.sql(f"SELECT * FROM {view}").fetchall()
            grows = view not in ("scores", "score_explanations", "lake_files")
            if grows and len(rows) < counts[view]:
                sys.exit(f"{view} shrank from {counts[view]} rows to {len(rows)}")
            counts[view] = len(rows)
    rounds += 1
if counts["beacons"] == 0 or counts["visits"] == 0:
    sys.exit(f"nothing to read: {counts}")
print(f"duckdb {duckdb.__version__}: {rounds} rounds over {len(views)} views, {counts}")
