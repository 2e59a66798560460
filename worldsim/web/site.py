"""A site: worlds as a folder of static files, for any host. Written whole or not at all. Runs no network but the start.

site.json                        format, who plays ("browser"), worlds, size and sha256 of every file
index.html app.css *.js          the page
ort/                             ONNX Runtime for browsers; its large files gzipped, unpacked by the page
worlds/NAME/step.onnx weights.bin
worlds/NAME/start-00.safetensors start-00.png    the state at each start, as `Session.snapshot` has it; its picture
worlds/NAME/preview.png          frames of the first start, top to bottom, for the gallery
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim.artifact import ArtifactKind
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.viewer.goal import goal_of
from worldsim.web.fetch_ort import FILES

SITE = ArtifactKind(
    noun="a site",
    manifest="site.json",
    format=1,
    written_by="worldsim export web",
    way_out="Export the site again.",
)
STATIC = Path(__file__).parent / "static"
PREVIEW_FRAMES = 32  # at most


def write_site(out: Path, bundles: Sequence[Bundle], ort: Path) -> int:
    """Write a site; an older one there is replaced.

    Args:
        out: its folder.
        bundles: its worlds, in the order of the gallery.
        ort: where `worldsim.web.fetch_ort.find_ort` found ONNX Runtime.

    Returns:
        bytes of all files.

    Raises:
        WorldsimError: if a world can't be run by a browser, or `out` can't be written.
    """
    with SITE.staging(out) as folder:
        shutil.copytree(STATIC, folder, dirs_exist_ok=True)
        (folder / "ort").mkdir()
        for name in FILES:
            if name.endswith(".wasm"):
                packed = gzip.compress((ort / name).read_bytes(), 9, mtime=0)
                (folder / "ort" / f"{name}.packed").write_bytes(packed)
            else:
                shutil.copyfile(ort / name, folder / "ort" / name)
        worlds = []
        for bundle in bundles:
            place = folder / "worlds" / bundle.spec.name
            place.mkdir(parents=True)
            write_world(place, bundle)
            worlds.append(describe(bundle))
        SITE.write_manifest(folder, {"plays": "browser", "worlds": worlds})
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def describe(bundle: Bundle) -> dict[str, Any]:
    """What the page is told of a world, as JSON."""
    spec, sizes = bundle.spec, bundle.sizes
    return {
        "name": spec.name,
        "title": spec.title or spec.name,
        "goal": goal_of(bundle),
        "bundle": bundle.digest,
        "width": spec.width,
        "height": spec.height,
        "fps": spec.fps,
        "actions": [{"name": action.name, "buttons": list(action.buttons)} for action in spec.actions],
        "keys": {button: list(keys) for button, keys in spec.keys.items()},
        "starts": len(bundle.starts),
        "sizes": {
            "window": sizes.window,
            "latents": list(sizes.latents),
            "entry": list(sizes.entry),
            "retention": [list(step) for step in sizes.retention],
            "memory": sizes.memory and list(sizes.memory),
            "pose": sizes.pose,
            "draws": sizes.draws,
        },
    }


def write_world(folder: Path, bundle: Bundle) -> None:
    """Write the files of one world."""
    from worldsim.web.graphs import WEIGHTS, browser_step

    graph, weights = browser_step(bundle)
    (folder / "step.onnx").write_bytes(graph)
    (folder / WEIGHTS).write_bytes(weights)
    session = Session(load_runtime(bundle, device="cpu"))
    for start in range(len(bundle.starts)):
        state = session.start([start], [0])
        (folder / f"start-{start:02d}.safetensors").write_bytes(session.snapshot(state))
        (folder / f"start-{start:02d}.png").write_bytes(picture(state.frame[0]))
    (folder / "preview.png").write_bytes(preview(bundle))


def preview(bundle: Bundle) -> bytes:
    """The newest frames of the first start, top to bottom, as PNG."""
    return picture(np.concatenate(list(bundle.starts.frames[0, -PREVIEW_FRAMES:])))


def picture(frame: np.ndarray, compression: int = 9) -> bytes:
    """uint8 RGB `[H, W, 3]` as PNG."""
    ok, data = cv2.imencode(".png", frame[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, compression])
    assert ok
    return data.tobytes()
