"""Runs each *.sql of a directory on a lake, and writes the answer as CSV into another one."""

import pathlib
import sys

import duckdb

path, questions, answers = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
answers.mkdir()
with duckdb.connect(path, read_only=True) as lake:
    lake.execute("SET TimeZone = 'UTC'")
    for question in sorted(questions.glob("*.sql")):
        answer = answers / (question.stem + ".csv")
        lake.execute(f"COPY ({question.read_text()}) TO '{answer}' (FORMAT csv, HEADER)")
