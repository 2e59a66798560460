"""Many worlds at once, and worlds that are cloned: the contracts for both, and what only generated worlds do."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from tiny import HEIGHT, STARTS, WIDTH, WINDOW

from worldsim.artifact import digest
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim_envs import GENERATED, VECTOR
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.generated.vector import GeneratedVectorEnv
from worldsim_envs.registry import make_real
from worldsim_envs.testing import CloneContract, VectorContract

ROUNDING = 3  # of a batch, in units of 255 over these few frames: none on two cores, but kernels differ
TINY = "worldsim/Tiny-v0"


@pytest.fixture
def tiny_id(tiny_world: Path):
    gym.register(TINY, entry_point=GENERATED, vector_entry_point=VECTOR, kwargs={"world": str(tiny_world)})
    yield TINY
    del gym.registry[TINY]


class TestGeneratedClone(CloneContract):
    """One row."""

    @pytest.fixture(autouse=True)
    def where(self, tiny_world):
        self.world = tiny_world

    def make(self):
        return GeneratedEnv(self.world, "rgb_array")


class TestGeneratedVectorClone(TestGeneratedClone):
    """Three rows, whose episodes end and begin again."""

    def make(self):
        return GeneratedVectorEnv(self.world, 3, "rgb_array", max_episode_steps=4)


class TestToyboxClone(CloneContract):
    """A real world."""

    def make(self):
        return make_real("toybox", render_mode="rgb_array", look="any")


class TestRoomsClone(CloneContract):
    """Another one."""

    def make(self):
        return make_real("rooms", render_mode="rgb_array")


class TestGeneratedVector(VectorContract):
    """By `gymnasium.make_vec`; the tiny world's episodes also end by themselves."""

    @pytest.fixture(autouse=True)
    def registered(self, tiny_id):
        yield

    def make(self, mode=AutoresetMode.NEXT_STEP):
        return gym.make_vec(
            TINY,
            num_envs=self.count,
            vectorization_mode="vector_entry_point",
            max_episode_steps=self.most,
            render_mode="rgb_array",
            autoreset_mode=mode,
        )

    def make_single(self):
        return gym.make(TINY).unwrapped


class TestRealVector(VectorContract):
    """The contract itself, held against Gymnasium's own vector environment."""

    def make(self, mode=AutoresetMode.NEXT_STEP):
        return gym.make_vec(
            "worldsim/ToyboxReal-v0",
            num_envs=self.count,
            vectorization_mode="sync",
            max_episode_steps=self.most,
            render_mode="rgb_array",
            vector_kwargs={"autoreset_mode": mode},
        )

    def make_single(self):
        return make_real("toybox")


def assert_close(one: Any, other: Any) -> None:
    """Alike but for the rounding of a batch: the same names, types, shapes, masks and whole numbers."""
    if isinstance(one, dict):
        assert sorted(one) == sorted(other)
        for name in one:
            assert_close(one[name], other[name])
    elif one is None:
        assert other is None
    elif one.dtype == object:
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    else:
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if one.dtype == np.uint8:
            assert np.abs(one.astype(int) - other).max() <= ROUNDING
        else:
            np.testing.assert_allclose(one, other, atol=0 if one.dtype.kind in "bi" else 2e-2)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_batch_is_its_singles_in_gymnasium_s_own_vector(tiny_world, mode):
    """Observations, rewards, ends and infos, through several episodes of each row."""
    batch = GeneratedVectorEnv(tiny_world, 4, max_episode_steps=5, autoreset_mode=mode, ood=True)
    single = GeneratedEnv(tiny_world, max_episode_steps=5, ood=True)
    others = [pickle.loads(pickle.dumps(single)) for _ in range(3)]
    sync = SyncVectorEnv([lambda env=env: env for env in (single, *others)], autoreset_mode=mode)
    for one, other in zip(batch.reset(seed=3), sync.reset(seed=3), strict=True):
        assert_close(one, other)
    ends = set()
    for step in range(12):
        actions = (np.arange(4) * step) % 3
        seen, expected = batch.step(actions), sync.step(actions)
        for one, other in zip(seen, expected, strict=True):
            assert_close(one, other)
        ends |= {(bool(a), bool(b)) for a, b in zip(seen[2], seen[3], strict=True)}
        if mode == AutoresetMode.DISABLED and (seen[2] | seen[3]).any():
            mask = seen[2] | seen[3]
            for one, other in zip(
                batch.reset(options={"reset_mask": mask}), sync.reset(options={"reset_mask": mask}), strict=True
            ):
                assert_close(one, other)
    assert {(True, False), (False, False)} <= ends


def test_the_same_batch_is_bit_for_bit_the_same(tiny_world):
    plays = []
    for _ in range(2):
        envs = GeneratedVectorEnv(tiny_world, 3)
        envs.reset(seed=1)
        plays.append(np.stack([envs.step(np.array([0, 1, 2]))[0] for _ in range(6)]))
    np.testing.assert_array_equal(*plays)


def test_starts_can_be_asked_for(tiny_world):
    envs = GeneratedVectorEnv(tiny_world, 3)
    assert envs.reset(options={"start": 2})[1]["start"].tolist() == [2, 2, 2]
    observations, infos = envs.reset(options={"start": np.array([4, 0, 1])})
    assert infos["start"].tolist() == [4, 0, 1]
    single = GeneratedEnv(tiny_world)
    for row, start in enumerate([4, 0, 1]):
        np.testing.assert_array_equal(observations[row], single.reset(options={"start": start})[0])
    masked = {"start": np.array([3, 3, 3]), "reset_mask": np.array([False, False, True])}
    assert envs.reset(options=masked)[0].shape == observations.shape and list(masked) == ["start", "reset_mask"]
    assert envs.restore_state(envs.clone_state())[1]["start"].tolist() == [4, 0, 3]


def test_infos_count_what_was_played(tiny_world):
    envs = GeneratedVectorEnv(tiny_world, 2, max_episode_steps=3, autoreset_mode="SameStep")
    envs.reset(seed=0)
    total = np.zeros(2)
    for _ in range(20):
        _, rewards, terminated, truncated, infos = envs.step(np.array([1, 2]))
        total += rewards
        over = terminated | truncated
        if over.any():
            np.testing.assert_allclose(infos["final_info"]["return"][over], total[over])
            assert (infos["final_info"]["steps_since_real"][truncated] == 3).all()
        total[over] = 0
        np.testing.assert_allclose(infos["return"], total)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_gymnasium_s_episode_statistics(tiny_world, mode):
    envs = RecordEpisodeStatistics(GeneratedVectorEnv(tiny_world, 3, max_episode_steps=4, autoreset_mode=mode))
    envs.reset(seed=2)
    lengths: list[int] = []
    for _ in range(15):
        infos = envs.step(np.zeros(3, np.int64))[4]
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert lengths and max(lengths) <= 4


@pytest.mark.parametrize(("split", "episodes"), [("held-out", 1), ("train", 11), ("all", 12)])
def test_a_recording_is_where_to_begin(tiny_world, tiny_recording, split, episodes):
    recording = Recording(tiny_recording)
    places = [last for a, b in recording.episodes(split) for last in range(a + WINDOW, b - 1)]
    assert len(places) == episodes * (7 - WINDOW)  # the game is over in the last of eight frames
    single = GeneratedEnv(tiny_world, recording=tiny_recording, split=split)
    envs = GeneratedVectorEnv(tiny_world, 2, recording=tiny_recording, split=split)
    for start in (0, len(places) - 1):
        np.testing.assert_array_equal(single.reset(options={"start": start})[0], recording.frames[places[start]])
    observations, infos = envs.reset(seed=4)
    for row in range(2):
        np.testing.assert_array_equal(observations[row], recording.frames[places[infos["start"][row]]])
    again = pickle.loads(pickle.dumps(envs))
    np.testing.assert_array_equal(again.step(np.array([1, 2]))[0], envs.step(np.array([1, 2]))[0])
    with pytest.raises(WorldsimError, match=rf"no start {len(places)}; it has 0 to {len(places) - 1}"):
        single.reset(options={"start": len(places)})


@pytest.fixture
def envs(tiny_world: Path) -> GeneratedVectorEnv:
    envs = GeneratedVectorEnv(tiny_world, 3)
    envs.reset(seed=0)
    return envs


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (np.array([0, 1]), r"int64 \[2\]: give integers \[3\]"),
        (np.array([[0, 1, 2]]), r"int64 \[1, 3\]: give integers \[3\]"),
        (np.array([0.0, 1.0, 2.0]), r"float64 \[3\]: give integers \[3\]"),
        (np.array([0, 1, 3]), r"no action 3; it has 0 stay, 1 left, 2 right"),
        (np.array([0, -1, 0]), r"no action -1"),
    ],
)
def test_wrong_actions_are_one_error_and_change_nothing(envs, actions, words):
    before = envs.clone_state()
    with pytest.raises(WorldsimError, match=words):
        envs.step(actions)
    assert envs.clone_state().play is before.play


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reset_mask": np.array([True, False])}, r"reset_mask bool \[2\]: give bool \[3\]"),
        ({"reset_mask": np.array([[True, False, True]])}, r"reset_mask bool \[1, 3\]: give bool \[3\]"),
        ({"reset_mask": np.array([1, 0, 1])}, r"reset_mask int64 \[3\]: give bool \[3\]"),
        ({"reset_mask": np.zeros(3, bool)}, r"no row to reset"),
        ({"start": [0, 1]}, r"start int64 \[2\]: give an integer, or 3"),
        ({"start": 0.5}, r"start float64 \[\]: give an integer"),
        ({"start": STARTS}, rf"no start {STARTS}; it has 0 to {STARTS - 1}"),
        ({"strat": 1}, r"no option 'strat'; there are start, reset_mask"),
    ],
)
def test_wrong_options_are_one_error_and_change_nothing(envs, options, words):
    before = envs.clone_state()
    with pytest.raises(WorldsimError, match=words):
        envs.reset(options=options)
    assert envs.clone_state().play is before.play


def test_other_wrong_input_is_one_error(tiny_world, tiny_recording, small_recording, envs):
    with pytest.raises(WorldsimError, match="2 seeds: give one, or 3"):
        envs.reset(seed=[1, 2])
    with pytest.raises(WorldsimError, match="NextStep, SameStep, Disabled|no autoreset_mode 'Sometimes'"):
        GeneratedVectorEnv(tiny_world, 2, autoreset_mode="Sometimes")
    with pytest.raises(WorldsimError, match="no render_mode 'human'"):
        GeneratedVectorEnv(tiny_world, 2, render_mode="human")
    with pytest.raises(WorldsimError, match="num_envs 0"):
        GeneratedVectorEnv(tiny_world, 0)
    with pytest.raises(WorldsimError, match="max_episode_steps 0"):
        GeneratedVectorEnv(tiny_world, 2, max_episode_steps=0)
    with pytest.raises(WorldsimError, match=rf"is 32x16 with .* is {WIDTH}x{HEIGHT} with"):
        GeneratedEnv(tiny_world, recording=small_recording)
    with pytest.raises(WorldsimError, match="no split 'some'"):
        GeneratedEnv(tiny_world, recording=tiny_recording, split="some")
    fresh = GeneratedVectorEnv(tiny_world, 2)
    with pytest.raises(gym.error.ResetNeeded):
        fresh.step(np.array([0, 0]))
    with pytest.raises(gym.error.ResetNeeded):
        fresh.clone_state()
    with pytest.raises(gym.error.ResetNeeded, match="all rows"):
        fresh.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(WorldsimError, match="has 3 rows, the environment 2"):
        fresh.restore_state(envs.clone_state())
    fresh.reset(seed=0)
    fresh.close()
    for call in (lambda: fresh.step(np.array([0, 0])), fresh.reset):
        with pytest.raises(gym.error.ClosedEnvironmentError, match="were closed"):
            call()


@pytest.fixture
def other_world(tiny_world: Path, tmp_path: Path) -> Path:
    """The tiny world as if from other frames."""
    other = tmp_path / "other"
    shutil.copytree(tiny_world, other)
    manifest = json.loads((other / "world.json").read_text())
    manifest["origin"]["source"] = "other random numbers"
    manifest["digest"] = digest(manifest)
    (other / "world.json").write_text(json.dumps(manifest))
    return other


def test_the_state_of_another_world_is_one_error(tiny_world, other_world):
    toybox, rooms, generated = make_real("toybox"), make_real("rooms"), GeneratedEnv(tiny_world)
    toybox.reset(seed=0)
    rooms.reset(seed=0)
    generated.reset(seed=0)
    with pytest.raises(WorldsimError, match="another world, 'toybox', not of 'rooms'"):
        rooms.restore_state(toybox.clone_state())
    with pytest.raises(WorldsimError, match="bytes is not a state"):
        generated.restore_state(rooms.clone_state())
    with pytest.raises(WorldsimError, match="not a state of toybox"):
        toybox.restore_state(generated.clone_state())
    with pytest.raises(WorldsimError, match="another world than 'tiny', or of other weights"):
        GeneratedEnv(other_world).restore_state(generated.clone_state())


def test_temperature_is_part_of_a_world(tiny_world):
    """Rows have it as one world has, pickles keep it, and a state goes on nowhere else."""
    envs, single = GeneratedVectorEnv(tiny_world, 2, temperature=1.5), GeneratedEnv(tiny_world, temperature=1.5)
    envs.reset(seed=4)
    single.reset(seed=5)
    copied = pickle.loads(pickle.dumps(single))
    frames = [envs.step(np.array([1, 1]))[0][1], single.step(np.int64(1))[0], copied.step(np.int64(1))[0]]
    assert np.abs(frames[0].astype(int) - frames[1]).max() <= ROUNDING
    np.testing.assert_array_equal(frames[1], frames[2])
    with pytest.raises(WorldsimError, match="cloned at temperature 1.5, .* environment of temperature=1.5"):
        GeneratedEnv(tiny_world).restore_state(single.clone_state())
    with pytest.raises(WorldsimError, match="temperature nan"):
        GeneratedVectorEnv(tiny_world, 2, temperature=float("nan"))


def test_a_game_that_keeps_its_state_says_so():
    env = make_real("CartPole-v1")
    env.reset(seed=0)
    with pytest.raises(WorldsimError, match="can't be saved"):
        env.clone_state()


def test_a_pickle_of_a_world_that_was_exported_again_is_one_error(other_world, tiny_world):
    env = GeneratedEnv(other_world)
    env.reset(seed=0)
    pickled = pickle.dumps(env)
    pickle.loads(pickled)
    shutil.copy(tiny_world / "world.json", other_world)
    with pytest.raises(WorldsimError, match="not the one that was pickled"):
        pickle.loads(pickled)
    shutil.rmtree(other_world)
    with pytest.raises(WorldsimError, match="no world"):
        pickle.loads(pickled)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_a_window_is_off_screen_and_says_so(tiny_world, monkeypatch):
    import pygame

    pygame.display.quit()
    for name in ("SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    env = GeneratedEnv(tiny_world, "human")
    with pytest.warns(UserWarning, match="no display was found: render_mode='human'"):
        env.reset(seed=0)
    env.step(np.int64(1))
    env.close()
    assert not pygame.display.get_init()
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    with pytest.raises(WorldsimError, match="no display for render_mode='human'.*rgb_array"):
        GeneratedEnv(tiny_world, "human").reset(seed=0)


def test_a_copy_opens_a_window_of_its_own(tiny_world):
    env = GeneratedEnv(tiny_world, "human")
    env.reset(seed=0)
    other = pickle.loads(pickle.dumps(env))
    np.testing.assert_array_equal(other.step(np.int64(1))[0], env.step(np.int64(1))[0])
    env.close()
    other.close()
