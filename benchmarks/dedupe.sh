#!/usr/bin/env bash
# Splink beside crumbtrail dedupe, on the same file of made-up contacts: benchmarks/dedupe.md.
#
#   benchmarks/dedupe.sh [ROWS [MODEL…]]     default: 100000 tuned tutorial
#
# Prints a JSON object for each run. Needs Python 3.10 or newer with venv, and installs Splink and
# DuckDB into a folder of its own (PEER, default: a new one that is deleted).
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-100000}
shift || true
[ $# -gt 0 ] || set -- tuned tutorial
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
peer=${PEER:-$scratch/venv}
[ -x "$peer/bin/python" ] || python3 -m venv "$peer"
"$peer/bin/pip" install --quiet splink==4.0.17 duckdb==1.5.6
go build -o "$scratch/crumbtrail" .
"$scratch/crumbtrail" bench people --rows "$rows" --out "$scratch/people.csv" >&2
"$scratch/crumbtrail" bench dedupe --rows "$rows" --json
for model in "$@"; do
    "$peer/bin/python" benchmarks/peers/dedupe_splink.py "$scratch/people.csv" --model "$model"
done
