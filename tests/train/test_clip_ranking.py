"""The towers learn which of several pictures that were made is right, and what was made is kept and judged once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import painted_clips
from square import EAGER
from tiny_imaginer import WORDS, tiny_networks, tiny_towers

from worldsim.runtime.clip_score import ClipScorer
from worldsim.runtime.sampler_defaults import SamplerDefaults
from worldsim.train import judged_pictures as judging
from worldsim.train.clip_ranking import ClipRankingTraining, choice_figures, held_out, train_clip_ranking
from worldsim.train.clip_towers import load_clip_scorer, save_clip_towers
from worldsim.train.judged_pictures import JudgedPictures, judged_pictures
from worldsim.train.video_autoencoder import FILE as AUTOENCODER_FILE
from worldsim.train.video_autoencoder import save_video_autoencoder

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
    return judged_pictures(MODEL, ask, 384, tmp_path_factory.mktemp("judged"), "key")


def test_what_nobody_can_judge_is_left_out_and_what_was_made_is_read_again(
    judged: JudgedPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(judged.texts) == 308 and judged.latents.shape == (308, 8, 4, 8, 8)
    assert set(judged.grades.unique().tolist()) == {0.0, 1.0}
    first = judged_pictures(MODEL, ask, 64, tmp_path, "key")
    torch.testing.assert_close(first.latents, judged.latents[:52])
    with monkeypatch.context() as patch:
        patch.setattr(judging, "imagine_pictures", None)
        torch.testing.assert_close(judged_pictures(MODEL, ask, 64, tmp_path, "key").grades, first.grades)
        with pytest.raises(TypeError):  # of another imaginer
            judged_pictures(MODEL, ask, 64, tmp_path, "other")


@pytest.mark.slow
def test_the_best_of_eight_is_right_where_one_is(judged: JudgedPictures, tmp_path: Path) -> None:
    clips = painted_clips(tmp_path / "clips")
    towers = tiny_towers((*WORDS, "all", "blue", "green", "is", "square"))
    save_video_autoencoder(tmp_path / AUTOENCODER_FILE, MODEL.autoencoder)
    save_clip_towers(tmp_path / "clip-towers.safetensors", towers)
    training = ClipRankingTraining(steps=300, batch=4, prompts=8, lr=4e-3)
    train_clip_ranking(clips, judged, ClipScorer(MODEL.autoencoder, towers), tmp_path, training, EAGER)
    figures = choice_figures(load_clip_scorer(tmp_path).towers, held_out(judged))
    assert 2 * figures["right_of_all"] < figures["right_of_best"] <= figures["right_of_any"]
