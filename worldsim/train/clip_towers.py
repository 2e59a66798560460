"""Train the two towers: which words belong to which clip of a batch (InfoNCE both ways; CLIP, Radford et al. 2021).

A step's clips are of one size and length, so what tells them apart is what they show. Beside the captions of the other
clips stand captions with one word changed, which are wrong by that word alone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_latents import ClipLatents
from worldsim.errors import WorldsimError
from worldsim.models.clip_towers import ClipTowers, ClipTowersConfig
from worldsim.models.text import vocabulary
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.runtime.clip_score import ClipScorer, recall
from worldsim.train import checkpoint, distributed, video_autoencoder
from worldsim.train.draws import Draws
from worldsim.train.sentences import Sentences
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer
from worldsim.train.video_autoencoder import latents_digest, load_video_autoencoder
from worldsim.train.video_dit import optimizers

NAME = "clip-towers"
FILE = f"{NAME}.safetensors"
JUDGED = 64  # held-out pictures among which the right one is looked for


@dataclasses.dataclass(frozen=True)
class ClipTowersTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: clips of a step, each a negative of all others.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pictures: share of the steps that look at single frames, not at whole clips.
        alignment: weight of one minus the cosine to the sentence encoder's vector, if there is one.
    """

    steps: int = 3000
    batch: int = 64
    lr: float = 2e-3
    pictures: float = 0.75
    alignment: float = 0.3
    seed: int = 0


class ContrastiveLoss(nn.Module):
    """The loss of clips and their captions, as a module, so that it can be sharded as a whole."""

    def __init__(self, towers: ClipTowers, alignment: float):
        super().__init__()
        self.towers, self.alignment = towers, alignment

    def forward(self, latents: Tensor, told: Tensor, changed: Tensor, sentences: Tensor | None) -> dict[str, Tensor]:
        """Symmetric InfoNCE; equal captions are no negatives of each other.

        Args:
            latents: of the clips, `[B, t, C, h, w]`.
            told: tokens of their captions, int64 `[B, K]`. changed: of the same made wrong by one word; equal to
                `told` where there is none to change.
            sentences: the sentence encoder's unit vectors of the captions `[B, M]`, or None.
        """
        rows = len(latents)
        clips = self.towers.clips(latents)
        candidates = torch.cat([told, changed])  # [2 B, K]
        texts, means = self.towers.texts(candidates)
        own = torch.eye(rows, 2 * rows, dtype=torch.bool, device=told.device)
        equal = (told[:, None] == candidates).all(-1) & ~own
        logits = (self.towers.scale * clips @ texts.T).masked_fill(equal, -torch.inf)  # [B, 2 B]
        right = torch.arange(rows, device=told.device)
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, :rows].T, right)) / 2
        found = (logits.argmax(1) == right).float().mean()
        if sentences is None:
            return {"loss": loss, "found": found}
        assert self.towers.sentence_out is not None
        apart = 1 - F.cosine_similarity(self.towers.sentence_out(means[:rows]).float(), sentences, dim=-1).mean()
        return {"loss": loss + self.alignment * apart, "found": found, "apart": apart}


def train_clip_towers(
    clips: CaptionedClips,
    autoencoder: VideoAutoencoder,
    out: Path,
    config: ClipTowersConfig,
    training: ClipTowersTraining,
    options: RunOptions = ON_CPU,
    sentences: Sentences | None = None,
) -> ClipTowers:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/clip-towers.safetensors`.

    The latents are those that the video DiT learns from, in `out/latents`.

    Raises:
        WorldsimError: if there are no clips to learn from.
    """
    buckets = clips.buckets(held_out=False)
    if not buckets:
        raise WorldsimError(f"{clips.path} has no clips to learn from; record more: --clips")
    words = config.text.words or vocabulary(clips.captions(), clips.more_words)
    config = dataclasses.replace(
        config,
        channels=autoencoder.config.channels,
        text=dataclasses.replace(config.text, words=words),
        sentence=sentences([""]).shape[1] if sentences else 0,
    )
    key = latents_digest(autoencoder)
    autoencoder = autoencoder.to(options.device)
    with distributed.main_first():
        latents = ClipLatents(clips, autoencoder, key, out / "latents", write=distributed.is_main())
    torch.manual_seed(training.seed)
    towers = ClipTowers(config)
    settings = {"clips": clips.digest, "synonyms": clips.synonyms.key, "autoencoder": key}
    trainer = Trainer(
        out,
        NAME,
        towers,
        ContrastiveLoss(towers, training.alignment),
        optimizers,
        training,
        {"model": dataclasses.asdict(config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )

    batches = PairDraws(latents, training.pictures)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        pairs = batches(draws)
        tokens = towers.text.tokens([*pairs.told, *pairs.changed])
        meant = None if sentences is None else draws.put(sentences(pairs.recorded))
        return trainer.update(draws.put(pairs.latents.float()), *draws.put(tuple(tokens.chunk(2))), meant)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, ClipTowers)
        save_clip_towers(out / FILE, learned)
        return retrieval_figures(ClipScorer(autoencoder, learned.eval()), clips)

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, ClipTowers)
    return learned.requires_grad_(False)


class Pairs(NamedTuple):
    """Clips of one size, and what is said of each.

    Attributes:
        latents: half precision `[B, t, C, h, w]`.
        told: a true caption of each, in words that vary. changed: the same made wrong. recorded: as it was recorded.
    """

    latents: Tensor
    told: list[str]
    changed: list[str]
    recorded: list[str]


class PairDraws:
    """Makes the batches of a training.

    Args:
        latents: of the clips.
        pictures: share of the steps that look at single frames, not at whole clips.
    """

    def __init__(self, latents: ClipLatents, pictures: float):
        self._latents, self._pictures = latents, pictures
        self._buckets = list(latents.clips.buckets(held_out=False).values())
        sizes = np.array([len(numbers) for numbers in self._buckets], float)
        self._shares = sizes / sizes.sum()

    def __call__(self, draws: Draws) -> Pairs:
        """This process's clips of a step, whose captions are of one kind, which decides how long they are."""
        rng = np.random.default_rng([draws.seed, draws.step])
        numbers = self._buckets[rng.choice(len(self._buckets), p=self._shares)]
        single, kind = rng.random() < self._pictures, rng.random()
        chosen = draws.own(rng.choice(numbers, draws.batch, replace=len(numbers) < draws.batch))
        pairs = [self._pair(int(number), single, kind, draws) for number in chosen]
        return Pairs(
            torch.stack([latent for latent, _, _, _ in pairs]),
            [told for _, told, _, _ in pairs],
            [changed for _, _, changed, _ in pairs],
            [recorded for _, _, _, recorded in pairs],
        )

    def _pair(self, number: int, single: bool, kind: float, draws: Draws) -> tuple[Tensor, str, str, str]:
        rng = np.random.default_rng([draws.seed, draws.step, number])
        latents, clips = self._latents, self._latents.clips
        if single:
            latent, captions = latents.picture(number, int(rng.integers(latents.pictures(number))))
        else:
            latent, captions = latents.clip(number, clips.bucket(number)[0]), clips.words(number)[0]
        text = captions[int(kind * len(captions))]
        wrong, seed = clips.synonyms.contradict(text, rng), int(rng.integers(1 << 32))
        told, changed = (clips.tell(number, each, np.random.default_rng(seed)) for each in (text, wrong))
        return latent, told, changed, text


def retrieval_figures(scorer: ClipScorer, clips: CaptionedClips) -> dict[str, float]:
    """How often the right one of 64 held-out pictures, or captions, is the first or one of the first five; and how
    often a caption fits better than one with a word changed."""
    numbers = max(clips.buckets(held_out=True).values(), key=len, default=np.zeros(0, int))[:JUDGED]
    if not len(numbers):
        return {}
    chosen = [clips.clip(int(number)) for number in numbers]
    texts = [max(clip.moments[0], key=len) for clip in chosen]
    rng = np.random.default_rng(0)
    wrong = [clips.synonyms.contradict(text, rng) for text in texts]
    pictures = scorer.pictures(np.stack([clip.frames[0] for clip in chosen]))
    told, false = ((pictures @ scorer.texts(some).T).cpu().numpy() for some in (texts, wrong))  # [pictures, texts]
    right = np.array(texts)[:, None] == np.array(texts)
    figures = {f"picture_at_{k}": recall(told.T, right, k) for k in (1, 5)}
    figures |= {f"words_at_{k}": recall(told, right, k) for k in (1, 5)}
    pairs = [told[i, i] > false[i, i] for i in range(len(texts)) if wrong[i] != texts[i]]
    return figures | ({"word_changed": float(np.mean(pairs))} if pairs else {})


def save_clip_towers(path: Path, towers: ClipTowers) -> None:
    """Write two towers."""
    header = {"kind": "ClipTowers", "config": dataclasses.asdict(towers.config)}
    checkpoint.write(path, towers.state_dict(), header)


def load_clip_scorer(folder: Path) -> ClipScorer:
    """The video autoencoder and the towers of a run, in evaluation mode.

    Raises:
        WorldsimError: if one is missing, cut, or not of the other.
    """
    path = folder / FILE
    if not path.exists():
        raise WorldsimError(f"there is no {path}; train it first: worldsim train clip --clips CLIPS --out {folder}")
    autoencoder = load_video_autoencoder(folder / video_autoencoder.FILE)
    weights, header = checkpoint.read(path)
    if header.get("kind") != "ClipTowers":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not two towers")
    config = ClipTowersConfig.from_json(header["config"])
    if config.channels != autoencoder.config.channels:
        raise WorldsimError(f"the networks in {folder} are of different runs; train the towers again")
    towers = ClipTowers(config)
    checkpoint.load_weights(path, towers, weights)
    return ClipScorer(autoencoder, towers.eval().requires_grad_(False))
