"""Learning to follow: a sketch, another look of the same clip; what is drawn of frames, and what is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, COLOURS, DIT
from square import EAGER

from worldsim.data import sketch
from worldsim.data.captioned import CaptionedClips, write_manifest
from worldsim.data.clip_latents import ClipLatents
from worldsim.data.clip_shards import Clip, shard_name, write_shard
from worldsim.device import DevicePolicy
from worldsim.models.guides import SOURCE
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.train.draws import Draws
from worldsim.train.pieces import Pieces, last_clause
from worldsim.train.video_dit import ClipDenoisingLoss, ClipDraws, VideoDiTTraining, train_video_dit

TRAINING = VideoDiTTraining(
    batch=12, row_tokens=9, lr=4e-3, sketched=0.0, restyled=0.0, untold=0.0, pure_noise_prob=0.8
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    """Pictures of a square somewhere, each in two looks: on red and on blue."""
    folder, rng, made = tmp_path_factory.mktemp("squares"), np.random.default_rng(0), []
    for group in range(32):
        top, left = rng.integers(0, 32, 2)
        for look in ("red", "blue"):
            frames = np.full((1, 48, 48, 3), COLOURS[look], np.uint8)
            frames[:, top : top + 16, left : left + 16] = 255
            words = ("a square", f"a square, all {look}")
            made.append(Clip(frames, words, (words,), look, group))
    write_shard(folder / shard_name(0), made, {})
    write_manifest(folder, 1, {"world": "paint", "seed": 0, "unseen": []})
    return CaptionedClips(folder)


@pytest.fixture(scope="module")
def latents(clips: CaptionedClips, tmp_path_factory: pytest.TempPathFactory) -> ClipLatents:
    torch.manual_seed(0)
    return ClipLatents(clips, VideoAutoencoder(AUTOENCODER).eval(), "", tmp_path_factory.mktemp("latents"))


@pytest.mark.parametrize("followed", [{"sketched": 1.0, "steps": 400}, {"restyled": 1.0, "steps": 150}])
def test_what_is_learned_is_to_follow(
    clips: CaptionedClips, latents: ClipLatents, followed: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    training = dataclasses.replace(TRAINING, **followed)
    dit = train_video_dit(clips, VideoAutoencoder(AUTOENCODER).eval(), tmp_path, DIT, training, EAGER)
    loss, draws = ClipDenoisingLoss(dit), Draws(7, 0, 64, 0.0, DevicePolicy(torch.device("cpu"), compiles=False))
    clean, noise, words = ClipDraws(latents, dit.config, training)(draws, dit)
    clean = clean._replace(tau=clean.tau * 0, given=torch.zeros_like(clean.given))
    with torch.no_grad():
        right, other, none = (
            float(loss(clean._replace(guide=g), noise, words)["error"])
            for g in (clean.guide, clean.guide.roll(2, 0), torch.zeros_like(clean.guide))
        )
    assert right < 0.93 * min(none, other)


def test_sketches_are_of_the_frames_and_the_same_for_the_same_generator(clips: CaptionedClips) -> None:
    frames = clips.clip(0).frames.repeat(3, 0)
    drawn, again = (sketch.draw(frames, np.random.default_rng(4)) for _ in range(2))
    assert drawn.shape == (3, 48, 48) and drawn.dtype == np.uint8 and (drawn == again).all()
    assert not sketch.draw(np.full_like(frames, 90), np.random.default_rng(4)).any()
    many = np.concatenate([sketch.draw(frames, np.random.default_rng(i)) for i in range(40)])
    assert set(np.unique(many)) == {0, 255}
    near = np.zeros((48, 48), bool)
    rows, columns = np.nonzero(frames[0, :, :, 1] == 255)
    top, left = rows.min(), columns.min()
    for at in (top, top + 15):
        near[max(at - 3, 0) : at + 4, max(left - 3, 0) : left + 19] = True
    for at in (left, left + 15):
        near[max(top - 3, 0) : top + 19, max(at - 3, 0) : at + 4] = True
    assert (many[:, near] > 0).sum() > 0.95 * (many > 0).sum()
    assert len(np.unique((many > 0).sum((1, 2)))) > 20  # some are fuller than others


def test_half_of_the_restyled_are_told_a_clause_that_names_their_look(latents: ClipLatents) -> None:
    pieces, rng = Pieces(latents, DIT.patch_size, sketched=0.3, restyled=0.5), np.random.default_rng(0)
    drawn = [pieces.draw(1, 1, rng) for _ in range(300)]
    sourced, sketched = (np.array([bool(p.guide[0, at]) for p in drawn]) for at in (SOURCE, 0))
    assert 0.4 < sourced.mean() < 0.6 and 0.2 < sketched.mean() < 0.4 and 0.05 < (sourced & sketched).mean() < 0.25
    told = [list(p.captions) for p, restyled in zip(drawn, sourced, strict=True) if restyled]
    assert {text for texts in told for text in texts} == {"a square, all blue", "all blue"}
    other = pieces.draw(0, 1, rng).values  # the other look of the same
    assert all(
        torch.equal(p.guide[:, SOURCE + 1 :], other) for p, restyled in zip(drawn, sourced, strict=True) if restyled
    )


def test_last_clause() -> None:
    assert last_clause("Two toys: a ball and a box. It is night.") == "It is night"
    assert last_clause("a ball, at night") == "at night"
    assert last_clause("a ball") == "a ball"
