"""Files that others may have cut, changed or made up: bounded before anything is allocated, and one error if damaged.

    facts = read_json(path, "Export the world again.")
    tensors, metadata = read_safetensors(path, "Train again.")

Every reader raises one `WorldsimError` with the path and the way out, whatever the library below says. No pickle.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors
import safetensors.numpy

from worldsim.errors import WorldsimError

JSON_BYTES = 64 << 20
JSON_DEPTH = 64
HEADER_BYTES = 8 << 20  # of a safetensors file: its names, shapes and metadata
NPZ_BYTES = 1 << 30  # of all arrays, unpacked
PIXELS = 1 << 26  # of a picture
PNG = b"\x89PNG\r\n\x1a\n"
# What libraries raise for data that isn't theirs, or was cut or changed; ours to explain, not to print.
FOREIGN = (
    OSError,
    ValueError,  # among them: JSON, Unicode and pyarrow's own errors
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,  # among them RecursionError, h5py's and Zarr's codecs' errors
    AssertionError,
    ArithmeticError,
    EOFError,
    MemoryError,
    ImportError,
    struct.error,
    zipfile.BadZipFile,
    safetensors.SafetensorError,
)


@contextlib.contextmanager
def reading(path: str | Path, way_out: str) -> Iterator[None]:
    """Turns whatever a library raises over a file into the user's error; for code that only reads `path`.

    Raises:
        WorldsimError: with the path, the reason and the way out.
    """
    try:
        yield
    except WorldsimError:
        raise
    except FileNotFoundError as error:
        raise WorldsimError(f"there is no {error.filename or path}. {way_out}") from error
    except FOREIGN as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:300] or type(error).__name__
        raise WorldsimError(f"{path} can't be read ({reason}). {way_out}") from error


def read_bytes(path: str | Path, limit: int, way_out: str) -> bytes:
    """A whole file of at most `limit` bytes."""
    with reading(path, way_out), Path(path).open("rb") as file:
        data = file.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"more than {limit:,} bytes")
        return data


def read_json(path: str | Path, way_out: str, limit: int = JSON_BYTES) -> dict[str, Any]:
    """A JSON object of at most `limit` bytes, nested at most `JSON_DEPTH` deep."""
    return parse_json(read_bytes(path, limit, way_out), path, way_out)


def parse_json(data: bytes | str, path: str | Path, way_out: str) -> dict[str, Any]:
    """A JSON object that was read from `path`, nested at most `JSON_DEPTH` deep."""
    with reading(path, way_out):
        try:
            found = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(found, dict):
            raise ValueError(f"a JSON {type(found).__name__}, not an object")
        level: list[Any] = [found]
        for _ in range(JSON_DEPTH):
            level = [
                value
                for holder in level
                for value in (holder.values() if isinstance(holder, dict) else holder)
                if isinstance(value, (dict, list))
            ]
            if not level:
                return found
        raise ValueError(f"nested more than {JSON_DEPTH} deep")


def read_safetensors(path: str | Path, way_out: str, framework: str = "np") -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors by name, and the metadata of the file.

    Args:
        path: of the file.
        way_out: what to do if it is damaged, a sentence.
        framework: of the tensors: "np" for NumPy, "pt" for torch.
    """
    with reading(path, way_out):
        with Path(path).open("rb") as file:
            _check_header(file.read(8))
        with safetensors.safe_open(path, framework=framework) as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}, dict(tensors.metadata() or {})  # noqa: SIM118


def parse_safetensors(data: bytes, path: str | Path, way_out: str) -> dict[str, np.ndarray]:
    """Arrays by name of a safetensors file that was read from `path`."""
    with reading(path, way_out):
        _check_header(data[:8])
        return safetensors.numpy.load(data)


def _check_header(start: bytes) -> None:
    (header,) = struct.unpack("<Q", start)
    if header > HEADER_BYTES:
        raise ValueError(f"a header of {header:,} bytes; at most {HEADER_BYTES:,} are read")


def read_npz(path: str | Path, way_out: str, limit: int = NPZ_BYTES) -> dict[str, np.ndarray]:
    """Arrays by name of an .npz file, at most `limit` bytes of them."""
    with reading(path, way_out), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > limit:
            raise ValueError(f"it unpacks to more than {limit:,} bytes")
        return {member.filename.removesuffix(".npy"): _read_npy(archive.read(member)) for member in members}


def _read_npy(data: bytes) -> np.ndarray:
    """NumPy allocates what the header says before it looks at how much there is: so look first."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = read_header[version](file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"an array {dtype} {list(shape)} in {len(data):,} bytes")
    file.seek(0)
    return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def read_png(path: str | Path, way_out: str, pixels: int = PIXELS) -> np.ndarray:
    """A PNG picture of at most `pixels` pixels as uint8 RGB `[H, W, 3]`."""
    return parse_png(read_bytes(path, 4 * pixels + 2**16, way_out), path, way_out, pixels)


def parse_png(data: bytes, path: str | Path, way_out: str, pixels: int = PIXELS) -> np.ndarray:
    """A PNG picture that was read from `path`, as `read_png` gives it."""
    with reading(path, way_out):
        if not data.startswith(PNG):
            raise ValueError("not a PNG file")
        width, height = struct.unpack(">II", data[16:24])
        if not 0 < width * height <= pixels:
            raise ValueError(f"{width:,}x{height:,} pixels; at most {pixels:,} are read")
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError("cut or damaged")
        return np.ascontiguousarray(picture[..., ::-1], np.uint8)
