"""Train the latent action model, and read the codes of a recording with it. No action of the recording is looked at but
those of labelled steps, where some are given.

B clips, T = P + F frames, as in `worldsim.models.latent_action`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.data.windows import SLAB, Windows, draw_rng
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_frames, to_pixels
from worldsim.models.config import as_tuples
from worldsim.models.latent_action import LatentActionConfig, LatentActionModel, spread_loss
from worldsim.progress import ProgressBar
from worldsim.train.checkpoint import digest, load_weights, read, save_model
from worldsim.train.draws import Draws
from worldsim.train.labels import Labels
from worldsim.train.optimizers import adamw
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

FILE = "latent_action.safetensors"
MOVED = 12  # levels by which a pixel that moves differs from the frame before, at least
ONE_CODE = 0.98  # share of the changes from which on one code is said to be all codes


@dataclasses.dataclass(frozen=True)
class LatentActionTraining:
    """Settings of a training of the latent action model.

    Attributes:
        steps: optimizer steps. batch: clips a step. lr: peak learning rate.
        frames: frames held in memory.
        motion_weight: extra weight of pixels that change.
        event_share: share of clips drawn by how much changes in their last frames, the others at random.
        floor: of the standard deviation of what is quantised. spread_weight: of `spread_loss`.
        soft: share of the training over which codes become hard: at first they are numbers, which both sides learn to
            use in no time, then more and more of them is rounded.
        label_weight: of the cross-entropy of the true actions of labelled steps, where there are some.
        shift, tint: largest jitter, in pixels and as a share of the range of colours: the same for all frames that the
            encoder sees of a clip, and another for those of the decoder, so that a code can hold neither.
    """

    steps: int = 6000
    batch: int = 32
    lr: float = 1e-3
    frames: int = 40_000
    motion_weight: float = 4.0
    event_share: float = 0.5
    floor: float = 0.8
    spread_weight: float = 0.1
    soft: float = 0.5
    label_weight: float = 0.1
    shift: int = 2
    tint: float = 0.1
    seed: int = 0


class ClipTable:
    """A seeded sample of frames held in memory, in rows that follow each other.

    Raises:
        WorldsimError: if the split has no episode as long as a clip, or a frame is damaged.
    """

    def __init__(self, recording: Recording, split: str, length: int, limit: int, seed: int = 0):
        spans = [(s, min(s + 2 * SLAB, b)) for a, b in recording.episodes(split) for s in range(a, b, 2 * SLAB)]
        spans = [(a, b) for a, b in spans if b - a >= length]
        if not spans:
            raise WorldsimError(f"{recording.path} has no {split} episode of {length} frames; give it more, or longer")
        keep = sorted(draw_rng(seed, 0).permutation(len(spans))[: max(1, limit // (2 * SLAB))])
        parts = [np.asarray(recording.frames[spans[i][0] : spans[i][1]]) for i in keep]
        ends = np.cumsum([len(part) for part in parts])
        self.frames = np.concatenate(parts)  # uint8 [n, H, W, 3]
        rows = [(int(end) - len(part), int(end)) for end, part in zip(ends, parts, strict=True)]
        self.windows = Windows(rows, length, _change(self.frames) + 1e-6)

    def draw(self, count: int, seed: int, step: int, event_share: float) -> np.ndarray:
        """Clips uint8 `[count, length, H, W, 3]`."""
        return self.frames[self.windows.draw(count, seed, step, event_share)]


def _change(frames: np.ndarray) -> np.ndarray:
    """Share of pixels that move in each frame, 0 for the first: float32 `[n]`. A large change counts as a small one
    does from a twentieth of the picture on, so that clips are not all of one kind."""
    moved = [0.0, *((cv2.absdiff(a, b) > MOVED).any(-1).mean() for a, b in itertools.pairwise(frames))]
    return np.minimum(np.array(moved, np.float32), 0.05)


class ChangeLoss(nn.Module):
    """The share of what changes that past and codes leave unexplained, as a module, so that it can be sharded."""

    def __init__(self, model: LatentActionModel, training: LatentActionTraining):
        super().__init__()
        self.model, self.training_config = model, training

    def forward(
        self, shown: Tensor, clip: Tensor, hardness: float, labelled: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The loss of clips `[B, T, 3, H, W]`, of which the encoder sees `shown`, with codes quantised so far; and that
        of naming the actions int64 `[B]` of the changes to the last frame of `[B, P + 1, 3, H, W]`."""
        past = self.model.config.past
        found, values = self.model.encode_clip(shown, hardness)
        made, truth = self.model.decode(clip[:, :past], values).float(), clip[:, past:]
        moves = (truth - clip[:, past - 1 : -1]).abs().amax(2, keepdim=True) > MOVED / 127.5
        weight = 1 + self.training_config.motion_weight * moves
        error = (weight * (made - truth).square()).mean()
        copied = (weight * (clip[:, past - 1, None] - truth).square()).mean()
        unexplained = error / (copied + 1e-5)
        spread = spread_loss(found.spread, self.training_config.floor)
        loss = unexplained + self.training_config.spread_weight * spread + found.loss
        if labelled is None:
            return {"loss": loss, "unexplained": unexplained, "spread": spread}
        pixels, actions = labelled
        misnamed = F.cross_entropy(self.model.name(self.model.encode(pixels, hardness).values).float(), actions)
        loss = loss + self.training_config.label_weight * misnamed
        return {"loss": loss, "unexplained": unexplained, "spread": spread, "misnamed": misnamed}


def jitter(pixels: Tensor, shift: int, tint: float, draws: Draws) -> Tensor:
    """Every clip of `[B, T, 3, H, W]` moved by up to `shift` pixels, and each of its colours by up to `tint` of its
    range, all its frames alike."""
    h, w = pixels.shape[-2:]
    by = ((2 * shift + 1) * draws.rand(2)).long() - shift  # [B, 2]
    rows = (torch.arange(h, device=by.device) + by[:, :1]).clamp(0, h - 1)
    columns = (torch.arange(w, device=by.device) + by[:, 1:]).clamp(0, w - 1)
    clips = torch.arange(len(pixels), device=by.device)[:, None, None]
    moved = pixels[clips, :, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 4, 1, 2)  # from [B, H, W, T, 3]
    gain, offset = (tint * (2 * draws.rand(1, 3, 1, 1) - 1) for _ in range(2))
    return moved * (1 + gain) + offset


def train_latent_action(
    recording: Recording,
    out: Path,
    config: LatentActionConfig,
    training: LatentActionTraining,
    options: RunOptions = ON_CPU,
    labels: Labels | None = None,
) -> LatentActionModel:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/latent_action.safetensors`.
    With labels, codes are to name their true actions, too.

    Raises:
        WorldsimError: if no episode is long enough, or the frames are of another size.
    """
    spec = recording.spec
    if (config.height, config.width) != (spec.height, spec.width):
        raise WorldsimError(
            f"the model is for {config.width}x{config.height}, {recording.path} {spec.width}x{spec.height}"
        )
    settings: dict[str, Any] = {}
    if labels is not None:
        config = dataclasses.replace(config, actions=labels.count)
        settings["labels"] = digest({"steps": torch.from_numpy(labels.steps)})[:16]
    torch.manual_seed(training.seed)
    model = LatentActionModel(config)
    trainer = Trainer(
        out,
        "latent_action",
        model,
        ChangeLoss(model, training),
        functools.partial(adamw, beta2=0.99),
        training,
        {"model": dataclasses.asdict(config), **settings},
        options=dataclasses.replace(options, compile=options.compile and options.device.type != "cpu"),  # no gain there
        averaged=False,
    )
    length = config.past + config.ahead
    table = ClipTable(recording, "train", length, training.frames, training.seed)
    held_out = ClipTable(recording, "held-out", length, 1024, training.seed)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        clips = draws.own(table.draw(draws.batch, draws.seed, draws.step, training.event_share))
        pixels = to_pixels(draws.put(torch.from_numpy(clips)))
        model.train()
        shown, clip = (jitter(pixels, training.shift, training.tint, draws) for _ in range(2))
        hardness = min(1.0, draws.share / training.soft)
        if labels is None:
            return trainer.update(shown, clip, hardness)
        seen, actions = (draws.own(part) for part in labels.draw(draws.batch, draws.seed, draws.step))
        pixels = jitter(to_pixels(draws.put(torch.from_numpy(seen))), training.shift, training.tint, draws)
        return trainer.update(shown, clip, hardness, (pixels, torch.from_numpy(actions)))

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, LatentActionModel)
        save_model(out / FILE, learned, spec)
        clips = held_out.draw(256, training.seed, 0, 1.0)
        cv2.imwrite(str(out / "latent_action.png"), _picture(learned, clips[:8])[..., ::-1])
        return {"perplexity": perplexity(np.bincount(_codes_of(learned, clips), minlength=config.codes))}

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, LatentActionModel)
    return learned.requires_grad_(False)


def load_latent_action(path: Path) -> LatentActionModel:
    """A trained latent action model, in evaluation mode.

    Raises:
        WorldsimError: if there is none, or it is cut or of another version.
    """
    weights, header = read(path)
    if header.get("kind") != LatentActionModel.__name__:
        raise WorldsimError(f"{path} holds {header.get('kind')}, not {LatentActionModel.__name__}")
    try:
        model = LatentActionModel(LatentActionConfig(**as_tuples(header["config"])))
    except TypeError as error:
        raise WorldsimError(f"{path} was written by another version of worldsim ({error}); train again") from error
    load_weights(path, model, weights)
    return model.eval().requires_grad_(False)


def infer_codes(model: LatentActionModel, recording: Recording) -> np.ndarray:
    """The code of the change from each frame to the next: int16 `[N]`, -1 for the last frame of an episode. The past of
    an episode's first frames is the first of them."""
    past = model.config.past
    codes = np.full(len(recording), -1, np.int16)
    with ProgressBar("reading codes", len(recording)) as progress:
        for start, end in recording.episodes():
            for first in range(start, end - 1, 256):
                last = min(first + 256, end - 1)  # the last change read is to this frame
                before = max(start, first - past + 1)
                frames = np.asarray(recording.frames[before : last + 1])
                frames = np.concatenate([frames[:1].repeat(past - 1 - (first - before), axis=0), frames])
                windows = np.lib.stride_tricks.sliding_window_view(frames, past + 1, axis=0)  # [n, H, W, 3, P + 1]
                codes[first:last] = _codes_of(model, np.moveaxis(windows, -1, 1))
            progress.update(end)
    return codes


def check_codes(counts: np.ndarray) -> None:
    """Refuse codes `[codes]`, as often as each was read, of which one stands for nearly all changes.

    Raises:
        WorldsimError: with what to try.
    """
    share = counts.max() / max(counts.sum(), 1)
    if share > ONE_CODE:
        raise WorldsimError(
            f"the codes collapsed: one of {len(counts)} stands for {share:.1%} of the changes, so no key would do "
            "anything. Try more video in which things move, fewer frames a second (--fps), longer training "
            "(--minutes), or --quantizer vq."
        )


def perplexity(counts: np.ndarray) -> float:
    """How many codes are in use, as the exponential of the entropy of how often each is."""
    share = counts[counts > 0] / max(counts.sum(), 1)
    return float(np.exp(-(share * np.log(share)).sum()))


@torch.no_grad()
def _codes_of(model: LatentActionModel, clips: np.ndarray) -> np.ndarray:
    """Codes int64 `[n]` of the last of the past's changes in uint8 `[n, >= P + 1, H, W, 3]`."""
    model.eval()
    device = next(model.parameters()).device
    found = []
    for start in range(0, len(clips), 64):
        part = np.ascontiguousarray(clips[start : start + 64, : model.config.past + 1])
        with mixed_precision(device):
            found.append(model.encode(to_pixels(torch.from_numpy(part).to(device))).codes.cpu().numpy())
    return np.concatenate(found)


@torch.no_grad()
def _picture(model: LatentActionModel, clips: np.ndarray) -> np.ndarray:
    """What each code would do, one column a code, one row a clip, after its last past frame and its true next one."""
    past, device = model.config.past, next(model.parameters()).device
    pixels = to_pixels(torch.from_numpy(clips).to(device))[:, :past]
    values = model.embed(torch.arange(model.config.codes, device=device))[None, :, None].expand(len(clips), -1, -1, -1)
    made = [to_frames(model.decode(pixels, values[:, code]))[:, 0].cpu().numpy() for code in range(values.shape[1])]
    columns = [clips[:, past - 1], clips[:, past], *made]
    return np.concatenate([np.concatenate(list(column)) for column in columns], axis=1)
