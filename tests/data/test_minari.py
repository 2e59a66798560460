"""Recordings as Minari datasets and back: not a byte differs; what can't be one is one error that leaves nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from worldsim.cli.main import main
from worldsim.data.recording import FIELDS, Recording, RecordingWriter
from worldsim.spec import WorldSpec

ID = "worldsim/small-v0"


@pytest.fixture
def small_spec(small_spec: WorldSpec) -> WorldSpec:
    """Large enough for Minari to take its frames for pictures, which it would keep as JPEG."""
    return dataclasses.replace(small_spec, height=36, width=40)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Minari keeps its datasets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    return tmp_path / "datasets"


def run(*arguments: object) -> int:
    return main(["minari", *map(str, arguments)])


def test_there_and_back_not_a_byte_differs(small_recording, tmp_path, capsys):
    assert run("export", small_recording, ID) == run("import", ID, "--out", tmp_path / "again") == 0
    assert "12 episodes" in capsys.readouterr().out
    first, again = Recording(small_recording), Recording(tmp_path / "again")
    assert again.spec == first.spec and again.origin == first.origin and again.seed == first.seed == 5
    assert again.episodes("held-out") == first.episodes("held-out")
    np.testing.assert_array_equal(again.ends, first.ends)
    for name in FIELDS:
        one, other = np.asarray(getattr(first, name)[:]), np.asarray(getattr(again, name)[:])
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, err_msg=name)


def test_the_hidden_layer_goes_there_and_back_too(tmp_path, small_spec, make_episode):
    writer = RecordingWriter(tmp_path / "with", small_spec, hidden_layer=True)
    for i in range(2):
        episode = make_episode(i, 20)
        writer.append(dataclasses.replace(episode, hidden_layer=255 - episode.frames))
    assert run("export", tmp_path / "with", ID) == run("import", ID, "--out", tmp_path / "again") == 0
    first, again = (Recording(tmp_path / name).hidden_layer for name in ("with", "again"))
    np.testing.assert_array_equal(first[:], again[:])
    assert again[:].any()


def test_minari_reads_what_was_recorded(small_recording, root):
    assert run("export", small_recording, ID) == 0
    dataset, recording = minari.load_dataset(ID), Recording(small_recording)
    assert list(minari.list_local_datasets()) == [ID]
    assert dataset.observation_space == gym.spaces.Box(0, 255, (36, 40, 3), np.uint8)
    assert dataset.action_space == gym.spaces.Discrete(4)
    assert dataset.total_steps == len(recording) - 12
    for found, episode in zip(dataset, recording.iter_episodes(), strict=True):
        np.testing.assert_array_equal(found.observations, episode.frames)
        np.testing.assert_array_equal(found.actions, episode.actions[:-1])
        np.testing.assert_array_equal(found.rewards, episode.rewards[:-1])
        np.testing.assert_array_equal(found.infos["state"], episode.state)
        assert found.terminations.tolist() == episode.terminated[:-1].tolist()
        assert found.terminations[-1] and not found.truncations.any()


def test_an_episode_that_was_cut_is_truncated_and_a_world_may_have_no_state(tmp_path, small_spec, make_episode):
    spec = dataclasses.replace(small_spec, state_names=())
    cut = dataclasses.replace(make_episode(0, 5), terminated=np.zeros(5, bool), state=np.zeros((5, 0), np.float32))
    RecordingWriter(tmp_path / "cut", spec).append(cut)
    assert run("export", tmp_path / "cut", "cut-v3") == run("import", "cut-v3", "--out", tmp_path / "again") == 0
    (found,) = minari.load_dataset("cut-v3")
    assert found.truncations.tolist() == [False, False, False, True] and not found.terminations.any()
    again = Recording(tmp_path / "again")
    assert not np.asarray(again.terminated[:]).any() and again.state.shape == (5, 0)


def foreign(pictures: gym.Space, actions: gym.Space, changed: dict[str, Any] | None = None) -> None:
    """A dataset that no recording became: two episodes of three steps, actions from 1."""
    rng = np.random.default_rng(0)
    episodes = [
        EpisodeBuffer(
            observations=np.stack([rng.integers(0, 256, pictures.shape).astype(pictures.dtype) for _ in range(4)]),
            **{
                "actions": np.array([1, 3, 2]),
                "rewards": np.array([0.5, -2.0, 0.1]),
                "terminations": np.array([False, False, seed == 0]),
                "truncations": np.array([False, False, seed == 1]),
                **(changed or {}),
            },
        )
        for seed in range(2)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants to know authors and much more
        minari.create_dataset_from_buffers(
            "others/game-v1", episodes, observation_space=pictures, action_space=actions, jpeg_encoding=False
        )


PICTURES, THREE = gym.spaces.Box(0, 255, (40, 48, 3), np.uint8), gym.spaces.Discrete(3, start=1)


def test_a_dataset_of_others_is_a_world_to_learn(tmp_path):
    foreign(PICTURES, THREE)
    assert run("import", "others/game-v1", "--out", tmp_path / "game", "--fps", "12") == 0
    recording = Recording(tmp_path / "game")
    assert (recording.spec.height, recording.spec.width, recording.spec.fps) == (40, 48, 12)
    assert (recording.spec.name, recording.spec.title) == ("others-game-v1", "others/game-v1")
    assert [action.name for action in recording.spec.actions] == ["action-1", "action-2", "action-3"]
    assert recording.spec.action_for(["Digit2"]) == 2 and recording.spec.noop == 0
    np.testing.assert_array_equal(recording.actions[:], [0, 2, 1, -1] * 2)
    np.testing.assert_array_equal(recording.rewards[:], np.array([0.5, -2, 0.1, 0] * 2, np.float32))
    np.testing.assert_array_equal(np.flatnonzero(recording.terminated[:]), [2])
    for found, episode in zip(minari.load_dataset("others/game-v1"), recording.iter_episodes(), strict=True):
        np.testing.assert_array_equal(found.observations, episode.frames)


@pytest.mark.parametrize(
    ("pictures", "actions", "changed", "words"),
    [
        (gym.spaces.Box(0, 1, (40, 48, 3), np.float32), THREE, {}, "only uint8 RGB pictures"),
        (gym.spaces.Box(0, 255, (40, 48), np.uint8), THREE, {}, "only uint8 RGB pictures"),
        (PICTURES, gym.spaces.Box(-1, 1, (), np.float32), {"actions": np.zeros(3)}, "only discrete ones"),
        (PICTURES, gym.spaces.Discrete(99), {}, "99 actions, more than there are keys"),
        (PICTURES, THREE, {"actions": np.array([1, 4, 1])}, "episode 0 has an action that the world has not"),
        (PICTURES, THREE, {"actions": np.array([1, 2])}, "episode 0: 3 steps"),
        (PICTURES, THREE, {"rewards": np.array([1, np.nan, 0])}, "episode 0 (seed 0), step 1: the reward is nan"),
        (PICTURES, THREE, {"rewards": np.array([1, 1, 1e300])}, "episode 0 (seed 0), step 2: the reward is 1e+300"),
        (gym.spaces.Box(0, 255, (42, 32, 3), np.uint8), THREE, {}, "Have them scaled: --size 32x40"),
    ],
)
def test_a_dataset_of_another_kind_is_one_error(pictures, actions, changed, words, tmp_path, capsys):
    foreign(pictures, actions, changed)
    assert run("import", "others/game-v1", "--out", tmp_path / "game") == 2
    assert_one_line(capsys, words)
    assert [path.name for path in tmp_path.iterdir()] == ["datasets"]


def test_pictures_of_any_size_are_scaled(tmp_path):
    foreign(gym.spaces.Box(0, 255, (42, 32, 3), np.uint8), THREE)
    assert run("import", "others/game-v1", "--out", tmp_path / "game", "--size", "16x24") == 0
    recording, (found, _) = Recording(tmp_path / "game"), minari.load_dataset("others/game-v1")
    assert recording.frames.shape == (8, 24, 16, 3)
    np.testing.assert_array_equal(
        recording.frames[2], cv2.resize(found.observations[2], (16, 24), interpolation=cv2.INTER_AREA)
    )


def test_infos_of_another_dataset_are_left_alone(tmp_path):
    """Whatever they are called."""
    foreign(
        PICTURES, THREE, {"infos": {"behind": np.arange(4), "hidden_layer": np.arange(4), "state": np.zeros((4, 2))}}
    )
    assert run("import", "others/game-v1", "--out", tmp_path / "game") == 0
    assert Recording(tmp_path / "game").hidden_layer is None


def test_rewards_with_an_axis_of_their_own_are_rewards(tmp_path):
    foreign(PICTURES, THREE, {"rewards": np.array([[0.5], [-2.0], [0.1]])})
    assert run("import", "others/game-v1", "--out", tmp_path / "game") == 0
    np.testing.assert_array_equal(Recording(tmp_path / "game").rewards[:4], np.array([0.5, -2, 0.1, 0], np.float32))


def test_no_environment_that_a_dataset_names_is_made(tmp_path, root, capsys):
    foreign(PICTURES, THREE)
    path = root / "others/game-v1/data/metadata.json"
    facts = json.loads(path.read_text())
    facts["env_spec"] = gym.envs.registration.EnvSpec("Trap-v0", "pathlib:Path.touch", kwargs={}).to_json()
    facts["env_spec"] = facts["env_spec"].replace('"kwargs": {}', f'"kwargs": {{"self": "{tmp_path / "trap"}"}}')
    del facts["action_space"]
    path.write_text(json.dumps(facts))
    assert run("import", "others/game-v1", "--out", tmp_path / "game") == 2
    assert_one_line(capsys, "makes no environment that a dataset names")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("way", ["external storage", "external link", "soft link", "virtual", "huge"])
def test_a_dataset_reads_nothing_but_itself(way, tmp_path, root, capsys):
    foreign(PICTURES, THREE)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 40 * 48 * 3))
    with (
        h5py.File(root / "others/game-v1/data/main_data.hdf5", "a") as file,
        h5py.File(tmp_path / "other", "w") as other,
    ):
        other["x"] = np.zeros((4, 40, 48, 3), np.uint8)
        episode = file["episode_0"]
        del episode["observations"]
        if way == "external storage":
            episode.create_dataset("observations", (4, 40, 48, 3), np.uint8, external=[(str(secret), 0, 23040)])
        elif way == "virtual":
            layout = h5py.VirtualLayout((4, 40, 48, 3), np.uint8)
            layout[:] = h5py.VirtualSource(str(tmp_path / "other"), "x", (4, 40, 48, 3))
            episode.create_virtual_dataset("observations", layout)
        elif way == "huge":
            episode.create_dataset("observations", (10**9, 40, 48, 3), np.uint8, chunks=(1, 40, 48, 3))
        else:
            link = h5py.ExternalLink(str(tmp_path / "other"), "x") if way == "external link" else h5py.SoftLink("/x")
            episode["observations"] = link
    assert run("import", "others/game-v1", "--out", tmp_path / "game") == 2
    assert_one_line(capsys, "game-v1 can't be read (episode_0/observations")
    assert not (tmp_path / "game").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a small disk, made by Linux's unshare")
def test_a_full_disk_is_told_before_anything_is_written(small_recording, root):
    """For HDF5 does not survive it: a disk of 256 kB, where user namespaces can be had."""
    root.mkdir()
    script = f"""mount -t tmpfs -o size=256k none {root} || exit 1
        {sys.executable} -m worldsim.cli.main minari export {small_recording} {ID}; echo code $?; find {root}"""
    ran = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True)
    if "code" not in ran.stdout:
        pytest.skip(f"no user namespaces: {ran.stderr.strip()}")
    assert ran.stdout.splitlines() == ["code 2", str(root)]
    assert "0.3 MB are free. Free some space" in ran.stderr and ran.stderr.count("\n") == 1


def assert_one_line(capsys: pytest.CaptureFixture[str], words: str) -> None:
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("worldsim:")]
    assert len(said) == 1 and words in said[0]


def test_what_is_not_there_or_there_already_is_one_error(small_recording, tmp_path, root, capsys):
    for arguments, words in (
        (("export", tmp_path / "nowhere", ID), "no recording at"),
        (("export", small_recording, "small"), "'small' is no id of a dataset"),
        (("export", small_recording, "a b-v0"), "'a b-v0' is no id of a dataset"),
        (("import", "worldsim/other-v0", "--out", tmp_path / "x"), "minari download worldsim/other-v0"),
    ):
        assert run(*arguments) == 2
        assert_one_line(capsys, words)
    assert run("export", small_recording, ID) == 0
    capsys.readouterr()
    assert run("export", small_recording, ID) == 2
    assert_one_line(capsys, "there is a dataset worldsim/small-v0 already")
    assert run("import", ID, "--out", small_recording) == 2
    assert_one_line(capsys, "is there already")
    assert sorted(path.name for path in root.rglob("*")) == sorted(
        ["worldsim", "namespace_metadata.json", "small-v0", "data", "main_data.hdf5", "metadata.json"]
    )


@pytest.mark.parametrize("harm", ["cut", "no data", "no JSON"])
def test_a_damaged_dataset_is_one_error(harm, small_recording, tmp_path, root, capsys):
    assert run("export", small_recording, ID) == 0
    data = root / ID / "data"
    if harm == "cut":
        whole = (data / "main_data.hdf5").read_bytes()
        (data / "main_data.hdf5").write_bytes(whole[: len(whole) // 2])
    elif harm == "no data":
        (data / "main_data.hdf5").unlink()
    else:
        (data / "metadata.json").write_text("{")
    capsys.readouterr()
    assert run("import", ID, "--out", tmp_path / "again") == 2
    assert_one_line(capsys, "can't be read" if harm != "no data" else "Fetch it again: minari download")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "small"]


def test_an_export_that_fails_leaves_nothing(small_recording, root, tmp_path, make_episode, small_spec, capsys):
    RecordingWriter(tmp_path / "still", small_spec).append(make_episode(0, 1))
    assert run("export", tmp_path / "still", "still-v0") == 2
    assert_one_line(capsys, "has no step")
    assert list(root.iterdir()) == []
    shutil.rmtree(next(small_recording.glob("frames")))
    assert run("export", small_recording, ID) == 2
    assert_one_line(capsys, "frames is missing")
