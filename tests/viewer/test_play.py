"""`worldsim play` from the command line: headless videos, and every way of asking for what can't be."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.main import main
from worldsim.cli.play import find_world
from worldsim.data.video import read_frames, video_fps
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle
from worldsim.viewer.script import at_random, parse_actions, scripted

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def play(tiny_world, capsys):
    """`play("--headless", ...)` -> exit code, stdout, stderr; of the small world, unless another is named."""

    def run(*arguments: str) -> tuple[int, str, str]:
        world = () if "--world" in arguments else ("--world", str(tiny_world))
        code = main(["play", *world, *arguments])
        return code, *capsys.readouterr()

    return run


def test_headless_writes_a_readable_video(play, tiny_world, tmp_path):
    path, spec = tmp_path / "out.mp4", Bundle(tiny_world).spec
    code, out, _ = play("--headless", "--frames", "12", "--record", str(path))
    assert code == 0 and "12 frames" in out
    frames = np.stack(list(read_frames(path, spec.height, spec.width)))
    assert frames.shape == (12, spec.height, spec.width, 3)
    assert video_fps(path) == pytest.approx(spec.fps, rel=0.01)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "out.mp4.json"]
    assert f"recorded 12 frames in {path}" in out


def test_the_same_seed_gives_the_same_video(play, tmp_path):
    def video(name: str, *arguments: str) -> np.ndarray:
        assert play("--headless", "--frames", "4", "--record", str(tmp_path / name), *arguments)[0] == 0
        return np.stack(list(read_frames(tmp_path / name)))

    first = video("a.mp4", "--seed", "5")
    assert np.array_equal(first, video("b.mp4", "--seed", "5"))
    assert not np.array_equal(first, video("c.mp4", "--seed", "6"))
    assert not np.array_equal(first, video("d.mp4", "--seed", "5", "--start", "1"))


def test_actions_script(play, tiny_world, tmp_path):
    spec = Bundle(tiny_world).spec
    one, other = (action.name for action in spec.actions[:2])
    path = tmp_path / "out.mp4"
    assert play("--headless", "--actions", f"{one}*4,{other}*3", "--record", str(path))[0] == 0
    assert len(list(read_frames(path))) == 7
    segments = json.loads(path.with_name("out.mp4.json").read_text())["segments"]  # another one after an end
    played = [action for segment in segments for action in parse_actions(segment["actions"], spec)]
    assert played == [0] * 4 + [1] * 3 and (segments[0]["start"], segments[0]["seed"]) == (0, 0)
    assert list(itertools.islice(scripted([1, 2], idle=0), 4)) == [1, 2, 0, 0]


def test_random_play_is_decided_by_the_seed_and_holds_its_keys():
    first, again, other = (list(itertools.islice(at_random(3, seed), 400)) for seed in (1, 1, 2))
    assert first == again != other
    assert set(first) == {0, 1, 2}
    assert np.mean(np.diff(first) == 0) > 0.7


def test_torch_is_the_reference(play):
    pytest.importorskip("torch")
    code, out, _ = play("--headless", "--frames", "3", "--runtime", "torch", "--device", "cpu")
    assert code == 0 and "3 frames" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--world", "no-such-world"), "no-such-world"),
        (("--start", "99"), "no start 99; it has 0 to"),
        (("--headless", "--start", "-1"), "no start -1"),
        (("--headless", "--actions", "fly*3"), "no action 'fly'; it has"),
        (("--headless", "--actions", "fly*x"), "not ACTION or ACTION*COUNT"),
        (("--headless", "--frames", "0"), "--frames 0"),
        (("--frames", "5"), "for --headless"),
        (("--seed", "-1"), "--seed -1"),
        (("--seed", str(2**64)), "give 0 to 2**64 - 1"),
        (("--headless", "--record", "x.gif"), "no video has that suffix"),
        (("--headless", "--record", ""), "it is a folder"),
        (("--headless", "--record", "play.py/out.mp4"), "can't write play.py/out.mp4"),
    ],
)
def test_what_cannot_be_is_one_clear_line(play, arguments, message, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    code, _, error = play(*arguments)
    assert code == 2
    assert message in error and len(error.strip().splitlines()) == 1


def test_a_cut_world_is_named(play, tiny_world, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in Path(tiny_world).rglob("*"):
        if path.is_file():
            (broken / path.relative_to(tiny_world)).parent.mkdir(exist_ok=True)
            (broken / path.relative_to(tiny_world)).write_bytes(path.read_bytes())
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    code, _, error = play("--world", str(broken), "--headless", "--record", str(tmp_path / "out.mp4"))
    assert code == 2 and "model.safetensors" in error
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("doom-maze", "doom-maze"),
        ("freeway", "atari-freeway"),
        ("Freeway", "atari-freeway"),
        ("TOY", "toybox"),
        ("toy box", "toybox"),
        ("Doom: take cover", "doom-take-cover"),
        ("maze", "doom-maze"),
        ("roo", "rooms"),
    ],
)
def test_a_world_goes_by_its_name_its_title_and_their_beginnings(wanted, name):
    assert find_world(wanted) == name


def test_a_folder_comes_before_a_title(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "freeway").mkdir()
    assert find_world("freeway") == "freeway"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("doom", r"'doom' means several worlds: give one of doom-maze \(Doom maze\), doom-take-cover \(Doom: take"),
        ("chess", r"no world 'chess': give one of atari-freeway \(Freeway\), .*toybox \(Toy box\), or the folder"),
    ],
)
def test_an_unclear_world_is_answered_with_what_there_is(wanted, message):
    with pytest.raises(WorldsimError, match=message):
        find_world(wanted)


def program(tiny_world: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """play.py as a user runs it, without a display."""
    hidden = ("SDL_", "WAYLAND_", "DISPLAY", "XDG_RUNTIME_DIR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    command = [sys.executable, "play.py", "--world", str(tiny_world), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPOSITORY, env=kept | environment, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_it_says_what_to_do(tiny_world):
    with program(tiny_world) as run:
        _, error = run.communicate(timeout=60)
    assert run.returncode == 2
    assert "Traceback" not in error
    (line,) = error.splitlines()
    assert "no display" in line and "python play.py --headless --record out.mp4" in line


def test_a_headless_run_says_nothing_but_what_matters(tiny_world):
    with program(tiny_world, "--headless", "--frames", "2") as run:
        out, error = run.communicate(timeout=60)
    assert run.returncode == 0 and error == "" and len(out.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_recording_leaves_no_half_video(tiny_world, tmp_path, how):
    path = tmp_path / "out.mp4"
    with program(tiny_world, "--headless", "--frames", "1000000", "--record", str(path)) as run:
        deadline = time.monotonic() + 60
        while not any(part.stat().st_size for part in tmp_path.glob(".*")):
            assert run.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        run.send_signal(how)
        _, error = run.communicate(timeout=60)
    assert run.returncode != 0 and "Traceback" not in error
    assert not path.exists()
    if how != signal.SIGKILL:
        assert not list(tmp_path.iterdir())
