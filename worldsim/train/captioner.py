"""Train the captioner: recorded captions, word by word, from what the towers of a run make of clips (teacher forcing).
The towers stay as they are."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_latents import ClipLatents
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.captioner import Captioner, CaptionerConfig
from worldsim.models.words import PAD, split_words
from worldsim.runtime.describe import Describer
from worldsim.train import checkpoint, distributed
from worldsim.train.clip_towers import PairDraws, load_clip_scorer
from worldsim.train.draws import Draws
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer
from worldsim.train.video_autoencoder import latents_digest
from worldsim.train.video_dit import optimizers

NAME = "captioner"
FILE = f"{NAME}.safetensors"
JUDGED = 64  # held-out pictures that are told in words, in a preview


@dataclasses.dataclass(frozen=True)
class CaptionerTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: clips of a step.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pictures: share of the steps that look at single frames, not at whole clips.
    """

    steps: int = 3000
    batch: int = 64
    lr: float = 2e-3
    pictures: float = 0.75
    seed: int = 0


class CaptionLoss(nn.Module):
    """Cross-entropy of the next word, as a module, so that it can be sharded as a whole."""

    def __init__(self, captioner: Captioner):
        super().__init__()
        self.captioner = captioner

    def forward(self, tokens: Tensor, features: Tensor) -> dict[str, Tensor]:
        """Loss of captions int64 `[B, K]`, padded by at least one token, told of features `[B, S, F]`."""
        before, after = tokens[:, :-1], tokens[:, 1:]
        logits = self.captioner(before, features)
        counts = before != PAD
        return {"loss": F.cross_entropy(logits[counts], after[counts])}


def train_captioner(
    clips: CaptionedClips,
    out: Path,
    config: CaptionerConfig,
    training: CaptionerTraining,
    options: RunOptions = ON_CPU,
) -> Captioner:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/captioner.safetensors`.

    Raises:
        WorldsimError: if there are no clips to learn from, or no towers in `out`.
    """
    if not clips.buckets(held_out=False):
        raise WorldsimError(f"{clips.path} has no clips to learn from; record more: --clips")
    scorer = load_clip_scorer(out)
    towers = scorer.towers.to(options.device)
    config = dataclasses.replace(config, words=towers.config.text.words, features=towers.config.width)
    key = latents_digest(scorer.autoencoder)
    autoencoder = scorer.autoencoder.to(options.device)
    with distributed.main_first():
        latents = ClipLatents(clips, autoencoder, key, out / "latents", write=distributed.is_main())
    torch.manual_seed(training.seed)
    captioner = Captioner(config)
    settings = {"clips": clips.digest, "towers": checkpoint.digest(towers.state_dict())}
    trainer = Trainer(
        out,
        NAME,
        captioner,
        CaptionLoss(captioner),
        optimizers,
        training,
        {"model": dataclasses.asdict(config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )

    batches = PairDraws(latents, training.pictures)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        pairs = batches(draws)
        with torch.no_grad(), mixed_precision(options.device):
            features = towers.features(draws.put(pairs.latents.float()))
        tokens = F.pad(towers.text.tokens(pairs.recorded), (0, 1), value=PAD)
        return trainer.update(draws.put(tokens), features.float())

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, Captioner)
        header = {"kind": "Captioner", "config": dataclasses.asdict(config)}
        checkpoint.write(out / FILE, learned.state_dict(), header)
        return caption_figures(Describer(scorer, learned.eval()), clips)

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, Captioner)
    return learned.requires_grad_(False)


def caption_figures(describer: Describer, clips: CaptionedClips) -> dict[str, float]:
    """Share of held-out pictures whose caption is true: all of its words that exclude others, and all pairs of these
    that stand together, are in captions that were recorded of the picture."""
    numbers = max(clips.buckets(held_out=True).values(), key=len, default=np.zeros(0, int))[:JUDGED]
    telling = {word for group in clips.synonyms.contrasts for some in group for word in split_words(some)}
    if not len(numbers) or not telling:
        return {}
    chosen = [clips.clip(int(number)) for number in numbers]
    captions = describer.captions(np.stack([clip.frames[:1] for clip in chosen]))

    def said(text: str) -> set[tuple[str, ...]]:
        words = split_words(text)
        pairs = {pair for pair in itertools.pairwise(words) if telling.issuperset(pair)}
        return {(word,) for word in words if word in telling} | pairs

    true = [
        said(caption) <= set().union(*map(said, clip.moments[0]))
        for caption, clip in zip(captions, chosen, strict=True)
    ]
    return {"true": float(np.mean(true))}


def load_describer(folder: Path) -> Describer:
    """The towers and the captioner of a run, in evaluation mode.

    Raises:
        WorldsimError: if one is missing, cut, or not of the other.
    """
    path = folder / FILE
    if not path.exists():
        raise WorldsimError(
            f"there is no {path}; train it first: worldsim train captioner --clips CLIPS --out {folder}"
        )
    scorer = load_clip_scorer(folder)
    weights, header = checkpoint.read(path)
    if header.get("kind") != "Captioner":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not a captioner")
    config = CaptionerConfig.from_json(header["config"])
    if config.words != scorer.towers.config.text.words or config.features != scorer.towers.config.width:
        raise WorldsimError(f"the networks in {folder} are of different runs; train the captioner again")
    captioner = Captioner(config)
    checkpoint.load_weights(path, captioner, weights)
    return Describer(scorer, captioner.eval().requires_grad_(False))
