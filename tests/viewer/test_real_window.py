"""The program in a real window, on a virtual X screen: keys from the X server, pixels from its frame buffer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from worldsim.data.video import read_frames
from worldsim.viewer import theme

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30  # seconds, on a busy machine


@pytest.fixture
def display(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A virtual X screen: its name, and the folder with its frame buffer."""
    missing = [tool for tool in ("Xvfb", "xdotool") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (apt install xvfb xdotool)")
    reading, writing = os.pipe()
    buffer = tmp_path / "screen"
    buffer.mkdir()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x1024x24", "-fbdir", str(buffer)]
    command += ["-nolisten", "tcp"]
    command += ["-noreset"]  # else it starts afresh whenever a lone client leaves, and turns away one that comes then
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}", buffer / "Xvfb_screen0"
    finally:
        server.terminate()
        server.wait()


def screenshot(buffer: Path) -> np.ndarray:
    """The screen, uint8 RGB `[H, W, 3]`, from Xvfb's frame buffer (an XWD file: big-endian header, colours, BGRX)."""
    data = buffer.read_bytes()
    header = np.frombuffer(data, ">u4", 25)
    size, width, height, stride, colours = (int(header[i]) for i in (0, 4, 5, 12, 19))
    pixels = np.frombuffer(data, np.uint8, height * stride, size + 12 * colours).reshape(height, stride // 4, 4)
    return pixels[:, :width, 2::-1]


@pytest.mark.slow
def test_a_real_window(display, world, left, tmp_path):
    name, buffer = display
    hidden = ("SDL_", "WAYLAND_", "XDG_RUNTIME_DIR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environment |= {"DISPLAY": name}
    video = tmp_path / "out.mp4"

    def xdotool(*arguments: str) -> str:
        command = ["xdotool", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout.strip()

    def windows() -> list[str]:
        return xdotool("search", "--onlyvisible", "--class", "play.py").split()

    def geometry(window: str) -> str:
        return xdotool("getwindowgeometry", window)

    def until(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert program.poll() is None, f"ended early: {program.communicate()}"
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def moves_after(*arguments: str) -> None:
        before = screenshot(buffer)
        xdotool(*arguments)
        until(lambda: not np.array_equal(screenshot(buffer), before), f"the picture stands still after {arguments}")

    def still() -> bool:
        before = screenshot(buffer)
        time.sleep(0.7)
        return np.array_equal(screenshot(buffer), before)

    def lit() -> int:
        """Pixels of the colour of a pressed key's cap."""
        return int((screenshot(buffer) == theme.ACCENT).all(axis=-1).sum())

    command = [sys.executable, "play.py", "--world", str(world.path), "--record", str(video), "--device", "cpu"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=pipe, stderr=pipe, text=True) as program:
        try:
            until(lambda: bool(windows()), "no window")
            window = windows()[0]
            xdotool("windowfocus", "--sync", window)
            xdotool("key", "Return")  # a single frame; time stands still from there on
            until(still, "the picture moves in a pause")
            unlit, keysym = lit(), left[0].removeprefix("Arrow")
            xdotool("keydown", keysym)
            until(lambda: lit() > unlit + 200, "the pressed key does not light up")
            until(still, "the picture moves in a pause")
            moves_after("key", "Return")
            xdotool("keyup", keysym)
            until(lambda: lit() <= unlit, "the key stays lit")
            moves_after("windowsize", "--sync", window, "700", "500")
            moves_after("key", "p")
            xdotool("key", "F11")
            until(lambda: "1280x1024" in "".join(map(geometry, windows())), "F11 does not fill the screen")
            deadline = time.monotonic() + PATIENCE
            while program.poll() is None and time.monotonic() < deadline:  # a new window may miss the first key
                xdotool("key", "Escape")  # to the gallery, and out of it
                time.sleep(0.5)
            out, error = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
    assert program.returncode == 0, error
    assert error == "", "nothing but what matters is said"
    assert f"recorded {len(list(read_frames(video)))} frames" in out
