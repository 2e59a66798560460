"""Train the dynamics: the next latent frame from clean past and action, then from a past that its average makes.

B batch, T frames, N tokens a frame, D token width, C x h x w latents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset, PastFrames
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.config import WorldModelConfig
from worldsim.models.flow import add_noise, draw_tau, pseudo_huber, reward_loss
from worldsim.models.sampler import SCHEDULE
from worldsim.models.world_model import WorldModel
from worldsim.train.checkpoint import save_model
from worldsim.train.motion import MotionTraining, train_motion
from worldsim.train.muon import Muon
from worldsim.train.preview import Preview
from worldsim.train.self_rollout import diverged_tokens, self_rollout
from worldsim.train.trainer import Loop, step_generator, with_peaks


@dataclasses.dataclass(frozen=True)
class DynamicsTraining:
    """Settings of a dynamics training.

    Attributes:
        steps: optimizer steps. batch: clips a step. length: frames of a clip, one more than it has targets.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pure_noise_prob: share of targets denoised from pure noise.
        context_noise: largest share of noise in the context, drawn for each frame.
        motion_weight: extra weight of cells that change more than most of their frame, up to this factor. worst_weight:
        weight of the worst token of each frame, which the mean forgets where it is small (as the worst pixel in
            Delta-IRIS).
        huber: error of a latent cell beyond which it counts by its size and no longer by its square, so that what can
            come in two ways is decided and not averaged (see `pseudo_huber`); 0 for never.
        self_rollout_start: share of the training after which three of four steps read a past of the model's own making.
        self_rollout_max: most frames that are generated in a row before the clip begins, as far as episodes are long
        enough. divergence_threshold: error of a generated latent cell from which on its token teaches nothing (see
        `diverged_tokens`); 0 for never. schedule: signal levels that the sampler visits, there and in play.
        event_share: share of clips drawn by what happens in their last frames, the others at random. events: what that
        is, each of them as often as the others: "change", how much the latents change; "reward",
            another reward than usual; "action", each action as often as every other, where something changes after it;
            "hidden", a thing that moves in the hidden layer, by itself or because it is carried.
        null_action: share of clips whose actions are hidden.
        hidden_unknown: share of clips whose hidden layer, where there is one, is not known until the clip's second
        half. state: weight of naming the exact state, where the recording has one.
        motion: settings of the training of the motion prior, which comes first; None leaves it as it is.
        learns: parts of the world model that learn, such as "refiner"; the others stay as they are. All if none is
            named.
    """

    steps: int = 20_000
    batch: int = 16
    length: int = 25
    lr: float = 1e-3
    pure_noise_prob: float = 0.4
    context_noise: float = 0.1
    motion_weight: float = 4.0
    worst_weight: float = 0.0
    huber: float = 0.0
    self_rollout_start: float = 0.6
    self_rollout_max: int = 48
    divergence_threshold: float = 0.0
    schedule: tuple[float, ...] = SCHEDULE
    event_share: float = 0.0
    events: tuple[Literal["change", "reward", "action", "hidden"], ...] = ("change",)
    null_action: float = 0.1
    hidden_unknown: float = 0.3
    state: float = 0.1
    motion: MotionTraining | None = None
    learns: tuple[str, ...] = ()
    seed: int = 0
    compile: bool = True


def optimizers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) on the hidden matrices of the blocks, AdamW on everything else that learns."""
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    hidden = [
        p
        for n, p in learning
        if n.startswith(("encoder.blocks.", "denoiser.blocks.")) and n.endswith(".weight") and p.ndim == 2
    ]
    chosen = {id(p) for p in hidden}
    rest = [p for _, p in learning if id(p) not in chosen]
    muon = [with_peaks(Muon(hidden, lr=rate, weight_decay=0.01))] if hidden else []
    return [*muon, with_peaks(torch.optim.AdamW(rest, lr=rate / 2, betas=(0.9, 0.95), weight_decay=0.0))]


class ClipLoss(nn.Module):
    """The loss of one batch of clips, as a module, so that it compiles as a whole."""

    def __init__(self, model: WorldModel, training: DynamicsTraining):
        super().__init__()
        self.model, self.training_config = model, training

    def forward(
        self,
        context: Tensor,
        actions: Tensor,
        target: Tensor,
        before: Tensor,
        loss_mask: Tensor,
        noise: Tensor,
        tau: Tensor,
        outcome: tuple[Tensor, ...],
        past: PastFrames | None,
    ) -> dict[str, Tensor]:
        """Losses of `target` `[B, T, N, D]`, noised by `noise` to `tau` `[B, T]`, after `context` `[B, T, N, D]`.

        `loss_mask` `[B, T, N]` says which tokens count; `before` are the true tokens that `target` follows; `outcome`
        is reward and cont `[B, T]`, and state `[B, T, S]`; `past` are the frames before the clip, if there is memory.
        """
        reward, cont, state = outcome
        features, _ = self.model.encode_context(context, actions, past and past.history(self.model))
        noisy = add_noise(target, noise, tau[..., None].expand(target.shape[:-1]))
        features = features.map(lambda part: part.flatten(0, 1))
        output = self.model.denoise(features, context.flatten(0, 1), noisy.flatten(0, 1), tau.flatten())
        error = self._by_cell(output.clean - target.flatten(0, 1))  # [B T, N, cells]
        change = self._by_cell((target - before).flatten(0, 1))
        most = self.training_config.motion_weight
        weight = 1 + (change / (change.mean((1, 2), keepdim=True) + 1e-3)).clamp(max=most)
        loss_mask = loss_mask.flatten(0, 1)[..., None]
        next_frame = (error.mean((1, 2)) * (tau.flatten() == 0)).sum() / (tau == 0).sum().clamp(min=1)
        count = pseudo_huber(error, self.training_config.huber)
        losses = {
            "latent": (count * weight * loss_mask).mean() / weight.mean(),
            "worst": (error * loss_mask).mean(-1).amax(-1).mean(),
            "reward": reward_loss(output.reward, reward.flatten()).mean(),
            "cont": F.binary_cross_entropy_with_logits(output.cont, cont.flatten()),
        }
        total = losses["latent"] + self.training_config.worst_weight * losses["worst"]
        total = total + 0.1 * losses["reward"] + 0.1 * losses["cont"]
        if state.shape[-1]:
            losses["state"] = (output.state - state.flatten(0, 1)).square().mean()
            total = total + self.training_config.state * losses["state"]
        return {"loss": total, "next_frame": next_frame, **losses}

    def _by_cell(self, difference: Tensor) -> Tensor:
        """Mean square of each latent cell of each layer, of tokens `[..., token_width]` -> `[..., cells]`."""
        return difference.unflatten(-1, self.model.config.token_layout).square().mean(-2).flatten(-2)


def train_dynamics(
    recording: Recording,
    autoencoder: Autoencoder,
    out: Path,
    config: WorldModelConfig,
    training: DynamicsTraining,
    start: WorldModel | None = None,
    cache: Path | None = None,
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
    clips = LatentDataset(recording, autoencoder, cache or out)
    if config.view:
        clips.find_poses(model.pose)
    if config.motion and config.memory:
        if training.motion:
            train_motion(model.motion, recording, clips, out, config.memory.retention[0][0], training.motion)
        model.motion.requires_grad_(False)
    settings = {"model": dataclasses.asdict(config), **dataclasses.asdict(training), "world": spec.to_json()}
    del settings["steps"], settings["compile"]
    loop = Loop(out, "dynamics", model, optimizers(model, training.lr), settings, training.steps)
    change = None
    if training.event_share:
        draws: dict[str, Callable[[], np.ndarray]] = {
            "change": clips.change,
            "reward": clips.unusual_rewards,
            "action": clips.rare_actions,
            "hidden": clips.moved_hidden,
        }
        change = np.zeros(len(recording), np.float32)
        for kind in training.events:
            happens = draws[kind]()
            if not happens.any():
                raise WorldsimError(
                    f'{recording.path}: nothing happens in it that clips could be drawn by ("{kind}"); train without '
                    "event_share"
                )
            change += happens / happens.mean()
    episodes = recording.episodes("train")
    longest = max((end - begin for begin, end in episodes), default=0)
    most_lead = max(0, min(training.self_rollout_max, longest - training.length))
    windows = {room: Windows(episodes, training.length + room, change, training.length) for room in (0, most_lead)}
    preview = Preview(recording, autoencoder, clips, out, training.length, training.schedule)
    loss_module = ClipLoss(model, training)
    forward = torch.compile(loss_module) if training.compile else loss_module
    averaged = WorldModel(config).eval()  # keeps requires_grad, without which autocast casts the weights at every call
    averaged.load_state_dict(loop.average.weights, assign=True)  # moves with the average

    def train_step(step: int) -> dict[str, Tensor]:
        generator = step_generator(training.seed, step)

        def random(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        own = step >= training.self_rollout_start * training.steps and step % 4 > 0
        lead = int(torch.randint(most_lead + 1, (), generator=generator)) if own else 0
        drawn = windows[most_lead if own else 0].draw(training.batch, training.seed, step, training.event_share)
        index = drawn[:, -training.length - lead :]
        latents, actions, *outcome = clips[index]
        tokens = model.to_tokens(latents)
        clean, target = tokens[:, :-1], tokens[:, 1:]
        b, t = actions.shape
        actions = torch.where(random(b, 1) < training.null_action, config.actions, actions)
        # A quarter of the clips stays clean.
        level = training.context_noise * random(b, t, 1) * (random(b, 1, 1) < 0.75)
        context = add_noise(clean, torch.randn(clean.shape, generator=generator), 1 - level)
        past = clips.past(index[:, 0], config.memory.retention).to_tokens(model) if config.memory else None
        first = int(torch.randint(training.length // 2, training.length, (), generator=generator))
        if config.layers == 2:  # at the start of play nothing is known of the hidden layer
            unknown = random(b) < training.hidden_unknown
            context[unknown, :first] = model.without_hidden_layer(context[unknown, :first])
            past = past and past.without_hidden_layer(model, unknown)
        if own:
            context = self_rollout(averaged, training.schedule, context, actions, first, generator, past)
        past = past and past.extended(model, context, actions, lead, most_lead)
        # Contiguous, for the compiled graph hangs on strides.
        context, actions, clean, target, *outcome = (
            x[:, lead:].contiguous() for x in (context, actions, clean, target, *outcome)
        )
        noise = torch.randn(target.shape, generator=generator)
        tau = draw_tau(actions.shape, training.pure_noise_prob, generator)
        loss_mask = torch.ones(target.shape[:-1], dtype=torch.bool)
        if own and training.divergence_threshold:
            loss_mask = ~diverged_tokens(context, clean, training.divergence_threshold, config)
        with mixed_precision():
            losses = forward(context, actions, target, clean, loss_mask, noise, tau, tuple(outcome), past)
        for optimizer in loop.optimizers:
            optimizer.zero_grad()
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in loop.optimizers:
            optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def preview_step(step: int) -> dict[str, float]:
        save_model(out / "dynamics.safetensors", averaged, spec)
        return preview(averaged, step)

    loop.run(train_step, preview_step)
    return averaged.requires_grad_(False)
