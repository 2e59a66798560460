"""Sites and servers to test with."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.numpy

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import BUNDLE, Bundle
from worldsim.web.fetch_ort import find_ort
from worldsim.web.site import write_site


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Any static host: no special headers, no log."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def ort() -> Path:
    """ONNX Runtime Web, where `python -m worldsim.web.fetch_ort` was run."""
    try:
        return find_ort()
    except WorldsimError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def endless_world(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world, whose untrained network says of every third frame that it is the last, without ends."""
    world = Path(shutil.copytree(tiny_world, tmp_path_factory.mktemp("endless") / "tiny"))
    weights = safetensors.numpy.load_file(world / "model.safetensors")
    weights["world_model.denoiser.outcome_out.bias"] += 20  # rewards too; nobody looks at them here
    safetensors.numpy.save_file(weights, world / "model.safetensors")
    manifest = BUNDLE.read_manifest(world)
    (world / BUNDLE.manifest).unlink()
    content = {key: value for key, value in manifest.items() if key not in ("format", "files", "digest")}
    BUNDLE.write_manifest(world, content)
    return world


@pytest.fixture(scope="session")
def site(endless_world: Path, ort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world as a site."""
    out = tmp_path_factory.mktemp("site")
    write_site(out, [Bundle(endless_world)], ort)
    return out


@pytest.fixture
def site_url(site: Path) -> Iterator[str]:
    """Where a plain web server has it."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
