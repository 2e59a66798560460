"""`worldsim record` and `worldsim inspect` as commands, with real processes that are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldsim.cli.inspect import near_duplicates
from worldsim.cli.main import main
from worldsim.cli.record import Performer
from worldsim.data.recording import FIELDS, Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError

DOOM = ("record", "doom-maze", "--size", "32x24", "--episode-frames", "30", "--seed", "3")


def assert_same(a: Path, b: Path) -> None:
    first, second = Recording(a), Recording(b)
    np.testing.assert_array_equal(first.ends, second.ends)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name)[: len(first)], getattr(second, name)[: len(second)])


def descendants(pid: int) -> set[int]:
    with contextlib.suppress(OSError):
        threads = Path(f"/proc/{pid}/task").glob("*/children")
        children = {int(child) for thread in threads for child in thread.read_text().split()}
        return children.union(*map(descendants, children))
    return set()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc")
def test_killed_anywhere_and_resumed_is_never_interrupted(tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "worldsim.cli.main", *DOOM, "--out", str(killed), "--workers", "2"]
    for blow, frames in ((signal.SIGKILL, 60), (signal.SIGINT, 150)):
        recorder = subprocess.Popen(
            [*command, "--frames", "1000000"], start_new_session=True, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: (killed / "zarr.json").exists() and len(Recording(killed)) >= frames)  # noqa: B023
        family = descendants(recorder.pid)
        assert len(family) >= 5  # two workers and their games, and what watches over semaphores
        if blow is signal.SIGKILL:
            recorder.kill()
            assert recorder.wait() == -signal.SIGKILL
        else:
            os.killpg(recorder.pid, blow)  # as a terminal does
            assert recorder.wait(60) == 130
        wait_for(lambda: not any(map(running, family)), 30)  # noqa: B023
    ends = Recording(killed).ends
    assert (np.diff(ends) == 30).all()
    frames = str(ends[-1] + 31)
    assert main([*DOOM, "--out", str(killed), "--workers", "1", "--frames", frames]) == 0
    assert main([*DOOM, "--out", str(whole), "--workers", "2", "--frames", frames]) == 0
    assert_same(killed, whole)


def test_an_episode_is_its_seed_s_alone():
    performer = Performer("atari-freeway", {"height": 32, "width": 24}, 40)
    first, _, again = (performer.play(seed) for seed in (8, 9, 8))
    performer.close()
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert len(first) == 40 and first.actions[-1] == -1 and (first.actions[:-1] >= 0).all()


def test_the_toy_box_records_its_hidden_layer():
    from worldsim_envs.registry import make_real

    performer = Performer("toybox", {}, 60)
    episode, env = performer.play(3), make_real("toybox")
    env.reset(seed=3)
    for frame, hidden, action in zip(episode.frames, episode.hidden_layer, episode.actions, strict=True):
        np.testing.assert_array_equal(hidden, env.unwrapped.hidden_layer())
        assert not np.array_equal(frame, hidden)  # a hand is always in the way
        env.step(max(action, 0))
    assert performer.hidden_layer and not Performer("rooms", {}, 60).hidden_layer
    with pytest.raises(WorldsimError, match="rooms can't draw what its frames hide"):
        make_real("rooms").hidden_layer()
    assert Performer("rooms", {}, 3).play(0).hidden_layer is None


def test_alignment_of_actions_and_frames():
    """action[t] is what leads from frame[t] to frame[t+1]."""
    from worldsim_envs.registry import make_real

    performer = Performer("atari-freeway", {"height": 32, "width": 24}, 40)
    episode = performer.play(2)
    performer.close()
    env = make_real("atari-freeway", height=32, width=24)
    np.testing.assert_array_equal(env.reset(seed=2)[0], episode.frames[0])
    for t in range(39):
        frame, reward, terminated, _, info = env.step(episode.actions[t])
        np.testing.assert_array_equal(frame, episode.frames[t + 1])
        np.testing.assert_array_equal(info["state"], episode.state[t + 1])
        assert (reward, terminated) == (episode.rewards[t], episode.terminated[t])


def test_a_world_that_nobody_prepared(tmp_path, capsys):
    out = tmp_path / "cartpole"
    assert (
        main(["record", "CartPole-v1", "--frames", "100", "--size", "48x32", "--workers", "1", "--out", str(out)]) == 0
    )
    assert "100 frames" in capsys.readouterr().out or len(Recording(out)) > 100
    recording = Recording(out)
    assert (recording.spec.name, recording.spec.title) == ("cartpole-v1", "CartPole-v1") and recording.frames.shape[
        1:
    ] == (32, 48, 3)
    assert recording.origin["source"] and recording.origin["licence"] and recording.origin["recorder"]
    for start, end in recording.episodes()[:-1]:
        assert recording.terminated[end - 2] and not recording.terminated[start : end - 2].any()
    assert main(["inspect", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["record", "NoSuchWorld-v0", "--out", "x"], "no world 'NoSuchWorld-v0'"),
        (["record", "Pendulum-v1", "--out", "x"], "discrete"),
        (["record", "CartPole-v1", "--out", "x", "--size", "64"], "WIDTHxHEIGHT"),
        (["record", "CartPole-v1", "--out", "x", "--frames", "0"], "at least 1"),
        (["record", "CartPole-v1", "--out", "x", "--size", "33x17"], "multiples of 8 up to 1024, as in 32x16"),
        (["record", "CartPole-v1", "--out", "x", "--size", "100000x64"], "as in 1024x64"),
        (["record", "doom-maz", "--out", "x"], "there are atari-freeway, crafter, doom-maze"),
        (["record", "doom-maze", "--out", "x", "--size", "64x64"], "4:3"),
        (["record", "CartPole-v1", "--out", "x", "--seed", "-1"], "can't be negative"),
        (["inspect", "nothing"], "no recording at nothing"),
        (["fly"], "no command 'fly'"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("gym_id", "module", "way_out"),
    [
        ("ALE/Boxing-v5", "ale_py", "pip install '.[atari]'"),
        ("MiniGrid-Empty-5x5-v0", "minigrid", "pip install minigrid"),
    ],
)
def test_a_missing_package_of_a_game_is_named(tmp_path, monkeypatch, capsys, gym_id, module, way_out):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["record", gym_id, "--out", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert f"needs {module}" in error and way_out in error and error.count("\n") == 1


def test_another_recording_is_refused_before_anything_is_played(small_recording, capsys):
    assert main(["record", "CartPole-v1", "--out", str(small_recording)]) == 2
    assert "holds another recording (small" in capsys.readouterr().err


def test_wrong_flags_exit_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["record", "CartPole-v1", "--fames", "3"])
    assert stop.value.code == 2


def test_inspect_counts_what_is_there(small_recording, capsys):
    recording = Recording(small_recording)
    assert main(["inspect", str(small_recording)]) == 0
    shown = capsys.readouterr().out
    actions = recording.actions[: len(recording)]
    for words in ("666", "held out: 54", "50 to 61", "12 episodes", "noise", str((actions == 3).sum())):
        assert words in shown, words
    sheet = cv2.imread(str(small_recording.with_name("small.png")))
    scale = sheet.shape[1] // (12 * 32)
    np.testing.assert_array_equal(sheet[::scale, ::scale, ::-1][:16, :32], recording.frames[0])
    np.testing.assert_array_equal(sheet[::scale, ::scale, ::-1][-16:, -32:], recording.frames[len(recording) - 1])


def test_near_duplicates_are_counted_within_episodes(tmp_path, small_spec, make_episode):
    writer = RecordingWriter(tmp_path / "r", small_spec)
    episode = make_episode(0, 11)
    still = episode.frames.copy()
    still[4:8] = still[3]
    for frames in (still, episode.frames):
        writer.append(Episode(frames, episode.actions, episode.rewards, episode.terminated, episode.state))
    assert near_duplicates(Recording(tmp_path / "r")) == (4 / 20, 20)


def test_shares_of_a_state_are_measured(tmp_path, small_spec, make_episode, capsys):
    writer = RecordingWriter(tmp_path / "r", small_spec, 0, {"shares": {"far down": ["y", 0.25]}})
    episode = make_episode(0, 100)
    writer.append(episode)
    assert main(["inspect", str(tmp_path / "r")]) == 0
    assert f"{(episode.state[:, 1] < 0.25).mean():.1%} of frames" in capsys.readouterr().out


def test_an_empty_recording_is_one_error(tmp_path, small_spec, capsys):
    RecordingWriter(tmp_path / "r", small_spec)
    assert main(["inspect", str(tmp_path / "r")]) == 2
    assert "no whole episode yet" in capsys.readouterr().err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a small disk, made by Linux's unshare")
def test_a_really_full_disk(tmp_path):
    """A disk of its own, of 256 kB, where user namespaces can be had."""
    worldsim, out = f"{sys.executable} -m worldsim.cli.main", tmp_path / "r"
    script = f"""mount -t tmpfs -o size=256k none {tmp_path} || exit 1
        {worldsim} record CartPole-v1 --workers 1 --size 128x96 --frames 9999 --out {out}
        echo code $?
        {sys.executable} -c 'from worldsim.data.recording import Recording
print(len(Recording("{out}").ends), "left")'"""
    ran = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True)
    if "code" not in ran.stdout:
        pytest.skip(f"no user namespaces: {ran.stderr.strip()}")
    assert "code 2" in ran.stdout and "disk full" in ran.stderr and "Traceback" not in ran.stderr
    assert " left" in ran.stdout
