"""Clips of latents for the dynamics: a recording, encoded once. Knows no loss.

B clips, T frames, C x h x w latents, S components of the state or frames in the log.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.data.recording import Recording
from worldsim.data.windows import frame_batches
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, to_pixels
from worldsim.models.retention import Retention, capacity, retained
from worldsim.models.view_memory import ViewMemory, seen_from
from worldsim.models.world_model import WorldModel
from worldsim.progress import ProgressBar

MOVED = 0.4  # of the mean change of a recording: a latent cell that changes more has something moving in it
A_THING = 0.25  # of the cells of a picture: more of them change only if the view moves
HAPPENS = 0.01  # of the mean change of a recording: a frame that changes more has something happening in it


class Log(NamedTuple):
    """What clips are to remember, before it is written.

    Attributes:
        before, after: S frames and those that followed them, latents `[B, S, C, h, w]` or tokens `[B, S, N, D]`.
        actions: int64 `[B, S]`, those between them.
        age: int64 `[B, S]`, how many frames before the clip; 0 for nothing.
        places: `[B, S, 2, P]`, where the view was before and after, from where it is as the clip begins.
    """

    before: Tensor
    after: Tensor
    actions: Tensor
    age: Tensor
    places: Tensor

    def to_tokens(self, model: WorldModel) -> Log:
        """The same in tokens."""
        return self._replace(before=model.to_tokens(self.before), after=model.to_tokens(self.after))

    def entries(self, model: WorldModel) -> Tensor:
        """What `model` writes of it."""
        return model.remember(self.before, self.after, self.actions, self.places)

    def as_seen(self, model: WorldModel, rows: Tensor) -> Log:
        """With nothing known of what is behind the pictures in the clips that bool `rows` `[B]` tells."""
        before, after = self.before.clone(), self.after.clone()
        before[rows], after[rows] = model.as_seen(before[rows]), model.as_seen(after[rows])
        return self._replace(before=before, after=after)

    def followed_by(self, model: WorldModel, tokens: Tensor, actions: Tensor, lead: int, room: int) -> Log:
        """With the first `lead` frames of a clip `[B, T, N, D]` after it, as seen from the next one; padded to `room`
        frames, so that its size does not hang on `lead`."""
        pad = room - lead
        clip = tokens[:, : lead + 1], tokens[:, : lead + 1].roll(-1, dims=1), actions[:, : lead + 1]
        places = model.places(*clip)
        now, around = places[:, lead, 0, None, None], model.config.around
        led = seen_from(now, places[:, :lead], around)
        parts = (
            (self.before, F.pad(tokens[:, :lead], (0, 0, 0, 0, 0, pad))),
            (self.after, F.pad(tokens[:, 1 : lead + 1], (0, 0, 0, 0, 0, pad))),
            (self.actions, F.pad(actions[:, :lead], (0, pad))),
            (
                torch.where(self.age > 0, self.age + lead, 0),
                F.pad(torch.arange(lead, 0, -1), (0, pad)).expand(len(actions), -1),
            ),
            (seen_from(now, self.places, around), F.pad(led, (0, 0, 0, 0, 0, pad))),
        )
        return Log(*(torch.cat(pair, dim=1) for pair in parts))


class LatentDataset:
    """Clips of latents, actions, rewards, ends and states, by frame index.

    The latents of a recording are encoded once for a autoencoder and kept as float16 in `cache`.
    """

    def __init__(self, recording: Recording, autoencoder: Autoencoder, cache: Path):
        self.latents = encode_recording(recording, autoencoder, cache)
        self.actions = np.asarray(recording.actions[: len(recording)]).astype(np.int64)
        self.rewards = np.asarray(recording.rewards[: len(recording)])
        self.cont = 1.0 - np.asarray(recording.terminated[: len(recording)]).astype(np.float32)
        self.begins = np.zeros(len(recording), np.int64)  # first frame of each frame's episode
        for begin, end in (*recording.episodes("train"), *recording.episodes("held-out")):
            self.begins[begin:end] = begin
        self.buttons = [action.buttons for action in recording.spec.actions]
        self.places, self.around = torch.zeros(len(recording), 1), 0  # see `find_places`
        state = np.asarray(recording.state[: len(recording)])
        self.state = (state - state.mean(0)) / (state.std(0) + 1e-6)

    def __getitem__(self, index: np.ndarray) -> tuple[Tensor, ...]:
        """Clips of the frames at `index` `[B, T+1]`.

        Returns:
            latents `[B, T+1, C, h, w]`; actions, rewards, cont `[B, T]`; states of the last T frames `[B, T, S]`.
        """
        now, following = index[:, :-1], index[:, 1:]
        arrays = (
            self.latents[index].astype(np.float32),
            self.actions[now],
            self.rewards[now],
            self.cont[now],
            self.state[following],
        )
        return tuple(torch.from_numpy(a) for a in arrays)

    def change(self) -> np.ndarray:
        """Mean squared change of the latents to each frame from the one before: float32 `[frames]`, 0 for the first."""
        change = np.zeros(len(self.latents), np.float32)
        for start in range(0, len(change) - 1, 4096):
            part = self.latents[start : start + 4097].astype(np.float32)
            change[start + 1 : start + len(part)] = np.square(np.diff(part, axis=0)).mean((1, 2, 3))
        return change

    def unusual_rewards(self) -> np.ndarray:
        """Which frames came with another reward than the one that comes most often: float32 `[frames]`."""
        rewards, counts = np.unique(self.rewards, return_counts=True)
        unusual = self.rewards != rewards[counts.argmax()]
        return np.concatenate([[False], unusual[:-1]]).astype(np.float32)

    def rare_actions(self) -> np.ndarray:
        """How rare the action is that led to each frame in which something changes, one over how often it does: float32
        `[frames]`; 0 for the others. So drawn, clips show what all actions do equally often, and what moves while
        nothing is done."""
        led = np.concatenate([[-1], self.actions[:-1]])  # an episode's last is none
        change = self.change()
        does = (led >= 0) & (change > HAPPENS * change.mean())
        rarity = np.zeros(len(led), np.float32)
        rarity[does] = 1 / np.bincount(led[does])[led[does]]
        return rarity

    def moved_behind(self, pictures: int) -> np.ndarray:
        """Which frames show a thing of the second of two pictures elsewhere than the frame before, while the view
        stayed where it was: float32 `[frames]`; none where there is one picture."""
        moved = np.zeros(len(self.latents), np.float32)
        least = MOVED * self.change().mean()
        for start in range(0, len(moved) - 1 if pictures == 2 else 0, 4096):
            part = self.latents[start : start + 4097]
            behind = part[:, part.shape[1] // 2 :].astype(np.float32)
            cells = (np.square(np.diff(behind, axis=0)).mean(1) > least).mean((1, 2))
            moved[start + 1 : start + len(part)] = (cells > 0) & (cells < A_THING)
        return moved * (np.arange(len(moved)) != self.begins)

    def log(self, now: np.ndarray, reach: Retention) -> Log:
        """What is retained at the frames `now` `[B]` of those before them, in latents `[B, S, C, h, w]`."""
        begin = self.begins[now][:, None]
        index = now[:, None] - np.arange(reach[-1][0], 0, -1)
        kept = (index >= begin) & retained(index - begin, now[:, None] - index, reach)
        index = np.take_along_axis(index, np.argsort(~kept, axis=1, kind="stable")[:, : capacity(reach)], axis=1)
        real = np.arange(index.shape[1]) < kept.sum(1)[:, None]
        index = np.where(real, index, now[:, None])  # not the frame before: an episode may begin here
        before, after = (torch.from_numpy(self.latents[i].astype(np.float32)) for i in (index, index + 1))
        age = torch.from_numpy(np.where(real, now[:, None] - index, 0))
        places = torch.stack([self.places[index], self.places[index + 1]], dim=-2)
        places = seen_from(self.places[now][:, None, None], places, self.around)
        return Log(before, after, torch.from_numpy(self.actions[index]), age, places)

    @torch.no_grad()
    def find_places(self, panorama: ViewMemory) -> None:
        """Teach `panorama` how the recorded view moves, and find where it was in every frame, in `self.places`."""
        last = len(self.latents) - 1
        parts = []
        for start in range(0, last, 1024):
            part = torch.from_numpy(self.latents[start : min(start + 1024, last) + 1].astype(np.float32))
            parts.append(panorama.mismatch(part[:-1], part[1:]))
        mismatch = torch.cat(parts)
        within = torch.from_numpy(self.begins[1:] == self.begins[:-1])
        actions = torch.from_numpy(self.actions[:-1])
        panorama.learn_moves(mismatch[within], actions[within], self.buttons)
        motion = panorama.likeliest(mismatch, actions)
        self.around = panorama.around
        self.places = torch.zeros(len(self.places), 3 if self.around else 1)
        for begin, end in itertools.pairwise([*np.unique(self.begins), last + 1]):
            episode = (x[None, begin : end - 1] for x in motion)
            self.places[begin + 1 : end] = panorama.follow(self.places[begin][None], *episode)[0, :, 1]


@torch.no_grad()
def encode_recording(recording: Recording, autoencoder: Autoencoder, cache: Path) -> np.ndarray:
    """Latents of all frames, float16 `[N, C, h, w]`, from `cache` if this autoencoder wrote them there before."""
    weights = b"".join(v.float().numpy().tobytes() for v in autoencoder.state_dict().values())
    digest = hashlib.sha256(weights).hexdigest()[:12]
    path = cache / f"latents-{digest}-{len(recording)}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        shape = (len(recording), *autoencoder.config.latent_shape(recording.spec.height, recording.spec.width))
        partial = path.with_suffix(".partial")
        latents = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        autoencoder.eval()
        if autoencoder.config.behind and recording.hidden_layer is None:
            raise WorldsimError(
                f"{recording.path} does not tell what is behind its frames: it is older, or of a world that can't. "
                "Record again, or train a recipe whose autoencoder has no `behind`."
            )
        with ProgressBar("encoding", len(recording)) as progress, mixed_precision():
            for start, frames in frame_batches(recording, 256):
                end = start + len(frames)
                pictures = [frames]
                if autoencoder.config.behind and recording.hidden_layer is not None:
                    pictures.append(np.asarray(recording.hidden_layer[start:end]))
                latents[start:end] = (
                    autoencoder.encode(*(to_pixels(torch.from_numpy(p)) for p in pictures)).half().numpy()
                )
                progress.update(end)
        latents.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")
