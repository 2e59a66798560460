"""The window: real key events into a real session of a small world, under SDL's dummy driver and in a real window."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest

from worldsim.data.video import read_frames
from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.session import Frame, Session, State
from worldsim.viewer import theme
from worldsim.viewer.gallery import Gallery
from worldsim.viewer.keys import label
from worldsim.viewer.player import KeyLatch, Player
from worldsim.viewer.viewer import COMMANDS, SIZE, STATUS, Playing, Viewer

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30  # seconds, on a busy machine


class Watched(Session):
    """A session that notes what it was asked to do, and may be slow."""

    def __init__(self, world: Bundle, slowness: float = 0.0, ends: bool = False):
        super().__init__(OnnxRuntime(world, "cpu", threads=1))
        self.slowness, self.ends = slowness, ends
        self.actions: list[int] = []
        self.frames: list[np.ndarray] = []

    def step(self, state: State, actions: np.ndarray) -> tuple[State, Frame]:
        """A frame of the real session."""
        time.sleep(self.slowness)
        state, made = super().step(state, actions)
        self.actions.append(int(actions[0]))
        self.frames.append(made.frame[0])
        return state, made._replace(ended=np.full(1, self.ends))


@dataclasses.dataclass
class Stage:
    """A window that plays one world."""

    viewer: Viewer
    session: Watched

    @property
    def player(self) -> Player:
        """The player on screen."""
        assert isinstance(self.viewer.screen, Playing)
        return self.viewer.screen.player

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the window's loop until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            assert self.viewer.tick(20), "the window closed"

    def run(self, seconds: float) -> None:
        """Run the window's loop."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def frames(self, n: int) -> None:
        """Run until n more frames were generated."""
        wanted = len(self.session.frames) + n
        self.until(lambda: len(self.session.frames) >= wanted)


@pytest.fixture
def world(tiny_world: Path) -> Bundle:
    return Bundle(tiny_world)


@pytest.fixture
def staged(world: Bundle) -> Iterator[Callable[..., Stage]]:
    """`staged(slowness=0, ends=False, **options of Playing)` -> a Stage, playing; closed after the test."""
    viewers: list[Viewer] = []

    def stage(slowness: float = 0.0, ends: bool = False, **options: Any) -> Stage:
        session = Watched(world, slowness, ends)
        viewers.append(Viewer([world], lambda chosen: Playing(chosen, lambda _: session, **options), world))
        made = Stage(viewers[-1], session)
        made.until(lambda: made.player.view is not None)
        return made

    yield stage
    for viewer in viewers:
        viewer.__exit__(None)


def press(code: str, key: int = 0) -> None:
    pygame.event.post(pygame.Event(pygame.KEYDOWN, scancode=SCANCODES[code], key=key))


def release(code: str, key: int = 0) -> None:
    pygame.event.post(pygame.Event(pygame.KEYUP, scancode=SCANCODES[code], key=key))


def tap(code: str) -> None:
    press(code)
    release(code)


def key_and_action(world: Bundle) -> tuple[str, int]:
    """A key of the world that does something by itself, and what it does."""
    code = next(codes[0] for codes in world.spec.keys.values() if world.spec.action_for({codes[0]}) != world.spec.noop)
    return code, world.spec.action_for({code})


def test_a_held_key_acts_until_it_is_let_go(staged, world):
    stage, (code, action) = staged(), key_and_action(world)
    press(code)
    stage.frames(4)
    release(code)
    stage.frames(4)
    done = stage.session.actions
    first = done.index(action)
    last = len(done) - 1 - done[::-1].index(action)
    assert last - first >= 2 and set(done[first : last + 1]) == {action}
    assert set(done[:first] + done[last + 1 :]) == {world.spec.noop}


def test_a_tap_shorter_than_a_frame_is_not_lost(staged, world):
    stage, (code, action) = staged(), key_and_action(world)
    tap(code)
    stage.frames(4)
    assert stage.session.actions.count(action) == 1


def test_taps_between_two_frames_are_held_together():
    latch = KeyLatch()
    latch.press("KeyA")
    latch.release("KeyA")
    latch.press("KeyB")
    assert latch.take() == {"KeyA", "KeyB"}
    assert latch.take() == {"KeyB"}
    latch.release_all()
    assert latch.take() == frozenset()


def test_keys_go_by_place_and_not_by_letter(staged, world):
    stage = staged()
    code = next(c for codes in world.spec.keys.values() for c in codes if world.spec.action_for({c}) != world.spec.noop)
    press(code, key=pygame.K_z)  # what another layout calls the key in that place
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.action_for({code})


def test_no_key_stays_down_when_the_window_loses_the_keyboard(staged, world):
    stage, (code, action) = staged(), key_and_action(world)
    press(code)
    stage.frames(3)
    assert stage.session.actions[-1] == action
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.noop


def test_pause_single_step_and_go_on(staged):
    stage = staged()
    stage.frames(2)
    tap("Space")
    stage.until(lambda: stage.player.paused)
    stage.run(0.3)  # for the frame that was under way
    made = len(stage.session.frames)
    stage.run(0.3)
    assert len(stage.session.frames) == made
    for n in (1, 2):
        tap("Enter")
        stage.until(lambda: len(stage.session.frames) > made + n - 1)  # noqa: B023
        stage.run(0.3)
        assert len(stage.session.frames) == made + n
    tap("Space")
    stage.frames(3)


def test_a_single_step_takes_the_keys_tapped_in_the_pause(staged, world):
    stage, (code, action) = staged(), key_and_action(world)
    tap("Space")
    stage.run(0.3)
    tap(code)
    tap("Enter")
    stage.frames(1)
    assert stage.session.actions[-1] == action


def test_starts_and_restart(staged, world):
    stage = staged()
    count = len(world.starts)
    assert count > 1
    for key, start in (("PageDown", 1 % count), ("Backspace", 1 % count), ("PageUp", 0), ("PageUp", count - 1)):
        stage.frames(2)
        tap(key)
        stage.until(lambda: stage.player.view.start == start)  # noqa: B023
        stage.until(lambda: stage.player.view.index <= 2)


def test_a_restart_repeats_the_same_frames(staged):
    stage = staged(seed=3)
    stage.frames(3)
    tap("Backspace")
    before = len(stage.session.frames)
    stage.until(lambda: stage.player.view.index == 0 or len(stage.session.frames) > before + 3)
    stage.frames(4)
    first, again = stage.session.frames[:3], stage.session.frames[before : before + 4]
    assert any(np.array_equal(again[i : i + 3], first) for i in (0, 1)), "0 or 1 frame was under way"


def test_never_faster_than_the_world(staged, world):
    stage = staged()
    stage.frames(1)
    made, began = len(stage.session.frames), time.monotonic()
    stage.run(1.0)
    assert len(stage.session.frames) - made <= (time.monotonic() - began) * world.spec.fps + 2


def test_it_says_when_the_machine_is_too_slow(staged, world):
    stage = staged(slowness=2 / world.spec.fps)
    stage.until(lambda: stage.player.view.fps is not None)
    assert not stage.player.keeps_up
    assert stage.player.view.fps < 0.6 * world.spec.fps


def test_the_window_answers_while_a_frame_is_slow(staged):
    slowness = 1.5
    stage = staged(slowness=slowness)
    stage.run(0.1)
    slowest = 0.0
    for i in range(10):
        tap("F1")
        began = time.monotonic()
        stage.viewer.tick(20)
        slowest = max(slowest, time.monotonic() - began)
        assert stage.viewer.screen.help == bool(i % 2)
    assert slowest < slowness / 2
    began = time.monotonic()
    tap("Escape")
    stage.until(lambda: isinstance(stage.viewer.screen, Gallery))
    assert time.monotonic() - began < slowness / 2


def test_the_window_answers_while_a_world_is_opened(world):
    def slowly(world: Bundle) -> Session:
        time.sleep(2)
        return Watched(world)

    with Viewer([world], lambda chosen: Playing(chosen, slowly), world) as viewer:
        began = time.monotonic()
        for _ in range(5):
            assert viewer.tick(20)
        assert viewer.screen.player.view is None
        tap("Escape")
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery)
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("size", [(1120, 696), (640, 300), (301, 557), (90, 60), (1, 1)])
@pytest.mark.parametrize("smooth", [False, True])
def test_any_size(staged, size, smooth):
    stage = staged(smooth=smooth)
    pygame.display.set_mode(size, pygame.RESIZABLE)
    stage.run(0.1)
    tap("F1")
    tap("Space")
    stage.run(0.1)
    tap("Escape")
    stage.run(0.1)


def test_the_picture_keeps_its_aspect():
    area = pygame.Rect(10, 20, 500, 300)
    filled = theme.fit(48, 32, area)
    assert filled.size == (450, 300) and filled.center == area.center
    assert theme.fit(48, 32, area, whole=True).size == (48 * 9, 32 * 9)
    assert theme.fit(1000, 100, area, whole=True).size == (500, 50), "what is too large is shrunk all the same"


def test_crisp_shows_the_pixels_as_they_are_and_smooth_does_not():
    frame = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    surface = pygame.display.set_mode((500, 300))

    def shown(smooth: bool) -> np.ndarray:
        rect = theme.picture(surface, frame, surface.get_rect(), smooth)
        return pygame.surfarray.array3d(surface.subsurface(rect)).swapaxes(0, 1)

    assert np.array_equal(shown(smooth=False), frame.repeat(9, axis=0).repeat(9, axis=1))
    assert len(np.unique(shown(smooth=True).reshape(-1, 3), axis=0)) > 10 * frame[..., 0].size


def test_what_is_shown_is_the_newest_frame(staged):
    stage = staged()
    stage.frames(2)
    tap("Space")
    stage.run(0.5)
    surface, frame = pygame.display.get_surface(), stage.session.frames[-1]
    image = pygame.surfarray.array3d(surface).swapaxes(0, 1)
    view = theme.fit(frame.shape[1], frame.shape[0], pygame.Rect(12, 12, 1120 - 240 - 24, 696 - 32 - 24), whole=True)
    factor = view.width // frame.shape[1]
    upper = image[view.top : view.bottom : factor, view.left : view.right : factor][: frame.shape[0] // 2]
    assert np.array_equal(upper, frame[: frame.shape[0] // 2]), "the note at the foot covers the lower half only"


def test_the_end_of_the_world_stops_time_until_told(staged):
    stage = staged(ends=True)
    stage.until(lambda: stage.player.paused)
    assert stage.player.view.ended and len(stage.session.frames) == 1
    tap("Space")
    stage.frames(3)
    tap("Backspace")
    stage.until(lambda: stage.player.paused)
    assert stage.player.view.index == 1


def test_a_world_that_needs_a_command_key_has_it(world, staged):
    button, others = next(iter(world.spec.keys)), dict(world.spec.keys)
    world.spec = dataclasses.replace(world.spec, keys={**others, button: ("Space",)})
    stage = staged()
    press("Space")
    stage.frames(3)
    assert not stage.player.paused and stage.session.actions[-1] == world.spec.action_for({"Space"})
    tap("F2")
    stage.until(lambda: stage.player.paused)


def test_every_key_of_a_command_is_a_key_with_a_label():
    codes = {code for keys, _ in COMMANDS.values() for code in keys}
    assert codes <= set(SCANCODES)
    assert [label(c) for c in ("KeyW", "Digit1", "Numpad7", "PageUp", "F1")] == ["W", "1", "Num 7", "PgUp", "F1"]


def test_gallery(world):
    played: list[Bundle] = []

    def play(chosen: Bundle) -> Playing:
        played.append(chosen)
        return Playing(chosen, Watched)

    worlds = [world, Bundle(world.path), Bundle(world.path)]
    with Viewer(worlds, play) as viewer:
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery) and viewer.screen.chosen == 0
        before = pygame.surfarray.array3d(pygame.display.get_surface())
        tap("ArrowRight")
        viewer.tick(20)
        assert viewer.screen.chosen == 1
        assert not np.array_equal(before, pygame.surfarray.array3d(pygame.display.get_surface()))
        tap("Enter")
        viewer.tick(20)
        assert played == [worlds[1]]
        tap("Escape")
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery) and viewer.screen.chosen == 1
        middle = viewer.screen._cards[2].center
        pygame.event.post(pygame.Event(pygame.MOUSEMOTION, pos=middle, rel=(1, 1), buttons=(0, 0, 0)))
        pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=middle, button=1))
        viewer.tick(20)
        assert played == [worlds[1], worlds[2]]
        tap("F10")
        assert not viewer.tick(20)
    for key in ("Escape", "F10"):
        with Viewer(worlds, play) as viewer:
            tap(key)
            assert not viewer.tick(20)
    with Viewer(worlds, play) as viewer:
        pygame.event.post(pygame.Event(pygame.QUIT))
        assert not viewer.tick(20)


@pytest.mark.parametrize(("count", "size"), [(1, SIZE), (5, SIZE), (8, SIZE), (5, (700, 500)), (40, SIZE)])
def test_cards_are_in_view_and_apart(world, count, size):
    surface = pygame.display.set_mode(size)
    gallery = Gallery([world] * count)
    for gallery.chosen in (0, count - 1):
        gallery.draw(surface)
        cards, view = gallery._cards, surface.get_rect()
        assert all(cards[i].collidelist(cards[i + 1 :]) < 0 for i in range(count))
        assert view.contains(cards[gallery.chosen])
        if count <= 8 and size == SIZE:  # no card has to be looked for
            assert all(view.contains(card) for card in cards) and cards[0].width >= 200


def test_the_window_records_what_was_generated(staged, tmp_path):
    path = tmp_path / "out.mp4"
    stage = staged(record=path)
    stage.frames(5)
    assert not path.exists()
    stage.viewer.__exit__(None)
    assert len(list(read_frames(path))) == len(stage.session.frames)


def test_an_error_on_the_thread_reaches_the_user_and_leaves_no_video(world, tmp_path):
    class Broken(Watched):
        def step(self, state: State, actions: np.ndarray) -> tuple[State, Frame]:
            if self.frames:
                raise WorldsimError("broken")
            return super().step(state, actions)

    with (
        pytest.raises(WorldsimError, match="broken"),
        Viewer([world], lambda chosen: Playing(chosen, Broken, record=tmp_path / "out.mp4"), world) as viewer,
    ):
        for _ in range(1000):
            viewer.tick(20)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def display(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A virtual X screen: its name, and the folder with its frame buffer."""
    missing = [tool for tool in ("Xvfb", "xdotool") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (apt install xvfb xdotool)")
    reading, writing = os.pipe()
    buffer = tmp_path / "screen"
    buffer.mkdir()
    command = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "1280x1024x24",
        "-fbdir",
        str(buffer),
        "-nolisten",
        "tcp",
        "-noreset",  # else it starts afresh whenever a lone client leaves, and turns away one that comes just then
    ]
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


def test_a_real_window(display, world, tmp_path):
    name, buffer = display
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SDL_", "WAYLAND_"))}
    environment |= {"DISPLAY": name}
    video = tmp_path / "out.mp4"

    def xdotool(*arguments: str) -> str:
        command = ["xdotool", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout.strip()

    def windows() -> list[str]:
        return xdotool("search", "--onlyvisible", "--class", "play.py").split()

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
            unlit, (code, _) = lit(), key_and_action(world)
            keysym = code.removeprefix("Arrow").removeprefix("Key")
            xdotool("keydown", keysym)
            until(lambda: lit() > unlit + 200, "the pressed key does not light up")
            until(still, "the picture moves in a pause")
            moves_after("key", "Return")
            xdotool("keyup", keysym)
            until(lambda: lit() <= unlit, "the key stays lit")
            moves_after("windowsize", "--sync", window, "700", "500")
            moves_after("key", "space")
            xdotool("key", "F10")
            out, error = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
    assert program.returncode == 0, error
    assert "Traceback" not in error
    assert f"recorded {len(list(read_frames(video)))} frames" in out


def test_the_side_panel_shows_all_keys_of_a_world_of_many(monkeypatch):
    shown = []
    monkeypatch.setattr(theme, "cap", lambda surface, code, x, y, **lit: shown.append(y) or x)
    toybox = open_world("toybox")
    playing = Playing(toybox, lambda world: Session(OnnxRuntime(world, "cpu")))
    try:
        playing.draw(pygame.display.set_mode(SIZE))
    finally:
        playing.close()
    assert len(shown) >= len(toybox.spec.keys) + len(COMMANDS)
    assert (
        max(shown) + theme.CAP_HEIGHT / 2 <= SIZE[1] - STATUS and min(np.diff(sorted(set(shown)))) >= theme.CAP_HEIGHT
    )
