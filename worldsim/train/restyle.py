"""Train a restyler on clips that show the same play in two looks. Knows no world's name; says what was learned.

Half of what it sees of the world's own look went through the world's encoder and decoder: in play it is fed generated
frames, which are a little blurred.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from worldsim import atomic
from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_shards import Bucket
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_pixels
from worldsim.models.restyle import RestyleConfig, Restyler, paint
from worldsim.psnr import psnr_of_error
from worldsim.runtime.base import Runtime
from worldsim.train import checkpoint
from worldsim.train.draws import Draws
from worldsim.train.optimizers import adamw
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

NAME = "restyle"
FILE = f"{NAME}.safetensors"
JUDGED = 48  # held-out pairs of a preview
SHOWN = 8  # of them on its strip

Pair = tuple[int, int]
"""Numbers of two clips of the same play: what is seen, and how it is to look."""


@dataclasses.dataclass(frozen=True)
class RestyleTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: frames a step. lr: peak learning rate.
        side: pixels that frames are cut to, each way.
        at_home: share of the steps on frames of the world's own size.
        native_share: of the frames, in the world's own look; the rest are in any.
        rebuilt: share of those, where they are of the world's size, that were encoded and decoded.
        noise: largest standard deviation of the noise on their latents.
        same: share of the frames that are to stay as they are.
    """

    steps: int = 4000
    batch: int = 16
    lr: float = 2e-3
    side: int = 64
    at_home: float = 0.5
    native_share: float = 0.75
    rebuilt: float = 0.5
    noise: float = 0.15
    same: float = 0.05
    seed: int = 0


class RestyleLoss(nn.Module):
    """The loss of one batch, as a module, so that it can be sharded as a whole."""

    def __init__(self, restyler: Restyler):
        super().__init__()
        self.restyler = restyler

    def forward(self, seen: Tensor, wanted: Tensor, look: Tensor) -> dict[str, Tensor]:
        """Loss of pixels `[B, 3, H, W]` painted in looks `[B]` against those `wanted`."""
        error = (self.restyler(seen, look).float() - wanted).abs()
        worst = error.flatten(1).amax(1).mean()
        return {"loss": error.square().mean() + 0.2 * error.mean() + 0.01 * worst, "error": error.mean()}


class Pairs:
    """Pairs of clips by bucket, those that begin in the world's own look apart from the rest.

    Args:
        clips: some of them the same play in two looks.
        held_out: those that are never trained on, or the others.
        native: the look that the world shows.

    Attributes:
        native, others: pairs of each bucket, none of which leads to the native look.
    """

    def __init__(self, clips: CaptionedClips, held_out: bool, native: str):
        self.clips = clips
        self.native: dict[Bucket, list[Pair]] = {}
        self.others: dict[Bucket, list[Pair]] = {}
        for bucket, numbers in clips.buckets(held_out).items():
            groups: dict[int, list[int]] = defaultdict(list)
            for number in map(int, numbers):
                groups[clips.label(number)[1]].append(number)
            for group in groups.values():
                for seen in group:
                    for wanted in group:
                        if seen != wanted and clips.label(wanted)[0] != native:
                            kind = self.native if clips.label(seen)[0] == native else self.others
                            kind.setdefault(bucket, []).append((seen, wanted))

    def looks(self) -> tuple[str, ...]:
        """Every look that a pair leads to, in order of the alphabet."""
        kinds = (*self.native.values(), *self.others.values())
        return tuple(sorted({self.clips.label(wanted)[0] for pairs in kinds for _, wanted in pairs}))


def train_restyle(
    clips: CaptionedClips,
    runtime: Runtime,
    native: str,
    out: Path,
    training: RestyleTraining,
    options: RunOptions = ON_CPU,
    config: RestyleConfig | None = None,
) -> Restyler:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/restyle.safetensors`.

    Args:
        clips: some of which show the same play in two looks.
        runtime: of the world whose frames are to be restyled.
        native: the look that it shows.
        out: folder of the run.
        training, options: how.
        config: sizes; as usual, for the looks of the clips, if None.

    Raises:
        WorldsimError: if no clips show the same play in two looks, one of them the world's own.
    """
    pairs = Pairs(clips, False, native)
    if not pairs.native:
        raise WorldsimError(
            f"{clips.path} has no play in the look {native!r} and in another one; record more clips, or give another "
            "--native"
        )
    config = config or RestyleConfig(pairs.looks())
    torch.manual_seed(training.seed)
    restyler = Restyler(config)
    settings = {"clips": clips.digest, "world": runtime.digest, "native": native}
    trainer = Trainer(
        out,
        NAME,
        restyler,
        RestyleLoss(restyler),
        adamw,
        training,
        {"model": dataclasses.asdict(config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )
    draw = _Drawing(pairs, runtime, config, training)
    judged = _Judged(Pairs(clips, True, native), runtime, config)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        seen, wanted, look = draw(draws)
        restyler.train()
        return trainer.update(to_pixels(seen), to_pixels(wanted), look)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, Restyler)
        header = {"kind": "Restyler", "config": dataclasses.asdict(config), "native": native}
        checkpoint.write(out / FILE, learned.state_dict(), {**header, "world": runtime.spec.name})
        return judged(learned, out / f"{NAME}.png")

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, Restyler)
    return learned.requires_grad_(False)


class _Row(NamedTuple):
    """One row of a batch: clips of what is seen and wanted, the frame of both, where it is cut, and whether what is
    seen is encoded and decoded."""

    seen: int
    wanted: int
    frame: int
    top: int
    left: int
    rebuilt: bool


class _Drawing:
    """Draws the batch of a step."""

    def __init__(self, pairs: Pairs, runtime: Runtime, config: RestyleConfig, training: RestyleTraining):
        self._pairs, self._runtime, self._config, self._training = pairs, runtime, config, training
        self._buckets = list(pairs.native)
        self._shares = np.array([len(found) for found in pairs.native.values()], float)
        home = np.array([bucket[1:] == (runtime.spec.height, runtime.spec.width) for bucket in self._buckets])
        if 0 < home.sum() < len(home):
            for chosen, share in ((home, training.at_home), (~home, 1 - training.at_home)):
                self._shares[chosen] *= share / self._shares[chosen].sum()

    def __call__(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen and what is wanted, uint8 `[rows, h, w, 3]`, and the looks wanted, int64 `[rows]`."""
        rng = np.random.default_rng([draws.seed, draws.step])
        bucket = self._buckets[rng.choice(len(self._buckets), p=self._shares / self._shares.sum())]
        size = min(bucket[1], self._training.side), min(bucket[2], self._training.side)
        drawn = [self._row(rng, bucket, size) for _ in range(draws.batch)]
        rows = [drawn[i] for i in draws.own(np.arange(draws.batch))]
        clips = self._pairs.clips
        seen = np.stack([clips.clip(row.seen).frames[row.frame] for row in rows])
        wanted = np.stack([clips.clip(row.wanted).frames[row.frame] for row in rows])
        rebuilt = np.array([row.rebuilt for row in rows])
        seen[rebuilt] = rebuild(self._runtime, seen[rebuilt], self._training.noise, rng)
        cuts = [np.s_[row.top : row.top + size[0], row.left : row.left + size[1]] for row in rows]
        looks = torch.tensor([self._config.looks.index(clips.label(row.wanted)[0]) for row in rows])
        seen, wanted = (np.stack([f[cut] for f, cut in zip(x, cuts, strict=True)]) for x in (seen, wanted))
        made: tuple[Tensor, Tensor, Tensor] = draws.put((torch.from_numpy(seen), torch.from_numpy(wanted), looks))
        return made

    def _row(self, rng: np.random.Generator, bucket: Bucket, size: tuple[int, int]) -> _Row:
        training, pairs = self._training, self._pairs
        native = rng.random() < training.native_share or bucket not in pairs.others
        among = (pairs.native if native else pairs.others)[bucket]
        seen, wanted = among[int(rng.integers(len(among)))]
        if same := rng.random() < training.same:
            seen = wanted
        frame, top, left = (int(rng.integers(n)) for n in (bucket[0], bucket[1] - size[0] + 1, bucket[2] - size[1] + 1))
        rebuilt = bool(native and not same and rng.random() < training.rebuilt)
        return _Row(seen, wanted, frame, top, left, rebuilt)


class _Judged:
    """Held-out pairs that begin in the world's own look, and figures of them."""

    def __init__(self, pairs: Pairs, runtime: Runtime, config: RestyleConfig):
        spec, clips = runtime.spec, pairs.clips
        sizes = {bucket[1:]: found for bucket, found in pairs.native.items()}
        found = sizes.get((spec.height, spec.width), next(iter(sizes.values()), []))[:JUDGED]
        self._seen, self._wanted = (
            np.stack([clips.clip(pair[k]).frames[-1] for pair in found]) if found else np.zeros((0, 4, 4, 3), np.uint8)
            for k in (0, 1)
        )
        self._rebuilt = rebuild(runtime, self._seen)
        self._looks = np.array([clips.label(wanted)[0] for _, wanted in found])

    def __call__(self, restyler: Restyler, strip: Path) -> dict[str, float]:
        """PSNR in dB by look, of frames as they are ("real_...") and encoded and decoded ("rebuilt_..."); writes what
        is seen over what is painted of it over what is wanted."""
        values, painted = {}, np.empty_like(self._wanted)
        for look in np.unique(self._looks):
            rows = self._looks == look
            for name, seen in (("real", self._seen), ("rebuilt", self._rebuilt)):
                painted[rows] = paint(restyler.eval(), torch.from_numpy(seen[rows]), str(look)).cpu().numpy()
                error = np.square(painted[rows].astype(np.float32) - self._wanted[rows]).mean()
                values[f"{name}_{look}"] = float(psnr_of_error(error))
        if len(self._looks):
            sides = (self._rebuilt, painted, self._wanted)
            picture = np.concatenate([np.concatenate(list(side[:SHOWN]), axis=1) for side in sides])
            big = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
            atomic.write_bytes(strip, cv2.imencode(".png", big[..., ::-1])[1].tobytes())
        return values


def rebuild(
    runtime: Runtime, frames: np.ndarray, noise: float = 0.0, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Frames uint8 `[B, H, W, 3]`, encoded and decoded by a world of that size; as they are if it is of another. Their
    latents get normal noise of a standard deviation that is drawn for each, up to `noise`."""
    if frames.shape[1:3] != (runtime.spec.height, runtime.spec.width) or not len(frames):
        return frames
    latents = runtime.encode(frames[:, None])
    if rng is not None:
        deviation = noise * rng.random((len(frames), 1, 1, 1, 1), np.float32)
        latents = latents + deviation * rng.standard_normal(latents.shape, np.float32)
    return runtime.decode(latents)[:, 0]


def load_restyler(path: Path) -> tuple[Restyler, str, str]:
    """A trained restyler in evaluation mode, the name of its world, and the look that this shows.

    Raises:
        WorldsimError: if the file is missing, cut or of something else.
    """
    weights, header = checkpoint.read(path)
    if header.get("kind") != "Restyler":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not a restyler")
    restyler = Restyler(RestyleConfig.from_json(header["config"]))
    checkpoint.load_weights(path, restyler, weights)
    return restyler.eval().requires_grad_(False), str(header["world"]), str(header["native"])
