"""Queries a lake again and again until its input ends, and prints what it saw as JSON.

queries.py LAKE GRACE fresh      opens the file anew for each query, as a notebook does
queries.py LAKE GRACE SECONDS    keeps each connection for so long, as a shell does

Every row has its id once; what one query saw the next one sees, too; and an open connection gives
the same answer each time. Files that the connection was opened on stay for GRACE seconds at least: a
query that a busy machine has not finished by then may fail, and is counted as late.
"""

import json
import sys
import threading
import time

import duckdb

path, grace = sys.argv[1], float(sys.argv[2])
hold = 0.0 if sys.argv[3] == "fresh" else float(sys.argv[3])
IDS = {"beacons": "event_id", "visits": "visit_id"}
PAUSE = 0.02

report = {
    "duckdb": duckdb.__version__, "queries": 0, "late": 0, "problems": 0, "examples": [],
    "longest": 0.0, "rows": dict.fromkeys(IDS, 0),
}
seen = {view: set() for view in IDS}
ended = threading.Event()


def problem(text):
    report["problems"] += 1
    if len(report["examples"]) < 10:
        report["examples"].append(text[:600])


def look(lake, view):
    began = time.monotonic()
    rows = [id for (id,) in lake.execute(f"SELECT {IDS[view]} FROM {view}").fetchall()]
    report["queries"] += 1
    report["longest"] = max(report["longest"], time.monotonic() - began)
    now = set(rows)
    if len(now) < len(rows):
        problem(f"{view}: {len(rows) - len(now)} of {len(rows)} rows are there twice")
    if missing := seen[view] - now:
        problem(f"{view}: {len(missing)} of {len(seen[view])} rows are gone, as {min(missing)}")
    seen[view] |= now
    report["rows"][view] = len(now)
    return len(rows)


def connection():
    with duckdb.connect(path, read_only=True) as lake:
        lake.execute("SET threads = 1")
        until = time.monotonic() + hold
        first = {view: look(lake, view) for view in IDS}
        while time.monotonic() < until and not ended.is_set():
            time.sleep(PAUSE)
            for view in IDS:
                if (n := look(lake, view)) != first[view]:
                    problem(f"{view}: {first[view]} rows, then {n} on the same connection")


threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    began = time.monotonic()
    try:
        connection()
    except Exception as e:  # no query may fail, whatever it says
        took = time.monotonic() - began
        if took > grace:
            report["late"] += 1
        else:
            problem(f"after {took:.2f} s: {type(e).__name__}: {e}")
    time.sleep(PAUSE)
json.dump(report, sys.stdout)
