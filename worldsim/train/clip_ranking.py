"""The two towers learn on from pictures that an imaginer made: of two pictures of one prompt the one that shows more
of it is to fit better (Bradley-Terry, as reward models of pictures learn: ImageReward, Xu et al. 2023), while real
clips and their captions go on as before. Then the best of several is one that is right.

P prompts, E pictures of each, C channels, h x w latents, K words.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_latents import ClipLatents
from worldsim.models.clip_towers import ClipTowers
from worldsim.runtime.clip_score import ClipScorer
from worldsim.train import checkpoint, distributed
from worldsim.train.clip_towers import FILE, ContrastiveLoss, PairDraws, save_clip_towers
from worldsim.train.draws import Draws
from worldsim.train.judged_pictures import JudgedPictures
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer
from worldsim.train.video_autoencoder import latents_digest
from worldsim.train.video_dit import optimizers

NAME = "clip-ranking"
HELD_OUT = 0.1  # of the prompts, the last ones


@dataclasses.dataclass(frozen=True)
class ClipRankingTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: clips of a step, each a negative of all others.
        prompts: of a step, with all their pictures.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pictures: share of the steps whose clips are single frames.
        contrastive: weight of the loss on real clips.
        noise: largest standard deviation of the noise on the latents of pictures that were made.
    """

    steps: int = 3000
    batch: int = 32
    prompts: int = 16
    lr: float = 1e-3
    pictures: float = 0.75
    contrastive: float = 0.3
    noise: float = 0.1
    seed: int = 0


class RankingLoss(nn.Module):
    """The loss of real clips and of pictures that were made, as a module, so that it can be sharded as a whole."""

    def __init__(self, contrastive: ContrastiveLoss, weight: float):
        super().__init__()
        self.contrastive, self.weight = contrastive, weight

    def forward(
        self, latents: Tensor, told: Tensor, changed: Tensor, made: Tensor, grades: Tensor, prompts: Tensor
    ) -> dict[str, Tensor]:
        """Negative log-likelihood that the better of two pictures wins, and the loss of `ContrastiveLoss`.

        Args:
            latents, told, changed: of real clips, as `ContrastiveLoss.forward` takes them.
            made: latents of pictures, `[P, E, C, h, w]`. grades: how much of its prompt each shows, `[P, E]`.
            prompts: tokens of those, int64 `[P, K]`.
        """
        real = self.contrastive(latents, told, changed, None)
        fit = scores(self.contrastive.towers, made, prompts)
        better = grades[:, :, None] > grades[:, None]
        loss = (F.softplus(fit[:, None] - fit[:, :, None]) * better).sum() / better.sum().clamp(min=1)
        first = grades.gather(1, fit.argmax(1, keepdim=True)).mean()
        return {
            "loss": loss + self.weight * real["loss"],
            "ranking": loss,
            "first": first,
            "ahead": first - grades.mean(),
            "found": real["found"],
        }


def scores(towers: ClipTowers, made: Tensor, prompts: Tensor) -> Tensor:
    """How well pictures `[P, E, C, h, w]` fit their prompts `[P, K]`: scaled cosines `[P, E]`."""
    clips = towers.clips(made.flatten(0, 1)[:, None]).unflatten(0, made.shape[:2])
    fit: Tensor = towers.scale * (clips @ towers.texts(prompts)[0][..., None]).squeeze(-1)
    return fit


def train_clip_ranking(
    clips: CaptionedClips,
    judged: JudgedPictures,
    start: ClipScorer,
    out: Path,
    training: ClipRankingTraining,
    options: RunOptions = ON_CPU,
) -> None:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/clip-towers.safetensors`.

    Args:
        clips: real ones. judged: pictures that were made.
        start: the towers to begin with, and the autoencoder whose latents they see.
    """
    key = latents_digest(start.autoencoder)
    with distributed.main_first():
        autoencoder = start.autoencoder.to(options.device)
        latents = ClipLatents(clips, autoencoder, key, out / "latents", write=distributed.is_main())
    torch.manual_seed(training.seed)
    towers = copy.deepcopy(start.towers).requires_grad_(True)
    settings = {"clips": clips.digest, "autoencoder": key, "judged": checkpoint.digest({"latents": judged.latents})}
    trainer = Trainer(
        out,
        NAME,
        towers,
        RankingLoss(ContrastiveLoss(towers, 0.0), training.contrastive),
        optimizers,
        training,
        {"model": dataclasses.asdict(towers.config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )
    kept = held_out(judged)
    learned_from = len(judged.texts) - len(kept.texts)
    pairs_of = PairDraws(latents, training.pictures)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        pairs = pairs_of(draws)
        tokens = towers.text.tokens([*pairs.told, *pairs.changed])
        rng = np.random.default_rng([draws.seed, draws.step, 1])
        chosen = draws.own(rng.choice(learned_from, training.prompts))
        prompts = towers.text.tokens([clips.synonyms.vary(judged.texts[n], rng) for n in chosen])
        made = judged.latents[chosen].float()
        spread = training.noise * torch.from_numpy(rng.random((*made.shape[:2], 1, 1, 1), np.float32))
        made = made + spread * torch.from_numpy(rng.standard_normal(made.shape, np.float32))
        asked = draws.put((made, judged.grades[chosen], prompts))
        return trainer.update(draws.put(pairs.latents.float()), *draws.put(tuple(tokens.chunk(2))), *asked)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, ClipTowers)
        save_clip_towers(out / FILE, learned)
        return choice_figures(learned.eval(), kept)

    trainer.run(train_step, preview)


def held_out(judged: JudgedPictures) -> JudgedPictures:
    """Those that nothing is learned from."""
    last = max(1, round(HELD_OUT * len(judged.texts)))
    return JudgedPictures(judged.texts[-last:], judged.latents[-last:], judged.grades[-last:])


@torch.no_grad()
def choice_figures(towers: ClipTowers, judged: JudgedPictures) -> dict[str, float]:
    """Share of the prompts of which all is there: in the pictures on average, in the one that fits best, and in at
    least one of each prompt's."""
    device = towers.log_scale.device
    prompts = towers.text.tokens(judged.texts).to(device)
    fit = scores(towers, judged.latents.float().to(device), prompts).cpu()
    right = (judged.grades == 1).float()
    chosen = right.gather(1, fit.argmax(1, keepdim=True))
    return {
        "right_of_all": float(right.mean()),
        "right_of_best": float(chosen.mean()),
        "right_of_any": float(right.amax(1).mean()),
    }
