"""ONNX Runtime for browsers: one pinned version of npm's package onnxruntime-web, of which a site needs six files.

    python -m worldsim.web.fetch_ort            once, with npm; from then on `worldsim export web` finds it

Fetched through the npm client, checked against the hashes below, and kept in the user's cache. Knows no worlds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from worldsim import atomic
from worldsim.errors import WorldsimError

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
FILES = {  # name -> sha256
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
FETCH = "Run, with npm installed: python -m worldsim.web.fetch_ort"


def default_folder() -> Path:
    """Where a fetched copy is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "worldsim" / f"{PACKAGE}-{VERSION}"


def find_ort(folder: Path | None = None) -> Path:
    """The folder that holds the pinned files, each checked.

    Args:
        folder: that of the user, for example `node_modules/onnxruntime-web/dist`; the cache if None.

    Raises:
        WorldsimError: if a file is missing or of another version.
    """
    place = folder or default_folder()
    for name, sha256 in FILES.items():
        path = place / name
        if not path.is_file():
            raise WorldsimError(f"{PACKAGE} {VERSION} is not in {place} (no {name}). {FETCH}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise WorldsimError(f"{path} is not that of {PACKAGE} {VERSION}. {FETCH}")
    return place


def fetch(folder: Path) -> None:
    """Have npm download the package, and keep the files that a site needs.

    Raises:
        WorldsimError: if npm is missing or fails, what comes is not the pinned version, or `folder` can't be written.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise WorldsimError("npm is not installed. Install Node.js, or give a copy: worldsim export web --ort DIR")
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", "--json", "--pack-destination", scratch, f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldsimError(f"npm can't fetch {PACKAGE} {VERSION}: {(done.stderr or done.stdout).strip()[-300:]}")
        with tarfile.open(Path(scratch) / json.loads(done.stdout)[0]["filename"]) as archive:
            for name in FILES:
                archive.extract(f"package/dist/{name}", scratch, filter="data")
        dist = find_ort(Path(scratch) / "package" / "dist")
        with atomic.staging(folder) as staged:
            for name in FILES:
                shutil.copyfile(dist / name, staged / name)


def main() -> int:
    """`python -m worldsim.web.fetch_ort`."""
    parser = argparse.ArgumentParser(prog="python -m worldsim.web.fetch_ort", description="Fetch ONNX Runtime Web.")
    parser.add_argument("--out", type=Path, default=default_folder(), help="where to keep it")
    out = parser.parse_args().out
    try:
        fetch(out)
    except WorldsimError as error:
        print(f"worldsim: {error}", file=sys.stderr)
        return 2
    print(f"{PACKAGE} {VERSION} is in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
