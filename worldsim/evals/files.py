"""The files of reports and results: read with every foreign error turned into one, written whole or not at all.

What is read may have been cut, changed or written by someone else. So each reader bounds what it takes in before it is
parsed, and its error states the way out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import atomic
from worldsim.errors import WorldsimError, require
from worldsim.safe_read import reading

MOST_UNPACKED = 1 << 30  # bytes of arrays in memory


def read_columns(path: Path, columns: Mapping[str, str], way_out: str) -> dict[str, np.ndarray]:
    """Columns of a parquet file, all of one length.

    Args:
        columns: the name of each that must be there -> numpy kinds that it may have, as in "if"; "U" is text.
        way_out: what to do where there is none, or it is broken; a sentence.

    Raises:
        WorldsimError: if it is missing, can't be read or is too large; or a column is missing, holds something else, or
            has nulls.
    """
    pyarrow, parquet = require("pyarrow", "eval"), require("pyarrow.parquet", "eval")
    with reading(path, way_out):
        try:
            file = parquet.ParquetFile(path)
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            _bounded(sum(group.total_byte_size for group in groups), MOST_UNPACKED)
            table = file.read()
        except pyarrow.lib.ArrowException as error:  # not all of them are ValueErrors
            raise ValueError(str(error)) from error
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        return {name: _column(name, table[name], kinds) for name, kinds in columns.items()}


def typed(content: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]]) -> None:
    """Check that an object has these fields, of these types; a bool is no number.

    Raises:
        ValueError: naming the first that is missing or of another type.
    """
    for name, kind in fields.items():
        if name not in content:
            raise ValueError(f"it has no {name!r}")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        value = content[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"its {name!r} is a {type(value).__name__}")


@contextlib.contextmanager
def checking(path: Path, way_out: str) -> Iterator[None]:
    """Turns a `ValueError` about the content of a file that was read into the user's error."""
    try:
        yield
    except WorldsimError:
        raise
    except ValueError as error:
        raise WorldsimError(f"{path} can't be used: {error}. {way_out}") from error


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files below a folder, each whole or not at all, in this order; names may have folders of their own.

    Raises:
        WorldsimError: if they can't be written.
    """
    for name, data in files.items():
        atomic.write_bytes(folder / name, data, "Give another --out.")
    return [folder / name for name in files]


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """An object as JSON that any parser takes: no NaN, no infinity."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _bounded(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"it holds {size:,} bytes, more than {most:,}")


def _column(name: str, column: Any, kinds: str) -> np.ndarray:
    if column.null_count:
        raise ValueError(f"its column {name} has nulls")
    values = column.to_numpy()
    if "U" in kinds and values.dtype == object:
        values = values.astype(str) if all(isinstance(v, str) for v in values) else values
    if values.dtype.kind not in kinds:
        raise ValueError(f"its column {name} is of type {column.type}")
    return values
