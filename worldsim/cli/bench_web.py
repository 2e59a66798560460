"""`worldsim bench web`: a world in a real Chromium: what is loaded, the first frame, frames a second, key to frame."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.cli.reporting import report_folder
from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import open_world
from worldsim.terminal import console

if TYPE_CHECKING:
    from worldsim.web.chromium import Page

FRAME = "parseInt(document.getElementById('index').textContent)"
FACTS = """[document.getElementById('fps').textContent, document.getElementById('latency').textContent,
  document.getElementById('cost').textContent].map(parseFloat)"""
AGAIN = "document.querySelector('#notice-buttons button')?.click()"  # where the world has ended
# As the worker does it, but without its clock: steps one after another, and the part of each that is the network.
STEPS = """(async () => {
  const {loadNetwork, fetchFile, threads} = await import('./network.js')
  const {World, readTensors} = await import('./world.js')
  const site = await (await fetch('site.json')).json(), [description] = site.worlds
  const network = await loadNetwork(site, description.name, 'BACKEND', () => {})
  let inside = 0
  const run = async (inputs) => {
    const began = performance.now(), outputs = await network(inputs)
    inside += performance.now() - began
    return outputs
  }
  const world = new World(description, run)
  const start = await fetchFile(site, `worlds/${description.name}/start-00.safetensors`)
  let state = world.begin(readTensors(start.buffer), 1n)
  for (let i = 0; i < WARM; i++) [state] = await world.step(state, i % description.actions.length)
  inside = 0
  const began = performance.now()
  for (let i = 0; i < COUNT; i++) [state] = await world.step(state, i % description.actions.length)
  return [threads(), (performance.now() - began) / COUNT, inside / COUNT]
})()"""


@dataclasses.dataclass(frozen=True)
class BenchWebConfig:
    """Measure a world in a browser without a server: worldsim bench web doom-maze

    Needs Chromium. The site is on this machine, so what is measured is not the network's speed.

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        seconds: of play.
        ort: folder with ONNX Runtime Web, as for `worldsim export web`.
        out: where `bench-web.json` goes; `reports/NAME` if not given.
    """

    world: tyro.conf.Positional[str]
    seconds: float = 10.0
    ort: Path | None = None
    out: Path | None = None


def bench_web(config: BenchWebConfig) -> None:
    """Measure, print a table and write `bench-web.json`.

    Raises:
        WorldsimError: for a world that can't be opened, a missing package, no Chromium, or a page that does not play.
    """
    for module in ("onnx", "websockets"):
        require(module, "web")
    from worldsim.web.chromium import chromium
    from worldsim.web.fetch_ort import find_ort
    from worldsim.web.site import write_site

    bundle = open_world(config.world)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_site(site, [bundle], find_ort(config.ort))
        with _Host(site) as host, chromium(Path(folder) / "profile") as page:
            figures = _measure(page, host, bundle.spec.name, next(iter(bundle.spec.keys.values()))[0], config.seconds)
    figures = {**figures, "the world's own frames a second": bundle.spec.fps}
    table = Table(title=f"{bundle.spec.title} in Chromium, {usable_cores()} cores", show_header=False)
    figures = {name: value for name, value in figures.items() if value is not None}  # no key, no latency
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    console().print(table)
    path = report_folder(config.out, bundle.spec.name) / "bench-web.json"
    atomic.write_text(
        path, json.dumps({"world": bundle.spec.name, "cores": usable_cores(), **figures}, indent=1) + "\n"
    )
    console().print(f"wrote {path}", soft_wrap=True)


def _measure(page: Page, host: _Host, world: str, key: str, seconds: float) -> dict[str, float]:
    """Open the world, play it, and then let it run as fast as it can."""
    url = f"http://127.0.0.1:{host.server_port}/"
    began = time.perf_counter()
    page.open(f"{url}#world={world}&start=0&seed=1")
    page.wait(f"{FRAME} >= 1", every=0.01)
    first = time.perf_counter() - began
    megabytes = host.sent / 1e6
    end, down = time.perf_counter() + seconds, False
    while time.perf_counter() < end:
        down = not down
        page.key(key, down)
        page.run(AGAIN)
        time.sleep(0.35)
    fps, latency, cost = page.run(FACTS)
    page.open("about:blank")  # ends the world's worker
    page.open(url)
    page.wait("document.querySelectorAll('#worlds button').length == 1 && crossOriginIsolated")
    script = STEPS.replace("BACKEND", "wasm").replace("WARM", "20").replace("COUNT", "100")
    threads, step, network = page.run(script)
    if page.log:
        raise WorldsimError(f"the page has errors: {page.log[0][:300]}")
    return {
        "loaded before the first frame (MB)": megabytes,
        "first frame (s)": first,
        "frames a second, in play": fps,
        "key to frame, median (ms)": latency,
        "a step in play (ms)": cost,
        "threads": threads,
        "a step, one after another (ms)": step,
        "of it the network (ms)": network,
        "frames a second, as fast as possible": 1e3 / step,
    }


class _Host(http.server.ThreadingHTTPServer):
    """Any static host, without special headers, for a folder; counts the bytes of the files that it sent."""

    def __init__(self, site: Path):
        self.sent = 0
        super().__init__(("127.0.0.1", 0), functools.partial(_Handler, directory=str(site)))

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: _Host

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            self.server.sent += int(value)
        super().send_header(keyword, value)

    def log_message(self, format: str, *args: object) -> None:
        pass
