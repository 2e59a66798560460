"""Readers: small conv nets, trained on real frames only, that read the exact state or the action taken off frames.

What they read off held-out real frames is the floor of every error and the ceiling of every agreement. They train in
some minutes each and are kept as safetensors. They know no simulator.

B rows, K frames stacked, S components of state, A actions, H x W pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import save
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.device import NATIVE, keep_memory, mixed_precision
from worldsim.evals.core import ProgressCallback, no_progress
from worldsim.evals.files import write_files
from worldsim.evals.scenes import RecordingSplit
from worldsim.safe_read import read_safetensors, reading

CLIP = 16  # frames in a row read from the recording at a time
BINS = 64  # of one component of state
BEFORE, AFTER = 1, 2  # frames around the one an action was taken on, which show the action


@dataclasses.dataclass(frozen=True)
class ReaderConfig:
    """A reader's size and training.

    Attributes:
        height, width: of the frames.
        stack: K frames read together.
        outputs: numbers that come out.
        channels: width of the first half of the net.
        steps: training steps. batch: rows a step.
    """

    height: int
    width: int
    stack: int
    outputs: int
    channels: int = 32
    steps: int = 500
    batch: int = 128

    @property
    def frames(self) -> int:
        """Real frames it learns from: enough that it sees none more than about four times."""
        return max(16_384, self.steps * self.batch // 4)


class ReaderNet(nn.Sequential):
    """What `_pixels` makes of frames -> `[B, outputs]`. The last maps are flattened, so places are distinguished."""

    def __init__(self, config: ReaderConfig):
        narrow, wide = config.channels, 2 * config.channels
        cells = -(-config.height // 8) * -(-config.width // 8)
        super().__init__(
            nn.Conv2d(48 * config.stack, narrow, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.GroupNorm(4, narrow),
            nn.SiLU(),
            nn.Conv2d(narrow, wide, 4, stride=2, padding=1),
            nn.GroupNorm(4, wide),
            nn.SiLU(),
            nn.Conv2d(wide, wide, 3, padding=1),
            nn.GroupNorm(4, wide),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(wide * cells, 256),
            nn.SiLU(),
            nn.Linear(256, config.outputs),
        )


class StateReader:
    """Reads the exact state off one frame: each component is the mean around the most likely of `BINS` values."""

    def __init__(self, net: ReaderNet, low: np.ndarray, high: np.ndarray):
        self._net, self._low, self._high = net, torch.from_numpy(low), torch.from_numpy(high)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 `[..., H, W, 3]` -> float32 `[..., S]`."""
        flat = frames.reshape(-1, 1, *frames.shape[-3:])
        logits = _run(self._net, flat).unflatten(1, (-1, BINS))  # [n, S, BINS]
        near = (torch.arange(BINS) - logits.argmax(-1, keepdim=True)).abs() <= 2  # a distant second mode must not pull
        share = logits.masked_fill(~near, -torch.inf).softmax(-1)
        place = (share * torch.arange(BINS)).sum(-1) / (BINS - 1)
        return (self._low + place * (self._high - self._low)).numpy().reshape(*frames.shape[:-3], -1)


class ActionReader:
    """An inverse-dynamics net: reads the action taken off the frames around it."""

    def __init__(self, net: ReaderNet):
        self._net = net

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames in a row uint8 `[N, n, H, W, 3]` -> int64 `[N, n - 3]`: actions taken on seeing frames 1 … n - 3."""
        windows = np.lib.stride_tricks.sliding_window_view(frames, BEFORE + 1 + AFTER, axis=1)  # [N, n - 3, H, W, 3, K]
        return np.stack([_run(self._net, np.moveaxis(row, -1, 1)).argmax(-1).numpy() for row in windows])


def train_state_reader(
    recording: Recording, folder: Path, steps: int, on_progress: ProgressCallback = no_progress
) -> StateReader:
    """The state reader of a recording's train split, from `folder` if it was trained before.

    Args:
        on_progress: called after each training step.
    """
    spec = recording.spec
    config = ReaderConfig(spec.height, spec.width, 1, len(spec.state_names) * BINS, steps=steps)
    state = RecordingSplit(recording, "train").state
    low, high = state.min(0), state.max(0)
    high = np.where(high > low, high, low + 1).astype(np.float32)

    def batches() -> Callable[[np.random.Generator], tuple[np.ndarray, Tensor]]:
        frames, _, states = _sample(recording, config, 0)
        places = torch.from_numpy((states - low) / (high - low) * (BINS - 1)).float()

        def draw(rng: np.random.Generator) -> tuple[np.ndarray, Tensor]:
            index = rng.integers(frames.shape[0] * CLIP, size=config.batch)
            return frames[index // CLIP, index % CLIP, None], places[index // CLIP, index % CLIP]

        return draw

    return StateReader(_trained("state", recording, config, folder, batches, _place_loss, on_progress), low, high)


def train_action_reader(
    recording: Recording, folder: Path, steps: int, on_progress: ProgressCallback = no_progress
) -> ActionReader:
    """The inverse-dynamics net of a recording's train split; arguments as for `train_state_reader`."""
    spec = recording.spec
    stack = BEFORE + 1 + AFTER
    config = ReaderConfig(spec.height, spec.width, stack, len(spec.actions), steps=steps)

    def batches() -> Callable[[np.random.Generator], tuple[np.ndarray, Tensor]]:
        frames, actions, _ = _sample(recording, config, 1)

        def draw(rng: np.random.Generator) -> tuple[np.ndarray, Tensor]:
            clips = rng.integers(frames.shape[0], size=config.batch)
            firsts = rng.integers(CLIP - stack + 1, size=config.batch)
            index = firsts[:, None] + np.arange(stack)
            return frames[clips[:, None], index], torch.from_numpy(actions[clips, firsts + BEFORE])

        return draw

    return ActionReader(_trained("action", recording, config, folder, batches, F.cross_entropy, on_progress))


def _place_loss(logits: Tensor, places: Tensor) -> Tensor:
    """Cross-entropy to the two bins around each place, `[B, S BINS]`, `[B, S]`."""
    low = places.floor().clamp(0, BINS - 2)
    share = (places - low)[..., None]
    low = low.long()
    target = F.one_hot(low, BINS) * (1 - share) + F.one_hot(low + 1, BINS) * share
    return -(target * logits.unflatten(1, (-1, BINS)).log_softmax(-1)).sum(-1).mean()


def _sample(recording: Recording, config: ReaderConfig, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips of the train split: frames `[n, CLIP, H, W, 3]`, actions `[n, CLIP]`, state `[n, CLIP, S]`."""
    scenes = RecordingSplit(recording, "train").draw(-(-config.frames // CLIP), CLIP, 1, seed)
    return scenes.frames[:, :CLIP], scenes.actions[:, :CLIP], scenes.state[:, :CLIP]


def _trained(
    name: str,
    recording: Recording,
    config: ReaderConfig,
    folder: Path,
    batches: Callable[[], Callable[[np.random.Generator], tuple[np.ndarray, Tensor]]],
    loss_of: Callable[[Tensor, Tensor], Tensor],
    on_progress: ProgressCallback,
) -> ReaderNet:
    """The net of this name, recording and config: read, or trained and written."""
    identity = [dataclasses.asdict(config), recording.spec.to_json(), recording.seed, recording.ends.tolist(), 2]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    path = folder / f"{name}-{key}.safetensors"
    torch.manual_seed(0)
    net = ReaderNet(config).to(memory_format=torch.channels_last)
    if path.exists():
        _load(net, path)
        on_progress(config.steps)
        return net.eval()
    keep_memory()
    draw, rng = batches(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=config.steps)
    for _ in range(config.steps):
        frames, target = draw(rng)
        with mixed_precision():
            logits = net(_pixels(_degrade(frames, rng)))
        loss = loss_of(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_progress(1)
    weights = {name: weight.contiguous() for name, weight in net.state_dict().items()}
    write_files(folder, {path.name: save(weights)})
    return net.eval()


def _load(net: ReaderNet, path: Path) -> None:
    weights, _ = read_safetensors(path, "Delete it.", "pt")
    with reading(path, "Delete it."):
        net.load_state_dict(weights)


def _pixels(frames: np.ndarray) -> Tensor:
    """uint8 `[B, K, H, W, 3]` -> `NATIVE` `[B, 48 K, h, w]` in [-1, 1]: 4 x 4 pixels in a cell, h and w even."""
    height, width = frames.shape[2:4]
    if height % 8 or width % 8:
        frames = np.pad(frames, ((0, 0), (0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
    cells = rearrange(frames, "b k (h p) (w q) c -> b h w (k p q c)", p=4, q=4)
    return (torch.from_numpy(cells).permute(0, 3, 1, 2).float() / 127.5 - 1).to(NATIVE)


def _degrade(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames `[B, K, H, W, 3]` with some blur and noise, drawn per row, so that a reader is robust to the texture of
    generated frames."""
    noise = rng.integers(0, 256, (2, *frames.shape[2:]), dtype=np.uint8)
    out = np.empty_like(frames)
    for row, (blur, grain) in enumerate(rng.random((len(frames), 2)) ** 2):
        for k, frame in enumerate(frames[row]):
            soft = cv2.addWeighted(cv2.blur(frame, (3, 3)), blur, frame, 1 - blur, 0)
            out[row, k] = cv2.addWeighted(soft, 1.0, noise[k % 2], 0.15 * grain, -19.1 * grain)
    return out


@torch.inference_mode()
def _run(net: ReaderNet, frames: np.ndarray, batch: int = 256) -> Tensor:
    parts = []
    for i in range(0, len(frames), batch):
        with mixed_precision():
            parts.append(net(_pixels(frames[i : i + batch])).float())
    return torch.cat(parts)
