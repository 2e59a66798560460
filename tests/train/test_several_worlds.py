"""One imaginer for several worlds: their clips as one set, prompts that name a world, and words learned later."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, DIT, painted_clips

from worldsim.cli.train_video import open_sets
from worldsim.data.captioned import CaptionedClips, JoinedClips
from worldsim.data.synonyms import Synonyms
from worldsim.errors import WorldsimError
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import Tokens, VideoDiT, inherit, places
from worldsim.models.words import Vocabulary
from worldsim.train.trainer import RunOptions
from worldsim.train.video_dit import VideoDiTTraining, train_video_dit


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedClips]:
    folder = tmp_path_factory.mktemp("sets")
    paths = [painted_clips(folder / "paint").path, painted_clips(folder / "ink", world="ink", thing="blot").path]
    return [
        CaptionedClips(paths[0], Synonyms({"red": ("crimson",)}, (" with ",))),
        CaptionedClips(paths[1], Synonyms({"red": ("scarlet",), "blot": ("stain",)})),
    ]


def test_numbers_go_on_from_set_to_set(sets: list[CaptionedClips]) -> None:
    joined, (first, second) = JoinedClips(sets), sets
    assert len(joined) == len(first) + len(second) == 80
    for number in (0, 39, 40, 79):
        alone, at = (first, number) if number < 40 else (second, number - 40)
        assert np.array_equal(joined.clip(number).frames, alone.clip(at).frames)
        assert joined.words(number) == alone.words(at) and joined.bucket(number) == alone.bucket(at)
        assert joined.world(number) == ("paint" if number < 40 else "ink")
    assert joined.locate(40)[0] == 2
    learned = np.sort(np.concatenate(list(joined.buckets(held_out=False).values())))
    apart = [np.sort(np.concatenate(list(clips.buckets(held_out=False).values()))) for clips in sets]
    assert np.array_equal(learned, np.concatenate([apart[0], apart[1] + 40]))
    assert len({joined.digest, first.digest, second.digest}) == 3


def test_what_is_told_names_its_world_half_of_the_time(sets: list[CaptionedClips]) -> None:
    joined, rng = JoinedClips(sets), np.random.default_rng(0)
    told = [joined.tell(40, "a red blot", rng) for _ in range(200)]
    assert 0.4 < np.mean([text.startswith("ink: ") for text in told]) < 0.6
    assert any("stain" in text for text in told) and any("scarlet" in text for text in told)
    assert not any(text.startswith("paint") for text in told)
    assert sets[1].tell(0, "a red blot", rng).find("ink") == -1
    assert {"paint", "ink", "crimson", "scarlet", " with "} <= set(joined.more_words)


def test_a_prompt_names_its_world_where_that_is_known() -> None:
    assert Vocabulary(("doom", "maze", "wall")).in_world("doom-maze", "a wall") == "doom-maze: a wall"
    assert Vocabulary(("maze", "wall")).in_world("doom-maze", "a wall") == "a wall"
    assert Vocabulary(("ink",)).in_world("ink", " ") == " " and Vocabulary(("ink",)).in_world("", "a") == "a"


def test_the_vocabulary_of_both_is_trained(sets: list[CaptionedClips], tmp_path: Path) -> None:
    options = RunOptions(torch.device("cpu"), compile=False)
    training = VideoDiTTraining(steps=1, batch=1, row_tokens=24)
    dit = train_video_dit(JoinedClips(sets), VideoAutoencoder(AUTOENCODER).eval(), tmp_path, DIT, training, options)
    assert {"paint", "ink", "square", "blot", "stain"} <= set(dit.config.text.words)


def test_words_learned_before_keep_their_meaning() -> None:
    def network(seed: int, *words: str) -> VideoDiT:
        torch.manual_seed(seed)
        return VideoDiT(dataclasses.replace(DIT, text=dataclasses.replace(DIT.text, words=words)))

    before, after = network(0, "a", "ball", "red"), network(1, "a", "ball", "blue", "ink", "red")
    with torch.no_grad():
        before.out.weight.normal_(std=0.1)
    inherit(after, before)
    place, size = places((1, 2, 3))
    tau = torch.full((1, 6), 0.5)
    values = torch.randn(1, 6, DIT.token_width)
    tokens = Tokens(values, place[None], size[None], tau, torch.zeros(1, 6, dtype=torch.bool))
    for text in ("a red ball", "", "zebra"):
        made = [dit.eval()(tokens, dit.text.tokens([text])[:, None]) for dit in (before, after)]
        torch.testing.assert_close(*made)
    with pytest.raises(WorldsimError, match="of other sizes"):
        inherit(VideoDiT(dataclasses.replace(DIT, depth=3)), before)


def test_sets_that_cant_be_joined_are_one_error(sets: list[CaptionedClips], tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="--clips names no folder"):
        open_sets([])
    with pytest.raises(WorldsimError, match="--captions are those of one set"):
        open_sets([clips.path for clips in sets], tmp_path / "captions.json")
