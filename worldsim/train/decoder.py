"""Train the decoder alone, for crisp pictures: on noised latents, or on those that a world model generates, against a
discriminator (as TAESD's was).

Encoder and latents stay as they are, so dynamics that were trained on them stay valid. Knows nothing of actions.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from worldsim import atomic
from worldsim.data.recording import Recording
from worldsim.data.windows import FrameTable
from worldsim.models.autoencoder import Autoencoder, Decoder, LargeFrames, to_pixels
from worldsim.png import encode_png
from worldsim.psnr import psnr_of_error
from worldsim.train.autoencoder import reconstruct
from worldsim.train.checkpoint import save_model
from worldsim.train.discriminator import PatchDiscriminator, feature_distance, hinge_loss
from worldsim.train.draws import Draws
from worldsim.train.generated import GeneratedFrames
from worldsim.train.optimizers import adamw, muon_on_convolutions
from worldsim.train.preview import high_frequency
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

GENERATING = 1 / 3  # share of the time, where that is given, in which what is learned is generated


@dataclasses.dataclass(frozen=True)
class DecoderTraining:
    """Settings of a training of the decoder alone.

    Attributes:
        steps: optimizer steps. batch: frames a step. lr: peak learning rate.
        discriminator_lr: that of the discriminator, which has to learn faster than what it judges (TTUR, Heusel et al.
            2017): at the decoder's it ends by telling nothing apart.
        frames: frames held in memory.
        noise: largest standard deviation of the noise on the latents: as unsure as dynamics are of them.
        generated: share of the frames whose latents a world model made, where one is given.
        adversarial: weight of what the discriminator says.
        features: weight of the distance between its features of the real picture and of the decoded one.
        interpolation: how far to go from the decoder that there was to the one that learned, weight by weight: between
            them lie all degrees of sharpness and of faithfulness (Wang et al. 2018, section 3.4). 1 for a new one.
        widths: of a new decoder that learns from nothing, the first at the finest resolution; () goes on with the one
            that there is. A narrow one is faster.
        blocks: residual blocks at each resolution of a new decoder.
    """

    steps: int = 3000
    batch: int = 16
    lr: float = 1e-4
    discriminator_lr: float = 4e-4
    frames: int = 60_000
    noise: float = 0.4
    generated: float = 0.5
    adversarial: float = 0.02
    features: float = 0.5
    interpolation: float = 1.0
    widths: tuple[int, ...] = ()
    blocks: int = 1
    seed: int = 0


class Players(nn.Module):
    """The two that play against each other, and the decoder as it was before, which does not learn."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder
        self.before = copy.deepcopy(decoder).requires_grad_(False)
        self.discriminator = PatchDiscriminator()


class DecoderLoss(nn.Module):
    """Both players' losses at once: each only reaches its own weights, since the other's are detached in it."""

    def __init__(self, players: Players, training: DecoderTraining):
        super().__init__()
        self.players, self.settings = players, training

    def forward(self, latents: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Of noised latents `[B, C, h, w]` and the pixels `[B, 3, H, W]` that they stand for."""
        discriminator, settings = self.players.discriminator, self.settings
        made = self.players.decoder(latents).float()
        error = made - pixels
        judged, seen = discriminator(torch.cat([pixels, made.detach()]))
        fixed = {name: weight.detach() for name, weight in discriminator.named_parameters()}
        opinion, features = functional_call(discriminator, fixed, (made,))
        real = [stage[: len(pixels)] for stage in seen]
        losses = {
            "error": error.abs().mean(),
            "features": feature_distance(real, features),
            "fooled": -opinion.mean(),
            "discriminator": hinge_loss(*judged.chunk(2)),
        }
        total = error.square().mean() + 0.1 * losses["error"] + losses["discriminator"]
        total = total + settings.features * losses["features"] + settings.adversarial * losses["fooled"]
        return {"loss": total, **losses}


def _optimizers(training: DecoderTraining, players: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """AdamW on both, each at its rate; Muon on the convolutions of a new decoder, as for the video autoencoder."""
    assert isinstance(players, Players)
    decoder = muon_on_convolutions if training.widths else adamw
    return [*decoder(players.decoder, lr), *adamw(players.discriminator, training.discriminator_lr)]


def train_decoder(
    recording: Recording,
    autoencoder: Autoencoder,
    out: Path,
    training: DecoderTraining,
    options: RunOptions = ON_CPU,
    generate: Callable[[], GeneratedFrames] | None = None,
) -> Autoencoder:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/autoencoder.safetensors`
    with the encoder that was given and the new decoder, of `training.widths` if they are set. What `generate` makes is
    learned from, too.

    Raises:
        WorldsimError: if the recording's frames do not fit the autoencoder, or it has too few episodes.
    """
    spec, config = recording.spec, autoencoder.config
    _, h, w = config.latent_shape(spec.height, spec.width)
    torch.manual_seed(training.seed)
    fixed, whole = copy.deepcopy(autoencoder).to(options.device).eval(), copy.deepcopy(autoencoder)
    if training.widths:
        scale = config.large.scale if config.large else 1
        whole = Autoencoder(dataclasses.replace(config, large=LargeFrames(scale, training.widths, training.blocks)))
        whole.encoder.load_state_dict(autoencoder.encoder.state_dict())
        whole.standardise.load_state_dict(autoencoder.standardise.state_dict())
    players = Players(copy.deepcopy(whole.decoder).requires_grad_(True))
    whole.to(options.device).eval()
    trainer = Trainer(
        out,
        "decoder",
        players,
        DecoderLoss(players, training),
        functools.partial(_optimizers, training),
        training,
        {"model": dataclasses.asdict(whole.config), "world": spec.to_json(), "by_world_model": generate is not None},
        options=dataclasses.replace(options, compile=options.compile and options.device.type != "cpu"),  # no gain there
    )
    table = FrameTable(recording, "train", training.frames, training.seed)
    held_out = FrameTable(recording, "held-out", 512, training.seed)
    generated = generate() if generate and trainer.left > 0 else None

    def train_step(draws: Draws) -> dict[str, Tensor]:
        frames = draws.own(table.draw(draws.batch, draws.seed, draws.step)[0])
        pixels = to_pixels(draws.put(torch.from_numpy(frames)))
        noise = training.noise * draws.rand(1, 1, 1) * draws.randn(config.channels, h, w)
        with torch.no_grad():
            latents = fixed.encode(pixels)[:, : config.channels] + noise
        if generated is not None:
            made, real = (draws.own(part) for part in generated.draw(draws.batch, draws.seed, draws.step))
            by_model = draws.rand(1, 1, 1) < training.generated
            latents = torch.where(by_model, draws.put(torch.from_numpy(made)), latents)
            pixels = torch.where(by_model, to_pixels(draws.put(torch.from_numpy(real))), pixels)
        return trainer.update(latents, pixels)

    def with_decoder(learned: nn.Module) -> Autoencoder:
        assert isinstance(learned, Players)
        share = 1.0 if training.widths else training.interpolation
        first, last = learned.before.state_dict(), learned.decoder.state_dict()
        whole.decoder.load_state_dict({name: first[name].lerp(last[name], share) for name in first})
        return whole

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        save_model(out / "autoencoder.safetensors", with_decoder(learned), spec)
        frames = held_out.draw(64, training.seed, step)[0]
        old, new = (reconstruct(network, frames) for network in (fixed, whole))
        rows = [np.concatenate(list(side[:8]), axis=1) for side in (frames, old, new)]
        atomic.write_bytes(out / "decoder.png", encode_png(np.concatenate(rows).repeat(2, axis=0).repeat(2, axis=1)))
        squared = (frames.astype(np.float32) - new) ** 2
        detail = high_frequency(new).mean() / max(high_frequency(frames).mean(), 1e-6)
        return {"psnr": float(psnr_of_error(squared.mean())), "detail": float(detail)}

    return with_decoder(trainer.run(train_step, preview)).requires_grad_(False)
