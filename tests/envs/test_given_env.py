"""Generated environments that begin with words or a picture, one row or many."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tiny import HEIGHT, WIDTH

from worldsim.errors import WorldsimError
from worldsim.runtime import imaginer
from worldsim.runtime.imaginer import open_imaginer
from worldsim.runtime.painter import Painter
from worldsim.runtime.pictures import fitted
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.generated.vector import GeneratedVectorEnv


@pytest.fixture
def env(tiny_world: Path, tiny_imaginer: Path) -> GeneratedEnv:
    return GeneratedEnv(tiny_world, device="cpu", imaginer=tiny_imaginer)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)


def test_words(env: GeneratedEnv, tiny_imaginer: Path) -> None:
    first, info = env.reset(seed=5, options={"prompt": "a red ball"})
    assert info["start"] == -1 and info["steps_since_real"] == 0
    assert info["strangeness"] > 0 and isinstance(info["strange"], bool)
    after = env.step(np.int64(1))[0]
    again, _ = env.reset(seed=5, options={"prompt": "a red ball"})
    assert np.array_equal(first, again)
    assert np.array_equal(after, env.step(np.int64(1))[0])
    assert not np.array_equal(first, env.reset(seed=6, options={"prompt": "a red ball"})[0])
    assert not np.array_equal(first, env.reset(seed=5)[0])
    seed = int(np.random.Generator(np.random.PCG64(np.random.SeedSequence(5))).integers(2**63))
    painted = Painter(open_imaginer(tiny_imaginer), "cpu").paint("a red ball", seed=seed)
    assert np.array_equal(first, fitted(painted, env.world))
    assert "strangeness" not in env.reset(seed=5)[1]


def test_a_picture_of_any_size(env: GeneratedEnv, picture: np.ndarray) -> None:
    frame, info = env.reset(seed=1, options={"image": picture})
    assert np.array_equal(frame, fitted(picture, env.world)) and info["start"] == -1
    start, _ = env.reset(seed=1, options={"start": 0})
    known = env.reset(seed=1, options={"image": start})[1]
    assert not known["strange"] and known["strangeness"] != info["strangeness"]


def test_copies_and_clones_go_on(env: GeneratedEnv, picture: np.ndarray) -> None:
    env.reset(seed=1, options={"image": picture})
    clone, other = env.clone_state(), pickle.loads(pickle.dumps(env))
    after = env.step(np.int64(2))[0]
    assert np.array_equal(after, other.step(np.int64(2))[0])
    assert env.restore_state(clone)[1]["start"] == -1
    assert np.array_equal(after, env.step(np.int64(2))[0])


def test_what_cant_begin_is_one_error(
    env: GeneratedEnv, picture: np.ndarray, tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, message in (
        ({"prompt": ""}, "without words"),
        ({"prompt": "ball " * 1000}, "5,000 letters"),
        ({"prompt": 3}, "give one for all rows"),
        ({"prompt": "a ball", "start": 1}, "'start' and 'prompt' both say"),
        ({"prompt": "a ball", "image": picture}, "both say where to begin"),
        ({"image": picture.astype(np.float32)}, "give uint8 RGB"),
        ({"image": picture[..., 0]}, "give one for all rows"),
        ({"image": np.zeros((0, 5, 3), np.uint8)}, "give uint8 RGB"),
        ({"image": np.broadcast_to(np.uint8(0), (60_000, 60_000, 3))}, "60,000x60,000 pixels"),
        ({"images": picture}, "no option 'images'"),
    ):
        with pytest.raises(WorldsimError, match=message):
            env.reset(seed=1, options=options)
    monkeypatch.setattr(imaginer, "SHIPPED", tmp_path)
    with pytest.raises(WorldsimError, match="no imaginer is installed"):
        GeneratedEnv(tiny_world, device="cpu").reset(seed=1, options={"prompt": "a ball"})


def test_rows_begin_as_single_ones_do(
    env: GeneratedEnv, tiny_world: Path, tiny_imaginer: Path, picture: np.ndarray
) -> None:
    envs = GeneratedVectorEnv(tiny_world, 3, device="cpu", imaginer=tiny_imaginer)
    frames, infos = envs.reset(seed=5, options={"prompt": ["a red ball", None, "ball"]})
    assert frames.shape == (3, HEIGHT, WIDTH, 3) and infos["start"].tolist()[::2] == [-1, -1]
    assert infos["start"][1] >= 0 and infos["_strangeness"].tolist() == [True, False, True]
    assert np.array_equal(frames[0], env.reset(seed=5, options={"prompt": "a red ball"})[0])
    assert np.array_equal(frames[1], env.reset(seed=6)[0])
    stepped = envs.step(np.array([1, 1, 1]))[0]
    assert np.abs(stepped[1].astype(int) - env.step(np.int64(1))[0]).max() <= 2
    assert np.array_equal(envs.reset(seed=1, options={"image": picture})[0][2], fitted(picture, envs.world))
    with pytest.raises(WorldsimError, match="3, one a row"):
        envs.reset(options={"prompt": ["a", "b"]})
