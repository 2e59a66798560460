"""Kinds of folders that we write, and check when they are read: worlds, policies. Knows nothing of what is in them.

One file of a folder is its manifest, JSON: its format, the size and sha256 of every file, and a digest of all that.
Files that no manifest lists are not looked at. What a manifest lists lies inside its folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.safe_read import read_bytes, read_json, reading

FILES = 4096  # that a manifest may list
BYTES = 4 << 30  # that they may hold together


@dataclasses.dataclass(frozen=True)
class ArtifactKind:
    """One kind of folder.

    Attributes:
        noun: what it is, for people: "a world".
        manifest: name of that file.
        format: version of what is in it; no other one is read.
        written_by: the command that writes such folders.
        way_out: what to do when one is broken, a sentence.
    """

    noun: str
    manifest: str
    format: int
    written_by: str
    way_out: str

    @contextlib.contextmanager
    def staging(self, out: str | Path) -> Iterator[Path]:
        """A folder to write into, whose content takes the place of what is in `out` when the context ends well.

        Raises:
            WorldsimError: if `out` holds something of another kind, is being written by another process or can't be
                written, or the disk is full.
        """
        self.check_free(Path(out))
        with atomic.staging(out, "Give another --out.") as folder:
            yield folder

    def check_free(self, out: Path) -> None:
        """Make sure that `out` is one of this kind, empty, or not there.

        Raises:
            WorldsimError: if it holds something else.
        """
        with reading(out, "Give another --out."):
            atomic.settle(out)
            if out.exists() and not (out / self.manifest).exists() and (not out.is_dir() or not atomic.is_empty(out)):
                raise WorldsimError(f"{out} holds something that is not {self.noun}. Give another --out.")

    def write_manifest(self, folder: Path, content: Mapping[str, Any]) -> None:
        """Write it, when all other files are there."""
        manifest = {
            "format": self.format,
            **content,
            "files": {
                path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        manifest["digest"] = digest(manifest)
        atomic.write_text(folder / self.manifest, json.dumps(manifest, indent=1) + "\n")

    def read_manifest(self, folder: Path) -> dict[str, Any]:
        """What `write_manifest` wrote: JSON of bounded size and depth, whose digest fits and whose `files` are well
        formed. What else it says is for the caller to check, `files` themselves for `check_files`.

        Raises:
            WorldsimError: if it is missing, cut, changed, of another kind or of another format.
        """
        path = folder / self.manifest
        with reading(path, self.way_out):
            atomic.settle(folder)
            if not path.is_file():
                raise WorldsimError(
                    f"{folder} is not {self.noun}: it has no {self.manifest}. "
                    f"Give the folder that {self.written_by} wrote."
                )
            manifest = read_json(path, self.way_out)
            stated, found, files = manifest["format"], manifest["digest"], manifest["files"]
            if stated != self.format:
                raise WorldsimError(f"{path} is of format {stated}; this worldsim reads {self.format}. {self.way_out}")
            if found != digest(manifest):
                raise WorldsimError(f"{path} was changed after it was written. {self.way_out}")
            if len(files) > FILES:
                raise ValueError(f"it lists {len(files):,} files; at most {FILES:,} are read")
            for name, facts in files.items():
                _check_name(name)
                if not (isinstance(facts["bytes"], int) and isinstance(facts["sha256"], str)):
                    raise ValueError(f"it states no size or sha256 of {name!r}")
            if sum(facts["bytes"] for facts in files.values()) > BYTES:
                raise ValueError(f"its files hold more than {BYTES:,} bytes")
        return manifest

    def check_files(self, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Make sure that all files of a manifest lie in its folder, and are as they were written.

        Raises:
            WorldsimError: if one is missing, cut or changed, or a name or a link leads out of the folder.
        """
        for name, facts in files.items():
            path = folder / name
            with reading(path, self.way_out):
                _check_name(name)
                if not path.is_file():
                    raise WorldsimError(f"{path} is missing. {self.way_out}")
                if not path.resolve().is_relative_to(folder.resolve()):
                    raise ValueError("it is a link that leads out of its folder")
                size = path.stat().st_size
                if size != facts["bytes"]:
                    raise WorldsimError(f"{path} is cut: {size} bytes of {facts['bytes']}. {self.way_out}")
                if _sha256(path) != facts["sha256"]:
                    raise WorldsimError(
                        f"{path} was changed: its sha256 is not the one in {self.manifest}. {self.way_out}"
                    )

    def read_file(self, folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> bytes:
        """A file of a manifest that was checked before: what the manifest says is in it, also if the folder was
        replaced meanwhile.

        Raises:
            WorldsimError: if it is not in the manifest, or is no longer what that says.
        """
        path = folder / name
        with reading(path, self.way_out):
            if name not in files:
                raise ValueError(f"{self.manifest} does not list it")
        data = read_bytes(path, files[name]["bytes"], self.way_out)
        if hashlib.sha256(data).hexdigest() != files[name]["sha256"]:
            raise WorldsimError(f"{path} was changed or replaced while {self.noun} was open there. Open it again.")
        return data


def digest(manifest: Mapping[str, Any]) -> str:
    """Names the content of a folder: sha256 of its manifest but for the digest in it."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _check_name(name: str) -> None:
    """A name in a manifest is a path inside its folder, written in one way only."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.as_posix() != name or set(name) & set("\\:\0"):
        raise ValueError(f"it names {name!r}, which is not inside the folder")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
