"""The world model: the transformer and what a world adds to it, composed. Nothing else composes them.

    encode_context   clean frame, action, history -> features, cache entry           (once a frame)
    denoise          features, frame before, noisy frame -> the clean next frame     (K times a frame)
    remember         frame, next frame, action -> memory entry                       (once a frame)

B batch, T frames, P frames before them that are known, N tokens a frame, V numbers of a token, D width, R registers,
M = R + N, C x h x w latents, A actions, L temporal blocks, F numbers of a cache entry's token, S frames in memory,
Q x U a memory entry, O numbers of a pose, Y layers of a latent frame.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import (
    CandidateCopy,
    Candidates,
    ElementwiseCopy,
    Patches,
    from_noise,
    neighbourhood,
    other_layer,
)
from worldsim.models.dit import ContextEncoder, Denoiser
from worldsim.models.flow import REWARD_BINS
from worldsim.models.history import History
from worldsim.models.layers import CellRefiner
from worldsim.models.map_memory import MapMemoryConfig, moved_together
from worldsim.models.memory import MemoryReader, MemoryWriter, newest
from worldsim.models.motion import MotionPrior
from worldsim.models.palette import Palette, weighed
from worldsim.models.shifts import GRID, Shifted
from worldsim.models.told_noise import ToldNoise
from worldsim.models.view_memory import KEY


class Features(NamedTuple):
    """What the context says of the frames to come, `[B, T, ...]` or `[B, ...]`; parts that a model lacks are None.

    Attributes:
        tokens: of the context encoder `[..., M, D]`.
        view: what the view memory found `[..., X + 1, y, v]`, see `worldsim.models.view_memory`.
        earlier: tokens of the frame before the newest `[..., N, V]`.
        motion: tokens of the next frame by the motion prior `[..., N, V]`.
        still: probability that the view stands still `[...]`.
        shifted: the newest frame under all shifts `[..., K, C, h, w]`, see `worldsim.models.shifts`.
    """

    tokens: Tensor
    view: Tensor | None = None
    earlier: Tensor | None = None
    motion: Tensor | None = None
    still: Tensor | None = None
    shifted: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Features:
        """Every part changed in the same way."""
        rest = (None if part is None else change(part) for part in self[1:])
        return Features(change(self.tokens), *rest)


class Prediction(NamedTuple):
    """What one pass of the denoiser predicts.

    Attributes:
        clean: tokens of the clean next frame `[B, N, V]`.
        reward: logits over reward bins `[B, 33]`.
        cont: logit that play goes on `[B]`.
        state: standardised exact state `[B, state]`.
    """

    clean: Tensor
    reward: Tensor
    cont: Tensor
    state: Tensor


class WorldModel(nn.Module):
    """The next latent frame, from history, frame and action; see the top of the file."""

    def __init__(self, config: WorldModelConfig):
        super().__init__()
        self.config = config
        dit, grid, token_width = config.dit, config.token_grid, config.token_width
        self.patches = Patches(config.latent_shape, dit.patch_size)
        self.encoder = ContextEncoder(dit, grid, token_width, config.actions)
        if config.told_noise:
            self.told_noise = ToldNoise(config.told_noise, dit.width)
        if config.memory:
            layers = len(config.memory.read_layers)
            sizes = token_width, config.actions, dit.width, dit.head_width, layers, self._places, KEY
            self.writer = MemoryWriter(*sizes)
            readers = (
                MemoryReader(dit.width, config.memory.read_heads, dit.head_width) for _ in config.memory.read_layers
            )
            self.readers = nn.ModuleList(readers)
        if config.view:
            self.pose = config.view.tracker(config.actions)
            self.view = config.view.reader(dit.width, dit.patch_size, config.latent_shape[0])
        if config.copy and config.copy.shifts:
            self.shifted = Shifted(config.latent_shape[0])
        if config.copy and config.copy.palette:
            self.palette = Palette(config.copy.palette, config.latent_shape[0])
        self.copy = self._copy_head()
        if self._sees_earlier:
            self.change_in = nn.Linear(token_width, dit.width, bias=False)
            nn.init.zeros_(self.change_in.weight)
        out, outcomes = token_width + self.copy.gates, len(REWARD_BINS) + 1 + config.state
        self.denoiser = Denoiser(dit, grid, token_width, out, outcomes)
        c = config.latent_shape[0]
        if config.motion:
            width, clip = config.motion.width, config.latent_clip
            self.motion = MotionPrior(c // config.layers, width, config.actions, config.layers, clip)
        if config.copy and config.copy.refiner_width:
            seen = c * (2 + 2 * bool(config.view) + bool(config.motion))  # see `_refine`
            self.refiner = CellRefiner(seen, config.copy.refiner_width, dit.width, out // config.patch_cells)

    def to_tokens(self, latents: Tensor) -> Tensor:
        """`[..., C, h, w]` -> `[..., N, V]`."""
        return self.patches.to_tokens(latents)

    def to_latents(self, tokens: Tensor) -> Tensor:
        """`[..., N, V]` -> `[..., C, h, w]`."""
        return self.patches.to_latents(tokens)

    def without_hidden_layer(self, tokens: Tensor) -> Tensor:
        """Tokens `[..., V]` of which only what is seen is known: the hidden layer as the first."""
        seen = tokens.unflatten(-1, self.config.token_layout)[..., :1, :, :]
        return seen.expand(*seen.shape[:-3], self.config.layers, -1, -1).flatten(-3)

    def encode_context(
        self, tokens: Tensor, actions: Tensor, history: History | None = None, noise_share: Tensor | None = None
    ) -> tuple[Features, Tensor]:
        """Features of the frames that follow T frames, and the cache entries that these leave.

        Args:
            tokens: clean `[B, T, N, V]`.
            actions: int64 `[B, T]`, the action taken on seeing each of them; A is the null action.
            history: of the frames before the first of the T, on their device.
            noise_share: of the T frames `[B, T]`, for a model that is told it; as in play if not given.

        Returns:
            features `[B, T, ...]`; entries `[B, T, L, M, F]`.
        """
        config, t = self.config, actions.shape[1]
        history = history or History()
        hint = earlier = run = run_columns = None
        if self._sees_earlier:
            run, run_columns = self._with_known(tokens, history)
            earlier = run[:, -t - 1 : -1]
            hint = self.change_in(tokens - earlier)
        kept = self._memory(tokens, actions, history)
        readers: dict[int, Callable[[Tensor], Tensor]] = {}
        if kept is not None and config.memory:
            memory, age, (past_poses, poses) = kept
            angles, pair = self.encoder.positions.within_frame(), 2 * config.dit.head_width
            for i, (index, reader) in enumerate(zip(config.memory.read_layers, self.readers, strict=True)):
                part = memory[..., i * pair : (i + 1) * pair]
                readers[index] = functools.partial(_read, reader, memory=part, age=age, angles=angles)
        told = self.told_noise(actions, noise_share) if config.told_noise else None
        x, entries = self.encoder(tokens, actions, history.cache, history.length, hint, readers, told)
        shifted = self.shifted(self.to_latents(tokens.float())) if config.copy and config.copy.shifts else None
        if kept is None or not config.view:
            return Features(x, shifted=shifted), entries
        cells = memory[..., 2 * len(self.readers) * config.dit.head_width :]
        asking = x[:, :, config.dit.registers :]
        found = self.view.find(asking, cells, age, poses[:, :, 0], past_poses, config.token_grid[0])
        if not config.motion:
            return Features(x, found, earlier, shifted=shifted), entries
        assert run is not None and run_columns is not None
        motion = self._predict_motion(run, actions, torch.cat([run_columns, poses[:, :, 0, 0]], dim=1))
        return Features(x, found, earlier, motion, self.pose.stands_still(actions), shifted), entries

    def denoise(self, features: Features, previous: Tensor, noisy: Tensor, tau: Tensor) -> Prediction:
        """One pass of the denoiser.

        Args:
            features: of the frame to come, `[B, ...]`.
            previous: tokens of the frame before `[B, N, V]`, to copy from.
            noisy: tokens of the frame to come at signal level tau `[B, N, V]`.
            tau: `[B]` or `[1]`.
        """
        config = self.config
        hint = None if features.view is None else self.view.embedding(features.view)
        hidden, made, outcome = self.denoiser(features.tokens, noisy, tau, hint)
        sources = self._sources(features, previous, noisy, tau)
        if config.copy and config.copy.refiner_width:
            made = made + self._refine(hidden, previous, noisy, features, sources)
        residual, gates = made.split([config.token_width, self.copy.gates], dim=-1)
        reward, cont, state = outcome.split([len(REWARD_BINS), 1, config.state], dim=-1)
        return Prediction(self.copy(previous, residual, gates, sources), reward, cont[:, 0], state)

    def limit(self, before: Tensor, after: Tensor) -> Tensor:
        """Generated frames `after` within `latent_clip`, with cells that changed by less than `static_threshold` since
        `before` as they were; both `[..., N, V]`."""
        if self.config.latent_clip:
            after = after.clamp(-self.config.latent_clip, self.config.latent_clip)
        if not self.config.static_threshold:
            return after
        was, made = (tokens.unflatten(-1, self.config.token_layout) for tokens in (before, after))
        moved = (made - was).square().mean(-2, keepdim=True) >= self.config.static_threshold**2
        return torch.where(moved, made, was).flatten(-3)

    def poses(self, before: Tensor, after: Tensor, actions: Tensor, history: History | None = None) -> Tensor | None:
        """Where the view was in T frames and in those that followed, float32 `[B, T, 2, O]`, from where it was in the
        first frame of the history; None without a view memory.

        Args:
            before, after: those frames, tokens `[B, T, N, V]`.
            actions, history: as for `encode_context`.
        """
        if not self.config.view:
            return None
        start = torch.zeros(actions.shape[0], self.pose.width, device=actions.device)
        if history is not None and history.memory is not None:
            _, pose, known = newest(history, 1)
            start = pose[:, 0, -self.pose.width :] * known[:, None]
        moves = self.pose.motion(self.to_latents(before), self.to_latents(after), actions)
        return self.pose.follow(start, *moves)

    def remember(
        self, before: Tensor, after: Tensor, actions: Tensor, poses: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What frames leave in memory, once it is known what followed them.

        Args:
            before, after: tokens `[..., N, V]`. actions: int64 `[...]`, those between them.
            poses: `[..., 2, O]`, where the view was before and after (see `poses`).

        Returns:
            memory entries `[..., Q, U]`, and the poses that go with them `[..., 2 O]`.
        """
        angles = self.encoder.positions.within_frame()[self.config.dit.registers :]
        entries = self.writer(before, after, actions, angles)
        return entries, None if poses is None else self.pose.stored(poses).flatten(-2)

    @property
    def _places(self) -> int:
        """Places of a token in memory, each with a key."""
        return self.config.view.places(self.config.dit.patch_size) if self.config.view else 0

    @property
    def _sees_earlier(self) -> bool:
        """Whether the frame before the newest is read from memory: by it the refiner sees how fast a thing moves."""
        return bool(self.config.view and self.config.copy and self.config.copy.refiner_width)

    def _copy_head(self) -> ElementwiseCopy | CandidateCopy:
        config = self.config
        if config.copy is None:
            return ElementwiseCopy(config.token_width)
        count = (2 * config.copy.reach + 1) ** 2 + config.copy.hidden_layer + bool(config.motion)
        count += config.copy.from_noise + (self.view.candidates_count if config.view else 0)
        count += (len(GRID) if config.copy.shifts else 0) + config.copy.palette
        return CandidateCopy(self.patches, config.patch_cells, config.layers, count)

    def _sources(self, features: Features, previous: Tensor, noisy: Tensor, tau: Tensor) -> list[Candidates]:
        """All candidates for the next frame, in the order that the gates were learned in."""
        config = self.config
        if config.copy is None:
            return []
        here = self.to_latents(previous.float())
        sources = [neighbourhood(here, config.copy.reach)]
        if config.view:
            assert features.view is not None
            sources.append(self.view.candidates(features.view))
        if config.copy.hidden_layer:
            sources.append(other_layer(here))
        if config.motion:
            assert features.motion is not None and features.still is not None
            motion, still = self.to_latents(features.motion.float()), features.still.float()
            inner = F.pad(here.new_ones(here.shape[-2] - 2, here.shape[-1] - 2), (1, 1, 1, 1))
            bias = config.motion.gate_bias * still[:, None, None, None, None] * inner.expand(1, config.layers, -1, -1)
            sources.append(Candidates(motion[:, None], bias, complete=True))
        if config.copy.shifts:
            assert features.shifted is not None
            sources.append(Candidates(features.shifted))
        latents = self.to_latents(noisy.float())
        if config.copy.palette:
            sources.append(self.palette(here))
            sources = [weighed(source, latents, tau, config.layers) for source in sources]
            if isinstance(config.view, MapMemoryConfig):
                sources[:2] = moved_together(sources[0], sources[1], config.view.rows)
        if config.copy.from_noise:
            sources.append(from_noise(latents, tau))
        return sources

    def _refine(
        self, hidden: Tensor, previous: Tensor, noisy: Tensor, features: Features, sources: list[Candidates]
    ) -> Tensor:
        """What the convolutions over single cells add to the prediction `[B, N, V + gates]`; they see the previous
        frame, the noisy one, what the view memory found in its place, the frame before, and the motion prior's."""
        seen = [self.to_latents(previous), self.to_latents(noisy)]
        if self.config.view:
            view = sources[1].latents
            assert features.earlier is not None
            seen += [view[:, view.shape[1] // 2], self.to_latents(features.earlier)]
        if self.config.motion:
            assert features.motion is not None
            seen.append(self.to_latents(features.motion.float()))
        cells = torch.cat([latents.to(hidden.dtype) for latents in seen], dim=1)
        tokens = rearrange(hidden, "b (y x) d -> b d y x", y=self.config.token_grid[0])
        return self.to_tokens(self.refiner(cells, tokens).float())

    def _with_known(self, tokens: Tensor, history: History) -> tuple[Tensor, Tensor]:
        """The T frames after the P before them that are of use, `[B, P + T, N, V]`, and how many cells to the right the
        view was in those P, float32 `[B, P]`. Where one is not known, it is as the one after it: nothing moved."""
        past = self.config.memory.retention[0][0] if self.config.motion and self.config.memory else 1
        first = tokens[:, :1].expand(-1, past, -1, -1)
        if history.memory is None:
            return torch.cat([first, tokens], dim=1), torch.zeros(*first.shape[:2], device=tokens.device)
        entries, pose, known = newest(history, past)
        cells = entries[..., -self.config.token_width :]
        cells = cells.unflatten(-1, (self._places, -1)).mT.flatten(-2)
        earlier = torch.where(known[:, None, None, None], cells.to(tokens.dtype), first)
        return torch.cat([earlier, tokens], dim=1), pose[..., 0] * known[:, None]

    def _predict_motion(self, run: Tensor, actions: Tensor, columns: Tensor) -> Tensor:
        """The motion prior's next frame after each of the T newest frames of `run` `[B, P + T, N, V]`, under the
        actions taken on seeing them `[B, T]`, the view so many cells to the right in each `[B, P + T]`: `[B, T, N, V]`.
        It is trained by itself: no gradient."""
        t = actions.shape[1]
        now = torch.arange(t, device=run.device)[:, None]
        index = now + torch.arange(run.shape[1] - t + 1, device=run.device)  # [T, P + 1]
        runs, actions, columns = (x.flatten(0, 1) for x in (run[:, index], actions, columns[:, index]))
        following = self.motion(self.to_latents(runs), actions, columns)
        return self.to_tokens(following.detach()).unflatten(0, (-1, t))

    def _memory(
        self, tokens: Tensor, actions: Tensor, history: History
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]] | None:
        """Memory of the frames before, and what each of the T frames leaves to those after it.

        Returns:
            entries `[B, S + T, Q, U]`; the age of each as seen from each of the T, `[B, T, S + T]`, less than 1 is not
            read; poses of the entries `[B, S + T, O]`, and of the T frames `[B, T, 2, O]`. None without memory.
        """
        nowhere = tokens.new_zeros(0), tokens.new_zeros(0)
        if not self.config.memory:
            return None
        following = tokens.roll(-1, dims=1)  # what follows the last one is not known, and not read
        now = self.poses(tokens, following, actions, history)
        width = self.config.pose_width // 2
        b, t = actions.shape
        if history.memory is not None and t == 1:
            kept = nowhere if now is None else (history.pose[..., :width], now)
            return history.memory, history.age[:, None], kept
        time = torch.arange(t, device=tokens.device)
        entries, own = self.remember(tokens, following, actions, now)
        age = (time[:, None] - time).expand(b, -1, -1)
        if history.memory is not None:
            older = torch.where(history.age[:, None] > 0, history.age[:, None] + time[:, None], 0)
            entries = torch.cat([history.memory, entries.to(history.memory.dtype)], dim=1)
            age = torch.cat([older, age], dim=2)
            own = own if own is None else torch.cat([history.pose, own], dim=1)
        return entries, age, nowhere if own is None or now is None else (own[..., :width], now)


def _read(reader: MemoryReader, x: Tensor, memory: Tensor, age: Tensor, angles: Tensor) -> Tensor:
    return x + reader(x, memory, age, angles)
