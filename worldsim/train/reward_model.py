"""Train the reward model: of two pictures of one prompt the one that shows more of it is to get more (Bradley-Terry, as
ImageReward, Xu et al. 2023), and real pictures find their captions among others, and ones wrong by a word (InfoNCE).

P prompts, E pictures of each, B real pictures, H x W pixels, K words.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_pixels
from worldsim.models.reward_model import RewardModel, RewardModelConfig
from worldsim.runtime.reward import PictureScorer
from worldsim.train import checkpoint
from worldsim.train.draws import Draws
from worldsim.train.judged_pictures import JudgedPictures
from worldsim.train.optimizers import muon_and_adamw
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

NAME = "reward-model"
FILE = f"{NAME}.safetensors"
HELD_OUT = 0.05  # of the prompts, the last ones


@dataclasses.dataclass(frozen=True)
class RewardTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: real pictures of a step. prompts: of a step, with all their pictures.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        shift: pixels that pictures are moved by at most.
    """

    steps: int = 4000
    batch: int = 40
    prompts: int = 12
    lr: float = 2e-3
    shift: int = 2
    seed: int = 0


class RewardLoss(nn.Module):
    """The loss of real pictures and of those that were made, as a module, so that it can be sharded as a whole."""

    def __init__(self, model: RewardModel):
        super().__init__()
        self.model = model

    def forward(
        self, real: Tensor, told: Tensor, changed: Tensor, made: Tensor, grades: Tensor, prompts: Tensor
    ) -> dict[str, Tensor]:
        """Negative log-likelihoods; equal captions are no negatives of each other.

        Args:
            real: pixels `[B, 3, H, W]`. told: tokens of true captions `[B, K]`. changed: of captions wrong by a word;
                equal to `told` where there is none to change.
            made: pixels `[P, E, 3, H, W]`. grades: share of the prompt that each shows, `[P, E]`.
            prompts: tokens `[P, K]`.
        """
        rows, (count, each) = len(real), grades.shape
        pictures = self.model.pictures(torch.cat([real, made.flatten(0, 1)]))
        vectors, weights = self.model.texts(torch.cat([told, changed, prompts]))
        captions, asked = (vectors[: 2 * rows], weights[: 2 * rows]), (vectors[2 * rows :], weights[2 * rows :])
        logits = self.model.match(pictures[:rows], captions)  # [B, 2 B]
        own = torch.eye(rows, 2 * rows, dtype=torch.bool, device=told.device)
        equal = (told[:, None] == torch.cat([told, changed])).all(-1) & ~own
        logits = logits.masked_fill(equal, -torch.inf)
        right = torch.arange(rows, device=told.device)
        contrast = (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, :rows].T, right)) / 2
        fit = self.model.match(pictures[rows:], asked).view(count, each, count)
        fit = fit.diagonal(dim1=0, dim2=2).T  # [P, E]
        better = grades[:, :, None] > grades[:, None]
        ranking = (F.softplus(fit[:, None] - fit[:, :, None]) * better).sum() / better.sum().clamp(min=1)
        first = grades.gather(1, fit.argmax(1, keepdim=True)).mean()
        return {
            "loss": contrast + ranking,
            "contrast": contrast,
            "ranking": ranking,
            "ahead": first - grades.mean(),
            "found": (logits.argmax(1) == right).float().mean(),
        }


def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon on the hidden matrices and convolutions, AdamW on everything else."""
    hidden = [p for n, p in model.named_parameters() if "blocks." in n or "pixels_in." in n]
    return muon_and_adamw(model, [p for p in hidden if p.ndim == 4 or (p.ndim == 2 and min(p.shape) > 6)], lr)


def train_reward_model(
    clips: CaptionedClips,
    judged: JudgedPictures,
    out: Path,
    config: RewardModelConfig,
    training: RewardTraining,
    options: RunOptions = ON_CPU,
) -> RewardModel:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/reward-model.safetensors`.

    Args:
        clips: real ones; those of the size of the pictures are looked at.
        config: with the words of what made the pictures.
        judged: pictures that were made.

    Raises:
        WorldsimError: if there are no clips of that size to learn from.
    """
    buckets, size = clips.buckets(held_out=False), judged.frames.shape[2:4]
    numbers = next((those for (_, *sides), those in buckets.items() if tuple(sides) == size), None)
    if numbers is None:
        raise WorldsimError(f"{clips.path} has no clips of {size[1]}x{size[0]} to learn from; record more")
    torch.manual_seed(training.seed)
    model = RewardModel(config)
    trainer = Trainer(
        out,
        NAME,
        model,
        RewardLoss(model),
        optimizers,
        training,
        {"model": dataclasses.asdict(config), "clips": clips.digest, "judged": judged.digest},
        options=dataclasses.replace(options, compile=False),  # texts of every length would be compiled anew
    )
    kept = held_out(judged)
    learned_from = len(judged.texts) - len(kept.texts)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        rng = np.random.default_rng([draws.seed, draws.step])
        real: list[np.ndarray] = []
        told: list[str] = []
        changed: list[str] = []
        for number in draws.own(rng.choice(numbers, draws.batch)):
            clip = clips.clip(int(number))
            moment = int(rng.integers(len(clip.moments)))
            text = str(rng.choice(clip.moments[moment]))
            real.append(clip.frames[moment * (len(clip.frames) - 1) // max(len(clip.moments) - 1, 1)])
            said = int(rng.integers(1 << 32))
            for texts, each in ((told, text), (changed, clips.synonyms.contradict(text, rng))):
                texts.append(clips.synonyms.vary(each, np.random.default_rng(said)))
        chosen = draws.own(rng.choice(learned_from, training.prompts))
        prompts = [clips.synonyms.vary(judged.texts[n], rng) for n in chosen]
        tokens = model.text.tokens([*told, *changed, *prompts])
        shown = np.concatenate([np.stack(real), judged.frames[chosen].reshape(-1, *size, 3)])
        pixels = to_pixels(draws.put(torch.from_numpy(moved(shown, training.shift, rng))))
        made = pixels[len(real) :].unflatten(0, (len(chosen), -1))
        parts = draws.put(tuple(tokens.split([len(told), len(told), len(chosen)])))
        grades = draws.put(torch.from_numpy(judged.grades[chosen]))
        return trainer.update(pixels[: len(real)], parts[0], parts[1], made, grades, parts[2])

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, RewardModel)
        save_reward_model(out / FILE, learned)
        return choice_figures(learned.eval(), kept)

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, RewardModel)
    return learned.requires_grad_(False)


def moved(pictures: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Pictures uint8 `[N, H, W, 3]`, each moved by up to `most` pixels each way; its edges are repeated."""
    h, w = pictures.shape[1:3]
    padded = np.pad(pictures, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    places = rng.integers(0, 2 * most + 1, (len(pictures), 2))
    return np.stack([one[y : y + h, x : x + w] for one, (y, x) in zip(padded, places, strict=True)])


def held_out(judged: JudgedPictures) -> JudgedPictures:
    """Those that nothing is learned from."""
    last = max(1, round(HELD_OUT * len(judged.texts)))
    return JudgedPictures(judged.texts[-last:], judged.frames[-last:], judged.grades[-last:])


def choice_figures(model: RewardModel, judged: JudgedPictures) -> dict[str, float]:
    """Share of the prompts of which all is there: in the pictures on average, in the one that gets most, and in at
    least one of each prompt's."""
    count, each = judged.grades.shape
    words = model.text.tokens(judged.texts).repeat_interleave(each, 0)
    given = PictureScorer(model).pairs(judged.frames.reshape(-1, *judged.frames.shape[2:]), words)
    right = torch.from_numpy(judged.grades == 1).float()
    chosen = right.gather(1, given.view(count, each).argmax(1, keepdim=True))
    return {
        "right_of_all": float(right.mean()),
        "right_of_best": float(chosen.mean()),
        "right_of_any": float(right.amax(1).mean()),
    }


def save_reward_model(path: Path, model: RewardModel) -> None:
    """Write a reward model."""
    checkpoint.write(path, model.state_dict(), {"kind": "RewardModel", "config": dataclasses.asdict(model.config)})


def load_reward_model(folder: Path) -> RewardModel:
    """The reward model of a run, in evaluation mode.

    Raises:
        WorldsimError: if it is missing, cut or something else.
    """
    path = folder / FILE
    if not path.exists():
        raise WorldsimError(f"there is no {path}; train it first: worldsim train reward --clips CLIPS --out {folder}")
    weights, header = checkpoint.read(path)
    if header.get("kind") != "RewardModel":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not a reward model")
    model = RewardModel(RewardModelConfig.from_json(header["config"]))
    checkpoint.load_weights(path, model, weights)
    return model.eval().requires_grad_(False)
