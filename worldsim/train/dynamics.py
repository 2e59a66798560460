"""Train the dynamics: the next latent frame from clean past and action, then from a past that its average makes.

B batch, T frames, N tokens a frame, D token width, C x h x w latents.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.latents import LatentDataset, Log
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
        rate: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        pure_noise_prob: share of targets denoised from pure noise.
        context_noise: largest share of noise in the context, drawn for each frame.
        moving: extra weight of cells that change more than most of their frame, up to this factor.
        worst: weight of the worst token of each frame, which the mean forgets where it is small (as the worst pixel in
            Delta-IRIS).
        huber: error of a latent cell beyond which it counts by its size and no longer by its square, so that what can
            come in two ways is decided and not averaged (see `pseudo_huber`); 0 for never.
        self_rollout_start: share of the training after which three of four steps read a past of the model's own making.
        self_rollout_max: most frames that are generated in a row before the clip begins, as far as episodes are long enough.
        lost: error of a generated latent cell from which on its token teaches nothing (see `diverged_tokens`); 0 for never.
        schedule: signal levels that the sampler visits, there and in play.
        eventful: share of clips drawn by what happens in their last frames, the others at random.
        events: what that is, each of them as often as the others: "change", how much the latents change; "reward",
            another reward than usual; "action", each action as often as every other, where something changes after it;
            "behind", a thing that moves in the second picture, by itself or because it is carried.
        null_action: share of clips whose actions are hidden.
        unknown: share of clips in which what is behind the picture is not known until the clip's second half, where
            there are two pictures.
        state: weight of naming the exact state, where the recording has one.
        inertia: settings of the training of inertia, which comes first; without, it stays as it is, where there is any.
        learns: parts of the dynamics that learn, such as "cell_layers"; the others stay as they are. All if none is
            named.
    """

    steps: int = 20_000
    batch: int = 16
    length: int = 25
    rate: float = 1e-3
    pure_noise_prob: float = 0.4
    context_noise: float = 0.1
    moving: float = 4.0
    worst: float = 0.0
    huber: float = 0.0
    self_rollout_start: float = 0.6
    self_rollout_max: int = 48
    lost: float = 0.0
    schedule: tuple[float, ...] = SCHEDULE
    eventful: float = 0.0
    events: tuple[Literal["change", "reward", "action", "behind"], ...] = ("change",)
    null_action: float = 0.1
    unknown: float = 0.3
    state: float = 0.1
    inertia: MotionTraining | None = None
    learns: tuple[str, ...] = ()
    seed: int = 0
    compile: bool = True


def optimizers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) on the hidden matrices of the blocks, AdamW on everything else that learns."""
    learning = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    hidden = [p for n, p in learning if n.startswith(("trunk.", "head.")) and n.endswith(".weight") and p.ndim == 2]
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
        taught: Tensor,
        noise: Tensor,
        tau: Tensor,
        outcome: tuple[Tensor, ...],
        log: Log | None,
    ) -> dict[str, Tensor]:
        """Losses of `target` `[B, T, N, D]`, noised by `noise` to `tau` `[B, T]`, after `context` `[B, T, N, D]`.

        `taught` `[B, T, N]` says which tokens count; `before` are the true tokens that `target` follows; `outcome` is
        reward and cont `[B, T]`, and state `[B, T, S]`; `log` is what was before the clip, if there is memory.
        """
        reward, cont, state = outcome
        features, _ = self.model.look(context, actions, log=log and log.entries(self.model), age=log and log.age)
        noisy = add_noise(target, noise, tau[..., None].expand(target.shape[:-1]))
        output = self.model.denoise(features.flatten(0, 1), context.flatten(0, 1), noisy.flatten(0, 1), tau.flatten())
        error = self._by_cell(output.clean - target.flatten(0, 1))  # [B T, N, cells]
        change = self._by_cell((target - before).flatten(0, 1))
        most = self.training_config.moving
        weight = 1 + (change / (change.mean((1, 2), keepdim=True) + 1e-3)).clamp(max=most)
        taught = taught.flatten(0, 1)[..., None]
        next_frame = (error.mean((1, 2)) * (tau.flatten() == 0)).sum() / (tau == 0).sum().clamp(min=1)
        count = pseudo_huber(error, self.training_config.huber)
        losses = {
            "latent": (count * weight * taught).mean() / weight.mean(),
            "worst": (error * taught).mean(-1).amax(-1).mean(),
            "reward": reward_loss(output.reward, reward.flatten()).mean(),
            "cont": F.binary_cross_entropy_with_logits(output.cont, cont.flatten()),
        }
        total = losses["latent"] + self.training_config.worst * losses["worst"]
        total = total + 0.1 * losses["reward"] + 0.1 * losses["cont"]
        if state.shape[-1]:
            losses["state"] = (output.state - state.flatten(0, 1)).square().mean()
            total = total + self.training_config.state * losses["state"]
        return {"loss": total, "next_frame": next_frame, **losses}

    def _by_cell(self, difference: Tensor) -> Tensor:
        """Mean square of each latent cell of each picture, of tokens `[..., token_width]` -> `[..., cells]`."""
        return difference.unflatten(-1, self.model.config.cells).square().mean(-2).flatten(-2)


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
    if config.pan:
        clips.find_places(model.panorama)
    if config.inertia:
        if training.inertia:
            train_motion(model.inertia, recording, clips, out, config.memory[0][0], training.inertia)
        model.inertia.requires_grad_(False)
    settings = {"model": dataclasses.asdict(config), **dataclasses.asdict(training), "world": spec.to_json()}
    del settings["steps"], settings["compile"]
    loop = Loop(out, "dynamics", model, optimizers(model, training.rate), settings, training.steps)
    change = None
    if training.eventful:
        draws: dict[str, Callable[[], np.ndarray]] = {
            "change": clips.change,
            "reward": clips.unusual_rewards,
            "action": clips.rare_actions,
            "behind": functools.partial(clips.moved_behind, config.pictures),
        }
        change = np.zeros(len(recording), np.float32)
        for kind in training.events:
            happens = draws[kind]()
            if not happens.any():
                raise WorldsimError(
                    f'{recording.path}: nothing happens in it that clips could be drawn by ("{kind}"); train without '
                    '"eventful"'
                )
            change += happens / happens.mean()
    episodes = recording.episodes("train")
    longest = max((end - begin for begin, end in episodes), default=0)
    most_lead = max(0, min(training.self_rollout_max, longest - training.length))
    windows = {room: Windows(episodes, training.length + room, change, training.length) for room in (0, most_lead)}
    watch = Preview(recording, autoencoder, clips, out, training.length, training.schedule)
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
        drawn = windows[most_lead if own else 0].draw(training.batch, training.seed, step, training.eventful)
        index = drawn[:, -training.length - lead :]
        latents, actions, *outcome = clips[index]
        tokens = model.to_tokens(latents)
        clean, target = tokens[:, :-1], tokens[:, 1:]
        b, t = actions.shape
        actions = torch.where(random(b, 1) < training.null_action, config.actions, actions)
        # A quarter of the clips stays clean.
        level = training.context_noise * random(b, t, 1) * (random(b, 1, 1) < 0.75)
        context = add_noise(clean, torch.randn(clean.shape, generator=generator), 1 - level)
        log = clips.log(index[:, 0], config.memory).to_tokens(model) if config.memory else None
        first = int(torch.randint(training.length // 2, training.length, (), generator=generator))
        if config.pictures == 2:  # whoever begins to play knows nothing of what is behind
            unknown = random(b) < training.unknown
            context[unknown, :first] = model.as_seen(context[unknown, :first])
            log = log and log.as_seen(model, unknown)
        if own:
            context = self_rollout(averaged, training.schedule, context, actions, first, generator, log)
        log = log and log.followed_by(model, context, actions, lead, most_lead)
        # Contiguous, for the compiled graph hangs on strides.
        context, actions, clean, target, *outcome = (
            x[:, lead:].contiguous() for x in (context, actions, clean, target, *outcome)
        )
        noise = torch.randn(target.shape, generator=generator)
        tau = draw_tau(actions.shape, training.pure_noise_prob, generator)
        taught = torch.ones(target.shape[:-1], dtype=torch.bool)
        if own and training.lost:
            taught = ~diverged_tokens(context, clean, training.lost, config)
        with mixed_precision():
            losses = forward(context, actions, target, clean, taught, noise, tau, tuple(outcome), log)
        for optimizer in loop.optimizers:
            optimizer.zero_grad()
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in loop.optimizers:
            optimizer.step()
        return {k: v.detach() for k, v in losses.items()}

    def look(step: int) -> dict[str, float]:
        save_model(out / "dynamics.safetensors", averaged, spec)
        return watch(averaged, step)

    loop.run(train_step, look)
    return averaged.requires_grad_(False)
