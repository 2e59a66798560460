"""A real Chromium without a window, driven through its DevTools protocol: pages, scripts in them, keys, pictures."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from worldsim.errors import WorldsimError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--no-first-run",
    "--remote-debugging-port=0",
)


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection):
        self._socket, self._numbers = socket, itertools.count(1)
        self.log: list[str] = []  # what went wrong in the page
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                result: dict[str, Any] = message["result"]
                return result
            if message.get("method") == "Runtime.exceptionThrown":
                self.log.append(json.dumps(message["params"]["exceptionDetails"])[:1000])
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.log.append(message["params"]["entry"]["text"] + " " + message["params"]["entry"].get("url", ""))

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, json.dumps(result["exceptionDetails"])[:2000]
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 60, every: float = 0.1) -> Any:
        """The value of an expression once it is true, tried so often; a page that is loading again counts as false.

        Raises:
            WorldsimError: if it does not come true in so many seconds.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(AssertionError):
                if value := self.run(condition):
                    return value
            time.sleep(every)
        raise WorldsimError(f"{condition} did not come true; the page's errors: {self.log}")

    def key(self, code: str, down: bool) -> None:
        """A physical key goes down or up."""
        self.call("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", code=code, key=code)

    def size(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Size of the window in CSS pixels, colours, and whether it is a phone's."""
        scale = 2 if phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Write a screenshot as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A fresh browser with one empty tab; its profile lies in `folder`.

    Raises:
        WorldsimError: if there is none, or it does not start.
    """
    if CHROMIUM is None:
        raise WorldsimError("Chromium is not installed, or not on the PATH as chromium or google-chrome.")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found, end = folder / "DevToolsActivePort", time.monotonic() + 60
        while not (found.exists() and len(found.read_text().splitlines()) == 2):
            if process.poll() is not None or time.monotonic() > end:
                raise WorldsimError(f"{CHROMIUM} does not start")
            time.sleep(0.1)
        port, path = found.read_text().splitlines()
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as root:
            root.send(json.dumps({"id": 0, "method": "Target.getTargets"}))
            (target,) = [t for t in json.loads(root.recv())["result"]["targetInfos"] if t["type"] == "page"]
        with connect(f"ws://127.0.0.1:{port}/devtools/page/{target['targetId']}", max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(20)
