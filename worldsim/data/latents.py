"""The latent dataset that the world model learns from: a recording, encoded once. Knows no loss.

B clips, T frames, C x h x w latents, S components of the state or frames in memory.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.data.encoding import encode_recording
from worldsim.data.recording import Recording
from worldsim.device import DevicePolicy
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.history import History
from worldsim.models.map_memory import MapPose
from worldsim.models.pose import PoseTracker, relative_pose
from worldsim.models.retention import Retention, capacity, retained
from worldsim.models.world_model import WorldModel

MOVED = 0.4  # of the mean change of a recording: a latent cell that changes more has something moving in it
A_THING = 0.25  # of the cells of a picture: more of them change only if the view moves
KINDS_FRAMES, KINDS_CELLS, KINDS_ROUNDS = 20_000, 100_000, 20  # of which kinds of cells are found, in so many rounds
HAPPENS = 0.01  # of the mean change of a recording: a frame that changes more has something happening in it


class PastFrames(NamedTuple):
    """Frames before a clip that its memory is made of; the model writes it anew in every training step.

    Attributes:
        before, after: S frames and those that followed them, latents `[B, S, C, h, w]` or tokens `[B, S, N, V]`.
        actions: int64 `[B, S]`, those between them.
        age: int64 `[B, S]`, how many frames before the clip; 0 for an empty slot.
        poses: `[B, S, 2, O]`, where the view was before and after, from where it is as the clip begins; None without a
            view memory.
    """

    before: Tensor
    after: Tensor
    actions: Tensor
    age: Tensor
    poses: Tensor | None

    def to_tokens(self, model: WorldModel) -> PastFrames:
        """The same in tokens."""
        return self._replace(before=model.to_tokens(self.before), after=model.to_tokens(self.after))

    def history(self, model: WorldModel) -> History:
        """What `model` remembers of them."""
        memory, pose = model.remember(self.before, self.after, self.actions, self.poses)
        return History(memory=memory, age=self.age, pose=pose)

    def without_hidden_layer(self, model: WorldModel, rows: Tensor) -> PastFrames:
        """With nothing known of the hidden layer in the clips of bool `rows` `[B]`."""
        before, after = self.before.clone(), self.after.clone()
        before[rows], after[rows] = (model.without_hidden_layer(part[rows]) for part in (before, after))
        return self._replace(before=before, after=after)

    def extended(self, model: WorldModel, tokens: Tensor, actions: Tensor, lead: int, room: int) -> PastFrames:
        """With the first `lead` frames of a clip `[B, T, N, V]` after them, as seen from the next one; padded to `room`
        frames, so that its size does not depend on `lead`."""
        pad = room - lead
        clip = tokens[:, : lead + 1], tokens[:, : lead + 1].roll(-1, dims=1), actions[:, : lead + 1]
        new_age = F.pad(torch.arange(lead, 0, -1, device=actions.device), (0, pad)).expand(len(actions), -1)
        poses = model.poses(*clip)
        if poses is not None and self.poses is not None:
            now = poses[:, lead, 0, None, None]
            led = F.pad(model.pose.relative(poses[:, :lead], now), (0, 0, 0, 0, 0, pad))
            poses = torch.cat([model.pose.relative(self.poses, now), led], dim=1)
        return PastFrames(
            torch.cat([self.before, F.pad(tokens[:, :lead], (0, 0, 0, 0, 0, pad))], dim=1),
            torch.cat([self.after, F.pad(tokens[:, 1 : lead + 1], (0, 0, 0, 0, 0, pad))], dim=1),
            torch.cat([self.actions, F.pad(actions[:, :lead], (0, pad))], dim=1),
            torch.cat([torch.where(self.age > 0, self.age + lead, 0), new_age], dim=1),
            poses,
        )


class LatentDataset:
    """Clips of latents, actions, rewards, ends and states, by frame index.

    The latents of a recording are encoded once for an autoencoder and kept as float16 in `cache`.
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
        self.poses, self.ring_columns = torch.zeros(len(recording), 1), 0  # see `find_poses`
        self.moving_view = False
        self._resident: Tensor | None = None  # see `keep_on`
        state = np.asarray(recording.state[: len(recording)])
        self.state = (state - state.mean(0)) / (state.std(0) + 1e-6)

    def keep_on(self, policy: DevicePolicy) -> None:
        """Keep the latents on a device that is not the CPU, if they fit."""
        if policy.device.type != "cpu" and policy.fits(self.latents.nbytes):
            self._resident = torch.from_numpy(np.asarray(self.latents)).to(policy.device)

    def frames(self, index: np.ndarray) -> Tensor:
        """Latents of the frames at `index` `[...]`, float32 `[..., C, h, w]`; on the device that they are kept on."""
        if self._resident is not None:
            return self._resident[torch.from_numpy(index).to(self._resident.device)].float()
        return torch.from_numpy(self.latents[index].astype(np.float32))

    def __getitem__(self, index: np.ndarray) -> tuple[Tensor, ...]:
        """Clips of the frames at `index` `[B, T+1]`.

        Returns:
            latents `[B, T+1, C, h, w]`; actions, rewards, cont `[B, T]`; states of the last T frames `[B, T, S]`.
        """
        now, following = index[:, :-1], index[:, 1:]
        arrays = self.actions[now], self.rewards[now], self.cont[now], self.state[following]
        return self.frames(index), *(torch.from_numpy(a) for a in arrays)

    def change(self) -> np.ndarray:
        """Mean squared change of the latents to each frame from the one before: float32 `[frames]`, 0 for the first."""
        change = np.zeros(len(self.latents), np.float32)
        for start in range(0, len(change) - 1, 4096):
            part = self.latents[start : start + 4097].astype(np.float32)
            change[start + 1 : start + len(part)] = np.square(np.diff(part, axis=0)).mean((1, 2, 3))
        return change

    def kinds_of_cells(self, count: int, seed: int) -> np.ndarray:
        """What cells become when they change: the centres of `count` clusters of them, float32 `[count, C]` (k-means).

        Raises:
            WorldsimError: if nothing changes in the recording.
        """
        rng = np.random.default_rng(seed)
        after = rng.integers(1, len(self.latents), KINDS_FRAMES)
        after = np.unique(after[self.begins[after] == self.begins[after - 1]])
        found = []
        for part in np.array_split(after, max(1, len(after) // 1024)):
            now, before = (self.latents[index].astype(np.float32) for index in (part, part - 1))
            change = np.square(now - before).mean(1)
            found.append(np.moveaxis(now, 1, -1)[change > MOVED * change.mean()])
        cells = np.concatenate(found)
        if not len(cells):
            raise WorldsimError("nothing changes in the recording: record what moves, or train without copy.palette")
        cv2.setRNGSeed(seed)
        until = (cv2.TERM_CRITERIA_MAX_ITER, KINDS_ROUNDS, 0.0)
        drawn = cells[rng.integers(len(cells), size=KINDS_CELLS)]
        nothing = np.zeros((len(drawn), 1), np.int32)  # labels to begin with, which are not read
        return np.asarray(cv2.kmeans(drawn, count, nothing, until, 1, cv2.KMEANS_PP_CENTERS)[2])

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

    def moved_hidden(self) -> np.ndarray:
        """Which frames show a thing of the hidden layer elsewhere than the frame before, while the view stayed where it
        was: float32 `[frames]`."""
        moved = np.zeros(len(self.latents), np.float32)
        least = MOVED * self.change().mean()
        for start in range(0, len(moved) - 1, 4096):
            part = self.latents[start : start + 4097]
            hidden = part[:, part.shape[1] // 2 :].astype(np.float32)
            cells = (np.square(np.diff(hidden, axis=0)).mean(1) > least).mean((1, 2))
            moved[start + 1 : start + len(part)] = (cells > 0) & (cells < A_THING)
        return moved * (np.arange(len(moved)) != self.begins)

    def past(self, now: np.ndarray, retention: Retention) -> PastFrames:
        """What is in memory at the frames `now` `[B]` of those before them, in latents `[B, S, C, h, w]`."""
        begin = self.begins[now][:, None]
        index = now[:, None] - np.arange(retention[-1][0], 0, -1)
        kept = (index >= begin) & retained(index - begin, now[:, None] - index, retention)
        index = np.take_along_axis(index, np.argsort(~kept, axis=1, kind="stable")[:, : capacity(retention)], axis=1)
        real = np.arange(index.shape[1]) < kept.sum(1)[:, None]
        index = np.where(real, index, now[:, None])  # not the frame before: an episode may begin here
        before, after = self.frames(index), self.frames(index + 1)
        age = torch.from_numpy(np.where(real, now[:, None] - index, 0))
        poses = None
        if self.moving_view:
            poses = torch.stack([self.poses[index], self.poses[index + 1]], dim=-2)
            poses = relative_pose(poses, self.poses[now][:, None, None], self.ring_columns)
        return PastFrames(before, after, torch.from_numpy(self.actions[index]), age, poses)

    @torch.no_grad()
    def find_poses(self, tracker: PoseTracker | MapPose) -> None:
        """Teach `tracker` how the recorded view moves, and find where it was in every frame, in `self.poses`."""
        last = len(self.latents) - 1
        parts = []
        for start in range(0, last, 1024):
            part = torch.from_numpy(self.latents[start : min(start + 1024, last) + 1].astype(np.float32))
            parts.append(tracker.mismatch(part[:-1], part[1:]))
        mismatch = torch.cat(parts)
        within = torch.from_numpy(self.begins[1:] == self.begins[:-1])
        actions = torch.from_numpy(self.actions[:-1])
        tracker.learn_moves(mismatch[within], actions[within], self.buttons)
        motion = tracker.likeliest(mismatch, actions)
        self.ring_columns, self.moving_view = tracker.ring_columns, True
        self.poses = torch.zeros(len(self.poses), tracker.width)
        for begin, end in itertools.pairwise([*np.unique(self.begins), last + 1]):
            episode = (x[None, begin : end - 1] for x in motion)
            self.poses[begin + 1 : end] = tracker.follow(self.poses[begin][None], *episode)[0, :, 1]
