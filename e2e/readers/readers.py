"""Reads Parquet files of the lake as TABLES.md says, by pyarrow, pandas or polars, and prints what
it finds, one fact a line, its parts apart by tabs:

    column  TABLE COLUMN ID TYPE                  of each file, pyarrow alone
    type    TABLE COLUMN TYPE                     as the engine calls it
    values  TABLE COLUMN ROWS NULLS CHECKSUM      which does not depend on the order of rows

readers.py ENGINE LAKE LIST: LIST has a line for each file, its table and its path.
"""

import collections
import hashlib
import math
import sys

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def by_pyarrow(files, empty):
    schema = pq.read_schema(empty)
    table = ds.dataset(files, schema=schema, format="parquet").to_table()
    for field in table.schema:
        column = table.column(field.name)
        if pa.types.is_timestamp(field.type):
            column = column.cast(pa.int64())
        yield field.name, field.type, column.to_pylist()


def by_pandas(files, empty):
    schema = pq.read_schema(empty)
    frame = pd.read_parquet(files, schema=schema, partitioning=None, dtype_backend="pyarrow")
    for name, column in frame.items():
        dtype = column.dtype
        if pa.types.is_timestamp(dtype.pyarrow_dtype):
            column = column.astype("int64[pyarrow]")
        yield name, dtype, [None if v is pd.NA else v for v in column.tolist()]


def by_polars(files, empty):
    schema = pl.read_parquet_schema(empty)
    frame = pl.scan_parquet(
        files, schema=schema, missing_columns="insert", hive_partitioning=False
    ).collect()
    for name, dtype in frame.schema.items():
        column = frame[name]
        if dtype == pl.Datetime:
            column = column.dt.epoch("us")
        yield name, dtype, column.to_list()


def columns(path):
    """Yields the columns of a file as they are in it."""
    schema = pq.ParquetFile(path).schema
    arrow = schema.to_arrow_schema()
    for i, field in enumerate(arrow):
        column = schema.column(i)
        logical = column.logical_type
        kind = {
            "STRING": ", STRING",
            "TIMESTAMP": ", TIMESTAMP(MICROS,UTC)",
            "DECIMAL": f", DECIMAL({column.precision},{column.scale})",
        }.get(logical.type, "")
        if logical.type == "TIMESTAMP" and field.type != pa.timestamp("us", "UTC"):
            kind = f", {field.type}"
        identity = field.metadata[b"PARQUET:field_id"].decode()
        yield field.name, identity, column.physical_type + kind


def digest(value):
    """Is what DuckDB computes of a value as well."""
    if isinstance(value, str):
        value = value.encode()
    elif isinstance(value, bool):
        value = b"true" if value else b"false"
    elif isinstance(value, float):
        value = str(math.floor(math.ldexp(value, 52))).encode()
    elif not isinstance(value, bytes):
        value = format(value, "f" if not isinstance(value, int) else "d").encode()
    return int(hashlib.md5(value).hexdigest()[:15], 16)


def main(engine, lake, listing):
    read = {"pyarrow": by_pyarrow, "pandas": by_pandas, "polars": by_polars}[engine]
    tables = collections.defaultdict(list)
    with open(listing, encoding="utf-8") as lines:
        for line in lines:
            table, path = line.rstrip("\n").split("\t")
            tables[table].append(path)
    for table, files in tables.items():
        if engine == "pyarrow":
            for name, identity, kind in {c for path in files for c in columns(path)}:
                print("column", table, name, identity, kind, sep="\t")
        for name, kind, values in read(files, f"{lake}/_schema/{table}.parquet"):
            print("type", table, name, kind, sep="\t")
            counts = collections.Counter(values)
            nulls = counts.pop(None, 0)
            checksum = sum(n * digest(value) for value, n in counts.items())
            print("values", table, name, len(values), nulls, checksum, sep="\t")


main(*sys.argv[1:])
