"""Folders that we write: whole or not at all, and checked when they are read. Knows nothing of what is in them.

One file of a folder is its manifest, JSON: its format, the size and sha256 of every file, and a digest of all that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worldsim.errors import WorldsimError


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
        """A folder to write into, that takes the place of `out` when all went well and is gone when not.

        Raises:
            WorldsimError: if `out` holds something of another kind, or the disk is full.
        """
        out = Path(out)
        self.check_free(out)
        partial, old = (out.parent / f".{out.name}.{state}" for state in ("partial", "old"))
        shutil.rmtree(partial, ignore_errors=True)  # of a writer that was killed
        try:
            partial.mkdir(parents=True)
            yield partial
            if out.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.replace(out, old)
            os.replace(partial, out)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise WorldsimError(f"disk full while writing {out}; nothing was written. Free some space.") from error
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)

    def check_free(self, out: Path) -> None:
        """Make sure that `out` is one of this kind, empty, or not there.

        Raises:
            WorldsimError: if it holds something else.
        """
        if out.exists() and not (out / self.manifest).exists() and (not out.is_dir() or any(out.iterdir())):
            raise WorldsimError(f"{out} holds something that is not {self.noun}. Give another --out.")

    def write_manifest(self, folder: Path, content: Mapping[str, Any]) -> None:
        """Write it, when all other files are there."""
        manifest = {
            "format": self.format,
            **content,
            "files": {
                str(path.relative_to(folder).as_posix()): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            },
        }
        manifest["digest"] = digest(manifest)
        (folder / self.manifest).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")

    def read_manifest(self, folder: Path) -> dict[str, Any]:
        """What `write_manifest` wrote.

        Raises:
            WorldsimError: if it is missing, cut, changed, of another kind or of another format.
        """
        path = folder / self.manifest
        if not path.is_file():
            raise WorldsimError(
                f"{folder} is not {self.noun}: it has no {self.manifest}. Give the folder that {self.written_by} wrote."
            )
        try:
            manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
            stated, found = manifest["format"], manifest["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise WorldsimError(f"{path} is cut or is not that of {self.noun} ({error}). {self.way_out}") from error
        if stated != self.format:
            raise WorldsimError(f"{path} is of format {stated}; this worldsim reads {self.format}. {self.way_out}")
        if found != digest(manifest):
            raise WorldsimError(f"{path} was changed after it was written. {self.way_out}")
        return manifest

    def check_files(self, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Make sure that all files of a manifest are as they were written.

        Raises:
            WorldsimError: if one is missing, cut or changed.
        """
        for name, facts in files.items():
            path = folder / name
            if not path.is_file():
                raise WorldsimError(f"{path} is missing. {self.way_out}")
            if path.stat().st_size != facts["bytes"]:
                raise WorldsimError(f"{path} is cut: {path.stat().st_size} bytes of {facts['bytes']}. {self.way_out}")
            if _sha256(path) != facts["sha256"]:
                raise WorldsimError(f"{path} was changed: its sha256 is not the one in {self.manifest}. {self.way_out}")


def digest(manifest: Mapping[str, Any]) -> str:
    """Names the content of a folder: sha256 of its manifest but for the digest in it."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
