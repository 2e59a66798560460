"""Files that were cut, changed or made up are one error, before anything large is allocated."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from worldsim import safe_read
from worldsim.errors import WorldsimError

WAY_OUT = "Make it again."


def refused(words: str) -> pytest.RaisesExc[WorldsimError]:
    return pytest.raises(WorldsimError, match=f"file.*{words}.*{WAY_OUT}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


READERS = (safe_read.read_json, safe_read.read_safetensors, safe_read.read_npz, safe_read.read_png)


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_such_file_is_one_error(path, read):
    with refused("there is no|") as caught:
        read(path, WAY_OUT)
    assert "there is no" in str(caught.value)
    for content in (b"", b"{", b"\xff" * 99, b"PK\x03\x04", safe_read.PNG):
        path.write_bytes(content)
        with refused("can't be read"):
            read(path, WAY_OUT)
    path.unlink()
    path.mkdir()
    with refused("can't be read"):
        read(path, WAY_OUT)


def test_json(path):
    path.write_text('{"a": [1, {"b": null}]}')
    assert safe_read.read_json(path, WAY_OUT) == {"a": [1, {"b": None}]}
    for text, words in (
        ("[]", "not an object"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested more than 64 deep"),
    ):
        path.write_text(text)
        with refused(words):
            safe_read.read_json(path, WAY_OUT)
    path.write_text(json.dumps({"a": "x" * 100}))
    with refused("more than 50 bytes"):
        safe_read.read_json(path, WAY_OUT, 50)


def test_safetensors(path):
    save_file({"a": np.arange(3)}, path, {"why": "because"})
    tensors, metadata = safe_read.read_safetensors(path, WAY_OUT)
    assert tensors["a"].tolist() == [0, 1, 2] and metadata == {"why": "because"}
    header = b'{"__metadata__":{"a":"' + b"x" * (9 << 20) + b'"}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with refused("a header of 9,437"):
        safe_read.read_safetensors(path, WAY_OUT)


def test_npz(path):
    with path.open("wb") as file:
        np.savez_compressed(file, a=np.zeros((2, 3)), b=np.arange(4))
    assert {name: array.shape for name, array in safe_read.read_npz(path, WAY_OUT).items()} == {"a": (2, 3), "b": (4,)}
    with refused("unpacks to more than 100 bytes"):
        safe_read.read_npz(path, WAY_OUT, 100)


@pytest.mark.parametrize("dtype", ["'|u1'", "'|O'"])
def test_an_array_that_claims_more_than_there_is_is_not_allocated(path, dtype):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**13,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header.getvalue().replace(b"'|u1'", dtype.encode().ljust(5)) + b"\0" * 100)
    with refused("can't be read"):
        safe_read.read_npz(path, WAY_OUT)


def test_png(path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    data = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    path.write_bytes(data)
    np.testing.assert_array_equal(safe_read.read_png(path, WAY_OUT), picture)
    with refused("7x5 pixels; at most 30"):
        safe_read.read_png(path, WAY_OUT, 30)
    path.write_bytes(data[:16] + struct.pack(">II", 100_000, 100_000) + data[24:])
    with refused("100,000x100,000 pixels"):
        safe_read.read_png(path, WAY_OUT)


def test_a_file_that_may_not_be_read_is_one_error(path):
    path.write_text("{}")
    path.chmod(0)
    try:
        path.read_text()
        pytest.skip("everything may be read here")
    except PermissionError:
        with refused("Permission denied"):
            safe_read.read_json(path, WAY_OUT)
