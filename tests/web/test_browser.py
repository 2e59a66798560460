"""The page in a real Chromium: frames equal Python's, keys steer, rewind and links give the same pixels."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import HEIGHT, WIDTH

from worldsim.rng import frame_chance, frame_noise
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session

pytest.importorskip("websockets")
from websockets.sync.client import connect

from worldsim.web.chromium import CHROMIUM, Page, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PIXELS = """(() => { const c = document.getElementById('screen')
  return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join() })()"""
INDEX = "parseInt(document.getElementById('index').textContent)"
NAMES = """Array.from(document.querySelectorAll('#play button, #play select, #play input'), (element) =>
  (element.getAttribute('aria-label') || element.closest('label')?.textContent || element.textContent).trim())"""
BRANCHES = "document.querySelectorAll('#branches button').length"
MARKED = "document.getElementById('mark').getAttribute('aria-pressed') == 'true'"
PAUSED = "document.getElementById('pause').getAttribute('aria-pressed') == 'true'"


@pytest.fixture
def page(tmp_path) -> Iterator[Page]:
    """An empty tab; a page that ends with errors in its log fails the test."""
    with chromium(tmp_path / "profile") as tab:
        yield tab
        assert tab.log == []


def begin(page: Page, url: str) -> None:
    """Open a site and wait until it plays."""
    page.open(url)
    page.wait(f"{INDEX} > 2")


def click(page: Page, element: str) -> None:
    page.run(f"document.getElementById('{element}').click()")


def test_random_numbers_are_those_of_python(page, site_url):
    page.open(site_url)
    page.wait("document.querySelectorAll('#worlds button').length == 1 && crossOriginIsolated")
    for seed, frame in ((7, 1), (2**64 - 1, 90_000), (123456789012345, 2**33)):
        script = f"""import('./rng.js').then(({{frameNoise, frameChance}}) =>
          [Array.from(frameNoise({seed}n, {frame}, 20000)), frameChance({seed}n, {frame})])"""
        noise, chance = page.run(script)
        np.testing.assert_array_equal(np.array(noise, np.float32), frame_noise(seed, frame, (20000,)))
        assert chance == frame_chance(seed, frame)


def test_frames_are_those_of_python(page, site_url, endless_world):
    actions = [i * 7 % 3 for i in range(20)]
    page.open(site_url)
    page.wait("document.querySelectorAll('#worlds button').length == 1 && crossOriginIsolated")
    script = f"""(async () => {{
      const site = await (await fetch('site.json')).json()
      const {{loadNetwork, fetchFile}} = await import('./network.js')
      const {{World, readTensors}} = await import('./world.js')
      const run = await loadNetwork(site, 'tiny', 'wasm', () => {{}})
      const world = new World(site.worlds[0], run)
      const start = await fetchFile(site, 'worlds/tiny/start-01.safetensors')
      let state = world.begin(readTensors(start.buffer), 5n), seen
      const frames = [], facts = []
      for (const action of {actions}) {{
        [state, seen] = await world.step(state, action)
        frames.push(btoa(String.fromCharCode(...state.frame)))
        facts.push([seen.reward, seen.cont, seen.ended ? 1 : 0, state.memory.length, state.uncertainty])
      }}
      return [frames, facts]
    }})()"""
    frames, facts = page.run(script)
    session = Session(load_runtime(Bundle(endless_world), device="cpu"))
    state = session.start([1], [5])
    for action, frame, told in zip(actions, frames, facts, strict=True):
        state, seen = session.step(state, np.array([action]))
        theirs = np.frombuffer(base64.b64decode(frame), np.uint8).reshape(HEIGHT, WIDTH, 3)
        assert np.abs(theirs.astype(int) - seen.frame[0]).max() <= 1
        ours = [seen.reward[0], seen.cont[0], seen.ended[0], len(state.memory), state.uncertainty[0]]
        np.testing.assert_allclose(told, ours, atol=2e-3)


def test_play_in_the_page(page, site_url, tmp_path):
    begin(page, f"{site_url}#world=tiny&start=1&seed=5")
    assert page.run("document.title") == "A tiny world"
    click(page, "pause")
    page.wait(PAUSED)
    before, index, position = page.run(PIXELS), page.run(INDEX), page.run("timeline.value")

    page.key("ArrowLeft", True)  # a key steers: another frame than without it
    click(page, "step")
    page.wait(f"{INDEX} == {index + 1}")
    page.key("ArrowLeft", False)
    steered = page.run(PIXELS)
    page.run(f"timeline.value = {position}; timeline.dispatchEvent(new Event('input'))")
    page.wait(f"{INDEX} == {index}")
    assert page.run(PIXELS) == before  # rewind gives the same pixels
    click(page, "step")
    page.wait(f"{INDEX} == {index + 1}")
    idle = page.run(PIXELS)
    assert idle != steered

    page.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve() }")
    click(page, "share")
    link = page.wait("window.copied")
    page.open("about:blank")
    page.open(link)  # a friend's browser: the same moment
    page.wait(f"{INDEX} >= {index + 1}")
    click(page, "pause")
    page.wait(PAUSED)
    page.run(f"timeline.value = {index + 1}; timeline.dispatchEvent(new Event('input'))")
    page.wait(f"{INDEX} == {index + 1}")
    assert page.run(PIXELS) == idle

    page.run("timeline.value = 1; timeline.dispatchEvent(new Event('input'))")
    page.wait(f"{INDEX} == 1")
    click(page, "step")
    page.wait(f"{INDEX} == 2")
    assert page.run(BRANCHES) == 1  # another way on from a moment; the one before can be gone back to
    click(page, "mark")
    page.wait("document.querySelectorAll('#marks i').length == 1")
    here = page.run(PIXELS)
    page.run("document.querySelector('#branches button').click()")
    page.wait(f"!({MARKED})")
    click(page, "jump")
    page.wait(MARKED)
    assert page.run(PIXELS) == here

    assert all(page.run(NAMES)) and len(page.run(NAMES)) > 10
    page.picture(tmp_path / "play.png")
    click(page, "back")
    page.wait("!document.getElementById('gallery').hidden")
    assert page.run("document.activeElement.dataset.world") == "tiny"  # who can't see the page goes on from there


def test_a_damaged_link_says_so_and_shows_the_gallery(page, site_url):
    page.open(site_url)
    page.wait("document.querySelectorAll('#worlds button').length == 1 && crossOriginIsolated")
    page.run("window.alert = (text) => { window.said = text }")
    for fragment, text in (
        ("world=tiny&start=99", "no such start"),
        ("world=other", "no world"),
        ("world=tiny&keys=!!", "damaged"),
        ("world=tiny&keys=CQE", "does not have"),  # action 9
        ("world=tiny&seed=99999999999999999999", "seed"),
    ):
        page.run(f"window.said = ''; location.hash = '{fragment}'")
        page.wait(f"window.said.includes('{text}')", 5)
    assert not page.run("document.getElementById('gallery').hidden")


def test_a_browser_without_threads_plays_and_says_so(page, site_url):
    tried = "sessionStorage.setItem('isolated', 'tried')"  # the page has found that nothing helps
    page.call("Page.addScriptToEvaluateOnNewDocument", source=tried)
    begin(page, f"{site_url}#world=tiny&start=1&seed=5")
    assert not page.run("crossOriginIsolated")
    if page.run("navigator.hardwareConcurrency") > 1:
        assert "one thread" in page.run("document.getElementById('message').textContent")


def test_a_changed_file_is_refused(page, site, site_url, tmp_path):
    weights = site / "worlds/tiny/weights.bin"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        page.open(f"{site_url}#world=tiny")
        page.wait("document.getElementById('notice-text').textContent.includes('not the file that was exported')")
    finally:
        weights.write_bytes(whole)


def test_saved_moments_come_back(page, site_url):
    page.open(site_url)
    page.wait("document.querySelectorAll('#worlds button').length == 1 && crossOriginIsolated")
    script = """Promise.all([import('./link.js'), fetch('site.json').then(r => r.json())]).then(([link, {worlds}]) => {
      const moment = {world: 'tiny', bundle: worlds[0].bundle, start: 2, seed: '77', actions: [0, 0, 1, 2, 2, 2]}
      const {same, ...file} = link.fromFile(link.toFile(moment, worlds[0]), worlds)
      const {same: too, ...fragment} = link.fromFragment(link.toFragment(moment), worlds)
      return [file, fragment, same && too] })"""
    moment = {"world": "tiny", "start": 2, "seed": "77", "actions": [0, 0, 1, 2, 2, 2], "code": ""}
    assert page.run(script) == [moment, moment, True]


def test_page_of_a_server(page, endless_world, tmp_path):
    """Keys change the picture, and a server that was killed and started again goes on where the player was."""
    pytest.importorskip("uvicorn")
    with serving(endless_world, 0, tmp_path) as port:
        page.open(f"http://127.0.0.1:{port}/#world=tiny&start=1&seed=5")
        page.wait(f"{INDEX} > 2")
        click(page, "pause")
        page.wait(PAUSED)
        index, position = page.run(INDEX), page.run("timeline.value")
        page.key("ArrowLeft", True)
        click(page, "step")
        page.wait(f"{INDEX} == {index + 1}")
        page.key("ArrowLeft", False)
        steered = page.run(PIXELS)
        page.run(f"timeline.value = {position}; timeline.dispatchEvent(new Event('input'))")
        page.wait(f"{INDEX} == {index}")
        click(page, "step")
        page.wait(f"{INDEX} == {index + 1}")
        here = page.run(PIXELS)
        assert here != steered
        page.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve() }")
        click(page, "invite")
        link = page.wait("window.copied")
        friend = {"do": "open", "world": "tiny", "start": 0, "seed": "1", "actions": [], "code": link.split("with=")[1]}
        with connect(f"ws://127.0.0.1:{port}/play") as socket:
            socket.send(json.dumps(friend))
            page.wait("document.getElementById('together').textContent.startsWith('2 play here; you are player 1')")
            while not isinstance(picture := socket.recv(timeout=60), bytes):
                pass
        told, seen = picture[4 + int.from_bytes(picture[:4]) :], page.run(PIXELS)
        theirs = cv2.imdecode(np.frombuffer(told, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert (theirs.ravel() == np.array(seen.split(","), int).reshape(-1, 4)[:, :3].ravel()).all()
    page.wait("!document.getElementById('notice').hidden")  # the connection broke, and the page says so
    with serving(endless_world, port, tmp_path):
        page.wait(f"document.getElementById('notice').hidden && {INDEX} > {index + 1}")
        click(page, "pause")
        page.wait(PAUSED)
        page.run(f"timeline.value = {index + 1}; timeline.dispatchEvent(new Event('input'))")
        page.wait(f"{INDEX} == {index + 1}")
        theirs, ours = (np.array(text.split(","), int) for text in (page.run(PIXELS), here))
        assert np.abs(theirs - ours).max() <= 1
    page.log.clear()  # what the browser says of the broken connection


@contextlib.contextmanager
def serving(world: Path, port: int, folder: Path) -> Iterator[int]:
    """`worldsim serve` as a process; its port. Killed in the end."""
    command = [sys.executable, "-m", "worldsim.cli.main", "serve", str(world), "--port", str(port)]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        yield int(line.split("127.0.0.1:")[1].split("/")[0])
    finally:
        process.kill()
        process.communicate(timeout=60)
