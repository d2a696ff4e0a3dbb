"""Writes rows as a Parquet file; the one place of ours that knows pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from kerbline.store.database import StoreError

try:
    import pyarrow as pa
    from pyarrow import parquet as pq
except ImportError as error:
    raise StoreError("Parquet needs pyarrow: pip install 'kerbline[analysis]'") from error

GROUP_ROWS = 20_000  # in memory at a time

_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "text": pa.string(),
    "time": pa.timestamp("ms", tz="UTC"),
    "list": pa.list_(pa.float64()),
}


def write(path: Path, columns: Mapping[str, str], rows: Iterator[dict[str, Any]]) -> None:
    """Write `rows`, which may lack columns, with the types that export.py names."""
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    texts = [name for name, kind in columns.items() if kind == "text"]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:  # type: ignore[no-untyped-call]
        while group := list(islice(rows, GROUP_ROWS)):
            for row in group:
                for name in texts:  # a value that is a number here and a text there
                    if not isinstance(row.get(name, ""), str):
                        row[name] = str(row[name])
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
