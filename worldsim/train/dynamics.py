"""Train the dynamics: the next latent frame from clean past and action, then from a past that its average makes.

B batch, T frames, N tokens a frame, D token width, C x h x w latents.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.device import policy_of
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.config import WorldModelConfig
from worldsim.models.flow import add_noise, pseudo_huber, reward_loss
from worldsim.models.sampling import Sampling
from worldsim.models.world_model import WorldModel
from worldsim.train import distributed
from worldsim.train.checkpoint import save_model
from worldsim.train.clip_batches import ClipBatch, ClipBatches, LongClips, by_cell
from worldsim.train.draws import Draws
from worldsim.train.motion import MotionTraining, train_motion
from worldsim.train.optimizers import muon_and_adamw
from worldsim.train.preview import Preview
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

MOTION_SHARE = 0.3  # of the time, where that is given, for the motion prior if it is trained


@dataclasses.dataclass(frozen=True)
class DynamicsTraining:
    """Settings of a dynamics training.

    Attributes:
        steps: optimizer steps. batch: clips a step. length: frames of a clip, one more than it has targets.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pure_noise_prob: share of targets denoised from pure noise.
        noise_samples: noised versions of each target that the denoiser learns from; the context is encoded once for all
            of them (MAR, Li et al. 2024, section 3.2).
        context_noise: largest share of noise in the context, drawn for each frame; far more where the model is told
            (`WorldModelConfig.told_noise`).
        motion_weight: extra weight of cells that change more than most of their frame, up to this factor.
        worst_weight: weight of the worst token of each frame, which the mean forgets where it is small (as the worst
            pixel in Delta-IRIS).
        huber: error of a latent cell beyond which it counts by its size and no longer by its square, so that what can
            come in two ways is decided and not averaged (see `pseudo_huber`); 0 for never.
        self_rollout_start: share of the training after which three of four steps read a past of the model's own making.
        self_rollout_max: most frames that are generated in a row before the clip begins, as far as episodes are long
            enough.
        divergence_threshold: error of a generated latent cell from which on its token teaches nothing (see
            `diverged_tokens`); 0 for never.
        schedule, fresh_noise: how frames are sampled, there and in play; see `worldsim.models.sampling.Sampling`.
        event_share: share of clips drawn by what happens in their last frames, the others at random.
        events: what that is, each of them as often as the others: "change", how much the latents change; "reward",
            another reward than usual; "action", each action as often as every other, where something changes after it;
            "hidden", a thing that moves in the hidden layer, by itself or because it is carried.
        null_action: share of clips whose actions are hidden.
        hidden_unknown: share of clips whose hidden layer, where there is one, is not known until the clip's second
            half.
        state: weight of naming the exact state, where the recording has one.
        motion: settings of the training of the motion prior, which comes first; None leaves it as it is.
        long_clips: longer clips in some of the steps; None for `length` in all of them.
        learns: parts of the world model that learn, such as "refiner"; the others stay as they are. () for all.
    """

    steps: int = 20_000
    batch: int = 16
    length: int = 25
    lr: float = 1e-3
    pure_noise_prob: float = 0.4
    noise_samples: int = 1
    context_noise: float = 0.1
    motion_weight: float = 4.0
    worst_weight: float = 0.0
    huber: float = 0.0
    self_rollout_start: float = 0.6
    self_rollout_max: int = 48
    divergence_threshold: float = 0.0
    schedule: tuple[float, ...] = Sampling().schedule
    fresh_noise: bool = False
    event_share: float = 0.0
    events: tuple[Literal["change", "reward", "action", "hidden"], ...] = ("change",)
    null_action: float = 0.1
    hidden_unknown: float = 0.3
    state: float = 0.1
    motion: MotionTraining | None = None
    long_clips: LongClips | None = None
    learns: tuple[str, ...] = ()
    seed: int = 0

    @property
    def sampling(self) -> Sampling:
        """How frames are sampled, at the temperature that is learned."""
        return Sampling(self.schedule, fresh_noise=self.fresh_noise)


class ClipLoss(nn.Module):
    """The loss of one batch of clips, as a module, so that it compiles, and is sharded, as a whole."""

    def __init__(self, model: WorldModel, training: DynamicsTraining):
        super().__init__()
        self.model, self.training_config = model, training

    def forward(self, *fields: Any) -> dict[str, Tensor]:
        """Losses of a `ClipBatch`, given field by field."""
        batch = ClipBatch(*fields)
        samples = batch.tau.shape[2]

        def each(part: Tensor) -> Tensor:
            """`[B, T, ...]` -> `[B T K, ...]`."""
            return part[:, :, None].expand(-1, -1, samples, *part.shape[2:]).flatten(0, 2)

        target, tau = each(batch.target), batch.tau.flatten()
        past = batch.past and batch.past.history(self.model)
        features, _ = self.model.encode_context(batch.context, batch.actions, past, batch.noise_share)
        noisy = add_noise(target, batch.noise.flatten(0, 2), tau[:, None].expand(target.shape[:-1]))
        output = self.model.denoise(features.map(each), each(batch.context), noisy, tau)
        error = by_cell(output.clean - target, self.model.config)  # [B T K, N, Y cells]
        loss_mask = each(batch.loss_mask)[..., None]
        next_frame = (error.mean((1, 2)) * (tau == 0)).sum() / (tau == 0).sum().clamp(min=1)
        count = pseudo_huber(error, self.training_config.huber) * each(batch.weight)
        losses = {
            "latent": (count * loss_mask).mean() / batch.mean_weight,
            "worst": (error * loss_mask).mean(-1).amax(-1).mean(),
            "reward": reward_loss(output.reward, each(batch.reward)).mean(),
            "cont": F.binary_cross_entropy_with_logits(output.cont, each(batch.cont)),
        }
        total = losses["latent"] + self.training_config.worst_weight * losses["worst"]
        total = total + 0.1 * losses["reward"] + 0.1 * losses["cont"]
        if batch.state.shape[-1]:
            losses["state"] = (output.state - each(batch.state)).square().mean()
            total = total + self.training_config.state * losses["state"]
        return {"loss": total, "next_frame": next_frame, **losses}


def train_dynamics(
    recording: Recording,
    autoencoder: Autoencoder,
    out: Path,
    config: WorldModelConfig,
    training: DynamicsTraining,
    start: WorldModel | None = None,
    cache: Path | None = None,
    options: RunOptions = ON_CPU,
) -> WorldModel:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/dynamics.safetensors`, the
    moving average of the weights. Where there is no checkpoint, the weights begin as those of `start`, or random. The
    encoded recording is in `cache`, or in `out` too.

    Raises:
        WorldsimError: if the recording does not fit the autoencoder or the clips.
    """
    spec = recording.spec
    fits = autoencoder.config.latent_shape(spec.height, spec.width), len(spec.actions), len(spec.state_names)
    if (tuple(config.latent_shape), config.actions, config.state) != fits:
        raise WorldsimError(
            f"the dynamics are for {config.latent_shape}, {config.actions} actions; {recording.path} needs {fits}"
        )
    model = build_model(config, training, start)
    if config.copy and config.copy.shifts and start is None:
        if not autoencoder.config.shifts:
            raise WorldsimError("copy.shifts takes an autoencoder that has learned shifts (AutoencoderConfig.shifts)")
        model.shifted.take_over(autoencoder.shifts)
    autoencoder = copy.deepcopy(autoencoder).to(options.device)
    with distributed.main_first():
        clips = LatentDataset(recording, autoencoder, cache or out)
    clips.keep_on(policy_of(options.device))
    if config.copy and config.copy.palette and start is None:
        model.palette.take_over(clips.kinds_of_cells(config.copy.palette, training.seed))
    if config.view:
        clips.find_poses(model.pose)
    if config.motion and config.memory:
        if training.motion:
            back = config.memory.retention[0][0]
            train_motion(model.motion, recording, clips, out, back, training.motion, options.share(MOTION_SHARE))
            options = options.share(1 - MOTION_SHARE)
        model.motion.requires_grad_(False)
    batches = ClipBatches(recording, clips, config, training)
    preview = Preview(recording, autoencoder, clips, out, training.length, training.sampling)
    trainer = Trainer(
        out,
        "dynamics",
        model,
        ClipLoss(model, training),
        optimizers,
        training,
        {"model": dataclasses.asdict(config), "world": spec.to_json()},
        options=options,
    )

    def train_step(draws: Draws) -> dict[str, Tensor]:
        with trainer.averaged() as averaged:
            batch = batches.draw(draws, model, cast(WorldModel, averaged))
        return trainer.update(*batch)

    def show(step: int, learned: nn.Module) -> dict[str, float]:
        save_model(out / "dynamics.safetensors", learned, spec)
        return preview(cast(WorldModel, learned), step)

    return cast(WorldModel, trainer.run(train_step, show).requires_grad_(False))


def build_model(config: WorldModelConfig, training: DynamicsTraining, start: WorldModel | None) -> WorldModel:
    """A world model with the weights of `start`, or random ones, of which the parts that are to learn can.

    Raises:
        WorldsimError: if it has no such parts.
    """
    torch.manual_seed(training.seed)
    model = WorldModel(config)
    if start is not None:
        model.load_state_dict(start.state_dict())
    parts = dict(model.named_children())
    if unknown := set(training.learns) - parts.keys():
        raise WorldsimError(f"the dynamics have no {', '.join(sorted(unknown))} to learn; they have {', '.join(parts)}")
    if training.learns:
        model.requires_grad_(False)
        for part in training.learns:
            parts[part].requires_grad_(True)
    return model


def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) on the hidden matrices of the blocks, AdamW on everything else that learns."""
    hidden = [
        p
        for n, p in model.named_parameters()
        if p.requires_grad
        and n.startswith(("encoder.blocks.", "denoiser.blocks."))
        and n.endswith(".weight")
        and p.ndim == 2
    ]
    return muon_and_adamw(model, hidden, lr)
