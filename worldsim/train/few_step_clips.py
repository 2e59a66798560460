"""Few passes for pictures and clips: the video DiT learns to jump along its own guided flow, by segment consistency.

The teacher leans on words and sources as it is told to; the student learns what that gives in one pass (guided
distillation, Meng et al. 2023, section 3.1), so it needs neither guidance nor its passes. Knows no sampler.

R rows, S tokens of a row, V numbers of a token, K words, N texts of a row.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_latents import ClipLatents
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.flow import add_noise, pseudo_huber
from worldsim.models.guides import SOURCE
from worldsim.models.ode_samplers import Denoise
from worldsim.models.video_dit import Tokens, VideoDiT
from worldsim.runtime.imagine import Imaginer
from worldsim.runtime.sampler_defaults import USUAL, SamplerDefaults
from worldsim.train import checkpoint, distributed
from worldsim.train.distill import segment
from worldsim.train.draws import Draws
from worldsim.train.optimizers import adamw
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer
from worldsim.train.video_autoencoder import latents_digest
from worldsim.train.video_dit import FILE, ClipDraws, VideoDiTTraining, preview_clips, save_video_dit

NAME = "few-step-clips"
BOOTSTRAPPED = 0.5  # of the training, from which on the target is the student's own jump, one teacher step ahead
AHEAD = 1 / 8  # of the signal level, that step


@dataclasses.dataclass(frozen=True)
class FewStepClipsTraining:
    """Settings of a distillation.

    Attributes:
        steps: optimizer steps. batch: rows of a step. row_tokens: tokens of a row. lr: peak learning rate.
        play_steps: passes that the student will be sampled with.
        guidance, source_guidance: how much the teacher leans on words, and on a source.
        passes: of the teacher to the end of a segment, an even number.
        huber: error of a token from which on its size counts, and not its square.
    """

    steps: int = 3000
    batch: int = 4
    row_tokens: int = 320
    lr: float = 3e-4
    play_steps: int = 2
    guidance: float = 3.0
    source_guidance: float = 1.5
    passes: int = 4
    huber: float = 0.1
    seed: int = 0

    @property
    def schedule(self) -> tuple[float, ...]:
        """Signal levels of the passes."""
        return tuple(i / self.play_steps for i in range(self.play_steps))


class JumpLoss(nn.Module):
    """Pseudo-Huber of each token's error where its jump ends, as a module, so that it is sharded as a whole."""

    def __init__(self, student: VideoDiT, training: FewStepClipsTraining):
        super().__init__()
        self.student, self.training_config = student, training

    def forward(self, noisy: Tokens, words: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Loss of the tokens that aren't given.

        Args:
            noisy: at their signal levels, clean where given. words: `[R, N, K]`. target: to be predicted `[R, S, V]`.
        """
        end = segment.segment_ends(noisy.tau.flatten(), self.training_config.schedule).view_as(noisy.tau)
        error = self.student(noisy, words) - target
        wanted = ~noisy.given if noisy.text is None else ~noisy.given & (noisy.text >= 0)
        apart = (segment.jump_share(noisy.tau, end)[..., None] * error).square().mean(-1)
        count = wanted.sum().clamp(min=1)
        return {
            "loss": (pseudo_huber(apart, self.training_config.huber) * wanted).sum() / count,
            "target_error": (error.square().mean(-1) * wanted).sum() / count,
        }


def guided(dit: VideoDiT, clean: Tokens, words: Tensor, guidance: float, source_guidance: float) -> Denoise:
    """A video DiT as a function of noisy tokens `[R S, V]` and levels `[R S]`, leaning on words and sources.

    Classifier-free guidance with a source (InstructPix2Pix, equation 3); see `worldsim.runtime.request.Guidance`.
    """
    nothing = dit.text.tokens([""]).to(words.device)
    untold = nn.functional.pad(nothing, (0, words.shape[-1] - nothing.shape[-1])).expand_as(words)
    sourced = clean.guide is not None and bool(clean.guide[..., SOURCE].any())

    def ask(tokens: Tokens, told: Tensor, shown: bool) -> Tensor:
        if not shown and tokens.guide is not None:
            guide = tokens.guide.clone()
            guide[..., SOURCE:] = 0
            tokens = tokens._replace(guide=guide)
        with mixed_precision(words.device):
            return cast(Tensor, dit(tokens, told)).float()

    def denoise(noisy: Tensor, tau: Tensor) -> Tensor:
        tokens = at_level(clean, noisy.view_as(clean.values), tau.view_as(clean.tau))
        made = ask(tokens, words, True)
        if guidance != 1 or (sourced and source_guidance != 1):
            nothing_told = ask(tokens, untold, True)
            made = nothing_told + guidance * (made - nothing_told)
            if sourced:
                made = made + (1 - source_guidance) * (ask(tokens, untold, False) - nothing_told)
        return made.flatten(0, 1)

    return denoise


def at_level(clean: Tokens, noisy: Tensor, tau: Tensor) -> Tokens:
    """Tokens at levels `[R, S]`, those that are given clean."""
    given = clean.given
    return clean._replace(values=torch.where(given[..., None], clean.values, noisy), tau=torch.where(given, 1.0, tau))


def train_few_step_clips(
    clips: CaptionedClips,
    teacher: Imaginer,
    out: Path,
    training: FewStepClipsTraining,
    options: RunOptions = ON_CPU,
) -> VideoDiT:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/video-dit.safetensors`, which says
    how it is sampled.

    Raises:
        WorldsimError: if there are no clips to learn from, or the teacher was itself distilled.
    """
    if not clips.buckets(held_out=False):
        raise WorldsimError(f"{clips.path} has no clips to learn from; record more: --clips")
    if teacher.defaults != USUAL:
        raise WorldsimError("the teacher was distilled itself; give the run that it was distilled from")
    key = latents_digest(teacher.autoencoder)
    autoencoder, dit = teacher.autoencoder.to(options.device), teacher.dit.to(options.device)
    with distributed.main_first():
        latents = ClipLatents(clips, autoencoder, key, out / "latents", write=distributed.is_main())
    student = copy.deepcopy(dit).requires_grad_(True).train()
    settings = {"clips": clips.digest, "synonyms": clips.synonyms.key, "teacher": checkpoint.digest(dit.state_dict())}
    trainer = Trainer(
        out,
        NAME,
        student,
        JumpLoss(student, training),
        adamw,
        training,
        {"model": dataclasses.asdict(dit.config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )
    drawn = VideoDiTTraining(row_tokens=training.row_tokens, own_levels=0.0, pure_noise_prob=0.5)
    batches = ClipDraws(latents, dit.config, drawn, training.schedule)
    target = targets(dit, training)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        clean, noise, words = batches(draws, dit)
        noisy = at_level(clean, add_noise(clean.values, noise, clean.tau), clean.tau)
        with trainer.averaged() as average, torch.no_grad():
            wanted = target(clean, noisy, words, cast(VideoDiT, average), draws.share)
        return trainer.update(noisy, words, wanted)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        plain = cast(VideoDiT, learned).eval()
        defaults = SamplerDefaults(training.play_steps, 1.0)
        save_video_dit(out / FILE, plain, defaults)
        return preview_clips(Imaginer(autoencoder, plain, defaults), clips, out / f"{NAME}.png")

    return cast(VideoDiT, trainer.run(train_step, preview)).requires_grad_(False)


def targets(dit: VideoDiT, training: FewStepClipsTraining) -> Callable[..., Tensor]:
    """(clean, noisy, words, moving average of the student, share of the training) -> clean tokens to predict
    `[R, S, V]`: first where the teacher's flow ends, then where the average jumps one teacher step ahead."""

    def target(clean: Tokens, noisy: Tokens, words: Tensor, average: VideoDiT, share: float) -> Tensor:
        flow = guided(dit, clean, words, training.guidance, training.source_guidance)
        values, tau = noisy.values.flatten(0, 1), clean.tau.flatten()
        end = segment.segment_ends(tau, training.schedule)
        if share < BOOTSTRAPPED:
            reached = segment.trajectory_target(flow, values, tau, end, training.passes)
        else:
            own = guided(average, clean, words, 1.0, 1.0)
            reached = segment.bootstrapped_target(flow, own, values, tau, end, AHEAD)
        return reached.view_as(clean.values)

    return target
