"""The reward model learns which of several pictures that were made is right; what was made is kept, and judged once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import painted_clips
from square import EAGER
from tiny_imaginer import WORDS, tiny_networks, tiny_reward

from worldsim.errors import WorldsimError
from worldsim.runtime.sampler_defaults import SamplerDefaults
from worldsim.train import judged_pictures as judging
from worldsim.train.checkpoint import write
from worldsim.train.judged_pictures import JudgedPictures, judged_pictures
from worldsim.train.reward_model import (
    FILE,
    RewardTraining,
    choice_figures,
    held_out,
    load_reward_model,
    moved,
    train_reward_model,
)

MODEL = dataclasses.replace(tiny_networks(), defaults=SamplerDefaults(1, 1.0))


@dataclasses.dataclass
class Lighter:
    """Asks for a picture that is lighter above than below. Of some prompts nobody can judge pictures."""

    text: str = "a red ball"
    judged: bool = True

    def seen(self, frame: np.ndarray) -> dict[str, bool]:
        above, below = frame.reshape(2, -1).mean(1)
        return {"lighter": bool(above > below)} if self.judged else {}


def ask(number: int) -> Lighter:
    return Lighter(("a red ball", "red at night")[number % 2], number % 5 != 4)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedPictures:
    return judged_pictures(MODEL, ask, 384, tmp_path_factory.mktemp("judged"), "key", (32, 48))


def test_what_nobody_can_judge_is_left_out_and_what_was_made_is_read_again(
    judged: JudgedPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(judged.texts) == 308 and judged.frames.shape == (308, 8, 32, 48, 3)
    assert set(np.unique(judged.grades)) == {0.0, 1.0}
    first = judged_pictures(MODEL, ask, 64, tmp_path, "key", (32, 48))
    assert np.array_equal(first.frames, judged.frames[:52])
    with monkeypatch.context() as patch:
        patch.setattr(judging, "imagine_pictures", None)
        assert np.array_equal(judged_pictures(MODEL, ask, 64, tmp_path, "key").grades, first.grades)
        with pytest.raises(TypeError):  # of another imaginer
            judged_pictures(MODEL, ask, 64, tmp_path, "other")
    with pytest.raises(WorldsimError, match="nobody can judge pictures of any"):
        judged_pictures(MODEL, lambda number: Lighter(judged=False), 64, tmp_path / "none", "key")


@pytest.mark.slow
def test_the_best_of_eight_is_right_where_one_is(judged: JudgedPictures, tmp_path: Path) -> None:
    clips, config = painted_clips(tmp_path / "clips"), tiny_reward((*WORDS, "all", "blue", "is", "square")).config
    training = RewardTraining(steps=150, batch=4, prompts=8, lr=4e-3, shift=0)
    train_reward_model(clips, judged, tmp_path, config, training, EAGER)
    figures = choice_figures(load_reward_model(tmp_path), held_out(judged))
    assert 2 * figures["right_of_all"] < figures["right_of_best"] <= figures["right_of_any"]


def test_the_same_words_fit_whatever_else_is_padded() -> None:
    model = tiny_reward()
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    alone = model(pixels[:1], model.text.tokens(["a red ball"]))
    together = model(pixels, model.text.tokens(["a red ball", "a red ball at night a ball"]))
    torch.testing.assert_close(alone[0], together[0], rtol=1e-4, atol=1e-5)


def test_moved_pictures_repeat_their_edges() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), np.uint8)
    shifted = moved(pictures, 1, np.random.default_rng(1))
    assert shifted.shape == pictures.shape
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    for i, one in enumerate(shifted):
        assert any(np.array_equal(one, padded[i, y : y + 8, x : x + 8]) for y in range(3) for x in range(3))
    assert not np.array_equal(shifted, pictures)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="train it first: worldsim train reward"):
        load_reward_model(tmp_path)
    write(tmp_path / FILE, {"x": torch.zeros(1)}, {"kind": "VideoDiT"})
    with pytest.raises(WorldsimError, match="holds VideoDiT, not a reward model"):
        load_reward_model(tmp_path)
