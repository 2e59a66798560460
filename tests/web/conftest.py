"""Sites and servers to test with."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle
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
def site(tiny_world: Path, ort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny world as a site."""
    out = tmp_path_factory.mktemp("site")
    write_site(out, [Bundle(tiny_world)], ort)
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
