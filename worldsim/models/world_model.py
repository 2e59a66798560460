"""WorldModel: the action-conditioned diffusion transformer over latent frames.

Knows nothing of pixels, samplers or losses.

    trunk  reads clean frame t and action[t], looks back over the last `window` frames, runs once a frame -> features
    head   denoises frame t+1 from noise, given those features; runs K times a frame

(An autoregressive trunk with a diffusion head: MAR, Li et al. 2024.)

B batch, T frames, P past frames in the cache, N tokens of a frame, R registers before them, D width, M = R + N,
C x h x w latents, A actions, L trunk blocks that look back, G key/value heads, E head width, S frames in the log, K
blocks that look it up, Q memory tokens of a frame, U numbers that each leaves in the log, P numbers of a place.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.models.config import PANORAMA_KEY, WorldModelConfig
from worldsim.models.flow import REWARD_BINS
from worldsim.models.layers import Block, CellLayers, FourierFeatures, axis_angles, rotate
from worldsim.models.memory import Recall, Remember
from worldsim.models.motion import MotionPrior
from worldsim.models.view_memory import ViewMemory


class HeadOutput(NamedTuple):
    """What the head says of the next frame.

    Attributes:
        clean: tokens of the clean latent `[B, N, token_width]`.
        reward: logits over reward bins `[B, 33]`.
        cont: logit that play goes on `[B]`.
        state: standardised exact state `[B, S]`.
    """

    clean: Tensor
    reward: Tensor
    cont: Tensor
    state: Tensor


class WorldModel(nn.Module):
    """Trunk and head; see the top of the file."""

    def __init__(self, config: WorldModelConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.token_in = nn.Linear(config.token_width, width)
        if config.earlier_width:
            self.change_in = nn.Linear(config.token_width, width, bias=False)
            nn.init.zeros_(self.change_in.weight)
        self.registers = nn.Parameter(torch.randn(config.registers, width) * 0.02)
        self.action = nn.Embedding(config.actions + 1, width)
        self.action_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.trunk = nn.ModuleList(Block(width, config.heads, config.kv_heads) for _ in range(config.depth))
        self.trunk_norm = nn.RMSNorm(width, eps=1e-6)
        if config.memory:
            head_width = width // config.heads
            memory_width = config.token_width * config.memory_pack[0] * config.memory_pack[1]
            columns = config.pack[1] if config.pan else 0  # of a token's cells, each with a key of its own
            layers = len(config.recall)
            self.write = Remember(memory_width, config.actions, width, head_width, layers, columns, PANORAMA_KEY)
            self.recall = nn.ModuleList(Recall(width, config.recall_heads, head_width) for _ in config.recall)
            if config.pan:
                self.panorama = ViewMemory(config.pan, config.actions, config.around)
                self.asked = nn.Linear(width, PANORAMA_KEY * columns, bias=False)
                self.found_in = nn.Linear(config.found_width, width)
                nn.init.zeros_(self.found_in.weight)

        self.noisy_in = nn.Linear(config.token_width, width)
        self.tau = FourierFeatures(width)
        self.tau_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.head = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.head_depth))
        self.head_norm = nn.RMSNorm(width, eps=1e-6)
        self.token_out = nn.Linear(width, config.token_width + config.gates)
        self.outcome_out = nn.Linear(width, len(REWARD_BINS) + 1 + config.state)
        if config.cell_width:
            (c, *_), (p, q) = config.latent_shape, config.pack
            seen = 4 * c if config.pan else 2 * c  # see `_of_cells`
            if config.inertia:
                seen += c
                sizes = c // config.pictures, config.inertia, config.actions, config.pictures
                self.inertia = MotionPrior(*sizes, config.largest)
            self.cell_layers = CellLayers(seen, config.cell_width, width, c + config.gates // (p * q))
        for layer in (self.action_modulation[1], self.tau_modulation[1], self.token_out, self.outcome_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

        pairs = width // config.heads // 2
        place_pairs = pairs * 3 // 10  # of rows, and as many of columns; the rest turns with time
        rows, columns = config.token_grid
        grid = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        place = torch.cat([axis_angles(grid[:, i], place_pairs, longest=32.0) for i in (0, 1)], dim=-1)
        place = torch.cat([torch.zeros(config.registers, 2 * place_pairs), place])  # registers stand for no place
        self.time_pairs = pairs - 2 * place_pairs
        self.register_buffer("place_angles", place, persistent=False)  # [M, 2 place_pairs]
        if config.inertia:
            self.register_buffer("leaning", self._leaning(), persistent=False)  # [N, gates]

    def to_tokens(self, latents: Tensor) -> Tensor:
        """`[..., C, h, w]` -> `[..., N, token_width]`."""
        rows, columns = self.config.pack
        return rearrange(latents, "... c (h p) (w q) -> ... (h w) (c p q)", p=rows, q=columns)

    def to_latents(self, tokens: Tensor) -> Tensor:
        """`[..., N, token_width]` -> `[..., C, h, w]`."""
        (p, q), (h, _) = self.config.pack, self.config.token_grid
        return rearrange(tokens, "... (h w) (c p q) -> ... c (h p) (w q)", p=p, q=q, h=h)

    def as_seen(self, tokens: Tensor) -> Tensor:
        """Tokens `[..., token_width]` of which no more is known than what is seen: the second picture as the first."""
        seen = tokens.unflatten(-1, self.config.cells)[..., :1, :, :]
        return seen.expand(*seen.shape[:-3], self.config.pictures, -1, -1).flatten(-3)

    def look(
        self,
        tokens: Tensor,
        actions: Tensor,
        past: Tensor | None = None,
        length: Tensor | None = None,
        log: Tensor | None = None,
        age: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the trunk over T frames.

        Args:
            tokens: clean `[B, T, N, token_width]`.
            actions: int64 `[B, T]`, the action taken on seeing each of them; A is the null action.
            past: cache entries of the P frames before, oldest first, `[B, P, L, M, 2 G E]`.
            length: int64 `[B]`, how many of the newest entries are real.
            log: what frames before the first of the T left in the log, `[B, S, Q, U]`.
            age: int64 `[B, S]`, how many frames before the first of the T; 0 for nothing.

        Returns:
            features of the frames to come `[B, T, M, D]`, with a panorama followed by what was found there, by the
            frame before each of the T and by how what moves goes on, `[B, T, M, D + found_width + earlier_width +
            onward_width]`; and the cache entries of the T frames `[B, T, L, M, 2 G E]`.
        """
        b, t, _, _ = tokens.shape
        x = self.token_in(tokens)
        if self.config.earlier_width:
            run, run_places = self._with_earlier(tokens, log, age)
            earlier = run[:, -t - 1 : -1]
            x = x + self.change_in(tokens - earlier)
        x = torch.cat([self.registers.expand(b, t, -1, -1), x], dim=2)  # [B, T, M, D]
        m = x.shape[2]
        shared = self.action_modulation(self.action(actions))[:, :, None]  # [B, T, 1, 6 D]
        time, mask = self._frame_positions(t, past, length)
        place = self._here()
        following = tokens.roll(-1, dims=1)  # what follows the last one is not known, and not looked at
        places = self.places(tokens, following, actions, log, age)
        log, age = self._whole_log(tokens, following, actions, places, log, age)
        pair = 2 * self.config.width // self.config.heads  # a key and a value of one recalling layer
        entries = []
        for index, block in enumerate(self.trunk):
            if log is not None and index in self.config.recall:
                layer = self.config.recall.index(index)
                x = x + self.recall[layer](x, log[..., layer * pair : (layer + 1) * pair], age, place)
            if index not in self.config.look_back:
                x = block.within(x.flatten(0, 1), shared.flatten(0, 1), place).unflatten(0, (b, t))
                continue
            modulation = block.modulation(shared)
            inner = block.attention_input(x, *modulation[:2]).flatten(1, 2)  # [B, T M, D]
            k, v = block.attention.keys_values(inner)
            entry = torch.cat([k, v], dim=-1)  # [B, G, T M, 2 E]
            entries.append(rearrange(entry, "b g (t m) e -> b t m (g e)", m=m))
            if past is not None:
                old = rearrange(past[:, :, len(entries) - 1], "b p m (g e) -> b g (p m) e", g=k.shape[1]).to(k.dtype)
                k, v = torch.cat([old, entry], dim=2).chunk(2, dim=-1)
            q = rotate(block.attention.queries(inner), self._angles(time[-t:]))
            attended = block.attention.attend(q, rotate(k, self._angles(time)), v, mask)
            x = block.finish(x, attended.unflatten(1, (t, m)), modulation)
        features = self.trunk_norm(x)
        if log is not None and self.config.pan:
            found = self._find(features, log[..., len(self.recall) * pair :], age, places[:, :, 0])
            features = torch.cat([features, found.to(features.dtype)], dim=-1)
            if self.config.earlier_width:
                earlier = F.pad(earlier, (0, 0, self.config.registers, 0))
                features = torch.cat([features, earlier.to(features.dtype)], dim=-1)
            if self.config.inertia:
                still = self.panorama.chance[actions].exp()[..., self.config.pan, None, None]
                run_places = torch.cat([run_places, places[:, :, 0, 0]], dim=1)
                onward = self.onward(run, actions, run_places)
                onward = torch.cat([onward, still.expand(-1, -1, onward.shape[2], -1)], dim=-1)
                onward = F.pad(onward, (0, 0, self.config.registers, 0))
                features = torch.cat([features, onward.to(features.dtype)], dim=-1)
        return features, torch.stack(entries, dim=2)

    def remember(self, before: Tensor, after: Tensor, actions: Tensor, places: Tensor) -> Tensor:
        """What frames leave in the log, once it is known what became of them.

        Args:
            before, after: tokens `[..., N, token_width]`. actions: int64 `[...]`, those between them.
            places: `[..., 2, P]`, where the view was before and after (see `places`).

        Returns:
            `[..., Q, U]`.
        """
        angles = self._here()[self.config.registers :]
        angles = self._memory_tokens(angles).unflatten(-1, (-1, angles.shape[-1])).mean(-2)
        left = self.write(self._memory_tokens(before), self._memory_tokens(after), actions, angles)
        if not self.config.pan:
            return left
        if self.config.around:
            places = torch.cat([places[..., :1].remainder(self.config.around), places[..., 1:]], dim=-1)
        places = places.flatten(-2)[..., None, :].to(left.dtype)
        return torch.cat([left, places.expand(*left.shape[:-1], -1)], dim=-1)

    def places(
        self,
        before: Tensor,
        after: Tensor,
        actions: Tensor,
        log: Tensor | None = None,
        age: Tensor | None = None,
    ) -> Tensor:
        """Where the view was in T frames and in those that followed: float32 `[B, T, 2, P]`, from where it was in the
        first frame that was retained (see `worldsim.models.view_memory`). A log keeps cells to the right exactly up to 2,048,
        in training up to 256; where the view comes round, only how far into a turn they are.

        Args:
            before, after: those frames, tokens `[B, T, N, token_width]`.
            actions, log, age: as for `look`.
        """
        if not self.config.pan:
            return torch.zeros(*actions.shape, 2, 1, device=actions.device)
        width = self.config.place_width
        start = torch.zeros(actions.shape[0], width, device=actions.device)
        if log is not None and age is not None:
            newest, known = _of_age(log, age, 1)
            start = newest[:, 0, 0, -width:].float() * known[:, None]
        return self.panorama.follow(
            start, *self.panorama.motion(self.to_latents(before), self.to_latents(after), actions)
        )

    def _with_earlier(self, tokens: Tensor, log: Tensor | None, age: Tensor | None) -> tuple[Tensor, Tensor]:
        """The T frames after the P before them that are of use, `[B, P + T, N, token_width]`, and how many cells to the
        right the view was in those P, float32 `[B, P]`. Where one is not known, it is as the one after it: nothing
        moved."""
        past = self.config.memory[0][0] if self.config.inertia else 1
        first = tokens[:, :1].expand(-1, past, -1, -1)
        if log is None or age is None:
            return torch.cat([first, tokens], dim=1), torch.zeros(*first.shape[:2], device=tokens.device)
        entries, known = _of_age(log, age, past)
        end = log.shape[-1] - 2 * self.config.place_width
        cells = entries[..., end - self.config.token_width : end]
        cells = cells.unflatten(-1, (self.config.pack[1], -1)).mT.flatten(-2)
        earlier = torch.where(known[:, None, None, None], cells.to(tokens.dtype), first)
        return torch.cat([earlier, tokens], dim=1), entries[:, :, 0, end].float() * known[:, None]

    def onward(self, run: Tensor, actions: Tensor, places: Tensor) -> Tensor:
        """How each of the T newest frames of `run` `[B, P + T, N, token_width]` goes on, with the actions taken on
        seeing them, `[B, T]`, and the view so many cells to the right in each, `[B, P + T]`: `[B, T, N, token_width]`.
        It learns alone: no gradient."""
        t = actions.shape[1]
        now = torch.arange(t, device=run.device)[:, None]
        index = now + torch.arange(run.shape[1] - t + 1, device=run.device)  # [T, P + 1]
        runs, actions, places = (x.flatten(0, 1) for x in (run[:, index], actions, places[:, index]))
        following = self.inertia(self.to_latents(runs), actions, places)
        return self.to_tokens(following.detach()).unflatten(0, (-1, t))

    def _find(self, features: Tensor, log: Tensor, age: Tensor | None, here: Tensor) -> Tensor:
        """What the panorama shows: features `[B, T, M, D]`, keys, cells and places of the log -> `[B, T, M,
        found_width]`."""
        r, reach, rows, q = self.config.registers, self.config.pan, self.config.token_grid[0], self.config.pack[1]
        keys, cells, place = log.tensor_split([PANORAMA_KEY * q, PANORAMA_KEY * q + self.config.token_width], dim=-1)
        where = place[:, :, 0, : self.config.place_width].float()
        # Side by side, columns are in the log as they are needed: no more than a view of it.
        stored = [rearrange(part, "b s (y x) (q c) -> b s y (x q) c", y=rows, q=q) for part in (keys, cells)]
        asked = rearrange(self.asked(features[:, :, r:]), "b t (y x) (c q) -> b t y (x q) c", y=rows, q=q)
        found = self.panorama(asked, *(part.to(asked.dtype) for part in stored), age, here, where)
        columns = range(0, found.shape[-1] - 2 * reach, q)
        parts = torch.stack([found[..., first : first + q + 2 * reach] for first in columns], dim=-2)
        return F.pad(rearrange(parts, "b t c y x k -> b t (y x) (c k)"), (0, 0, r, 0))

    def _memory_tokens(self, tokens: Tensor) -> Tensor:
        """`[..., N, D]` -> `[..., Q, N / Q D]`, those of one memory token side by side."""
        (p, q), (rows, _) = self.config.memory_pack, self.config.token_grid
        h = rows // p
        return rearrange(tokens, "... (h p w q) d -> ... (h w) (p q d)", h=h, p=p, q=q)

    def _whole_log(
        self,
        tokens: Tensor,
        following: Tensor,
        actions: Tensor,
        places: Tensor,
        log: Tensor | None,
        age: Tensor | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """The log of the frames before, and what each of the T frames leaves to those after it.

        Returns:
            `[B, S + T, Q, U]`, and the age of each as seen from each of the T, `[B, T, S + T]`; less than 1 is not
            looked at.
        """
        if not self.config.memory:
            return None, None
        b, t = actions.shape
        if log is not None and age is not None and t == 1:
            return log, age[:, None]
        now = torch.arange(t, device=tokens.device)
        own = self.remember(tokens, following, actions, places)
        own_age = (now[:, None] - now).expand(b, -1, -1)
        if log is None or age is None:
            return own, own_age
        older = torch.where(age[:, None] > 0, age[:, None] + now[:, None], 0)
        return torch.cat([log, own.to(log.dtype)], dim=1), torch.cat([older, own_age], dim=2)

    def denoise(self, features: Tensor, previous: Tensor, noisy: Tensor, tau: Tensor) -> HeadOutput:
        """Run the head once.

        Args:
            features: of the trunk `[B, M, D]`, or with what the panorama shows, the frame before `previous` and how
                what moves goes on.
            previous: tokens of the frame before `[B, N, token_width]`, to copy from.
            noisy: tokens of the frame to come at signal level tau `[B, N, token_width]`.
            tau: `[B]`.
        """
        r = self.config.registers
        width, known = self.config.width, self.config.width + self.config.found_width
        parts = [width, known, known + self.config.earlier_width]
        features, found, earlier, onward = features.tensor_split(parts, dim=-1)
        onward, still = onward[:, r:].tensor_split([self.config.token_width], dim=-1)
        x = features[:, r:] + self.noisy_in(noisy)
        if self.config.pan:
            x = x + self.found_in(found[:, r:])
        x = torch.cat([features[:, :r], x], dim=1)
        shared = self.tau_modulation(self.tau(tau))[:, None]  # [B, 1, 6 D]
        angles = self._here()
        for block in self.head:
            x = block.within(x, shared, angles)
        x = self.head_norm(x)
        made = self.token_out(x[:, r:]).float()
        if self.config.cell_width:
            made = made + self._of_cells(x[:, r:], previous, noisy, found[:, r:], earlier[:, r:], onward)
        change, gates = made.split([self.config.token_width, self.config.gates], dim=-1)
        outcome = self.outcome_out(x[:, 0]).float()
        reward, cont, state = outcome.split([len(REWARD_BINS), 1, self.config.state], dim=-1)
        # A still place is copied in float32 rather than made anew: no drift where nothing happens. What goes on by
        # itself is taken as it is, with no change: of the share that is copied from there the change is taken away.
        onward = onward.float()
        if self.config.inertia:
            onward = onward - change
            gates = gates + self.config.trust * still.float() * self.leaning
        copied = self._copied(previous.float(), found[:, r:].float(), onward, gates)
        return HeadOutput(copied + change, reward, cont[:, 0], state)

    def hold(self, before: Tensor, after: Tensor) -> Tensor:
        """Frames `after` within what latents can be (see `WorldModelConfig.largest`), but for the cells that have hardly
        changed since `before` (see `WorldModelConfig.still`), which stay as they were; both `[..., N, token_width]`."""
        if self.config.largest:
            after = after.clamp(-self.config.largest, self.config.largest)
        if not self.config.still:
            return after
        was, made = (tokens.unflatten(-1, self.config.cells) for tokens in (before, after))
        moved = (made - was).square().mean(-2, keepdim=True) >= self.config.still**2
        return torch.where(moved, made, was).flatten(-3)

    def _of_cells(
        self, x: Tensor, previous: Tensor, noisy: Tensor, found: Tensor, earlier: Tensor, onward: Tensor
    ) -> Tensor:
        """What the layers over single cells make of tokens `x` `[B, N, D]`, and of the cells of the previous frame, the
        noisy one, what the panorama shows where the view was, an earlier frame, and how what moves goes on: `[B, N,
        token_width + gates]`."""
        (c, *_), (p, q), pan = self.config.latent_shape, self.config.pack, self.config.pan
        seen = [previous, noisy]
        if pan:
            seen += [found.unflatten(-1, (-1, q + 2 * pan))[:, :, : c * p, pan : pan + q].flatten(-2), earlier]
        if self.config.inertia:
            seen.append(onward)
        cells = torch.cat([self.to_latents(tokens.to(x.dtype)) for tokens in seen], dim=1)
        held = rearrange(x, "b (y x) d -> b d y x", y=self.config.token_grid[0])
        return self.to_tokens(self.cell_layers(cells, held).float())

    def _copied(self, previous: Tensor, found: Tensor, onward: Tensor, gates: Tensor) -> Tensor:
        """What is taken over of the frame before `[B, N, token_width]`, in its place or a few cells away, of the
        panorama `[B, N, found_width]`, of the other picture, if there are two, and of what moves and goes on `[B, N,
        token_width]`."""
        reach, pan, (c, h, w) = self.config.copy_reach, self.config.pan, self.config.latent_shape
        if not reach:
            return gates.sigmoid() * previous
        (p, q), (rows, _), pictures = self.config.pack, self.config.token_grid, self.config.pictures
        shares = gates.unflatten(-1, (-1, pictures * p * q))
        shares = F.pad(shares, (0, 0, 1, 0)).softmax(-2)[:, :, 1:]  # the first one is nothing
        shares = rearrange(shares, "b (y x) s (k p q) -> s b k 1 (y p) (x q)", y=rows, k=pictures, p=p)
        here = self.to_latents(previous)
        around = F.pad(here, (reach,) * 4)
        steps = range(2 * reach + 1)
        places = [around[:, :, i : i + h, j : j + w] for i in steps for j in steps]
        if pan:
            parts = found.unflatten(-1, (-1, q + 2 * pan))[:, :, : c * p]
            places += [self.to_latents(parts[..., j : j + q].flatten(-2)) for j in range(2 * pan + 1)]
        if pictures == 2:
            places.append(here.roll(c // 2, dims=1))
        if self.config.inertia:
            places.append(self.to_latents(onward))
        parts = (place.unflatten(1, (pictures, -1)) for place in places)
        return self.to_tokens(sum(share * part for share, part in zip(shares, parts, strict=True)).flatten(1, 2))

    def _leaning(self) -> Tensor:
        """Which gates of a frame lean to inertia: 1 for those that copy it, but for cells at the edge, where what is
        there may have come from outside, and 0 for all others: `[N, gates]`."""
        _, h, w = self.config.latent_shape
        inner = F.pad(torch.ones(h - 2, w - 2), (1, 1, 1, 1)).expand(self.config.pictures, -1, -1)
        copies = self.to_tokens(inner)  # [N, pictures p q]
        return F.pad(copies, (self.config.gates - copies.shape[-1], 0))

    def _angles(self, frames: Tensor) -> Tensor:
        """Rotary angles of every token of the frames at `frames` `[F]` -> `[F M, E / 2]`."""
        m = self.place_angles.shape[0]
        time = axis_angles(frames, self.time_pairs, longest=64.0)[:, None].expand(-1, m, -1)
        return torch.cat([self.place_angles.expand(frames.shape[0], -1, -1), time], dim=-1).flatten(0, 1)

    def _here(self) -> Tensor:
        """Rotary angles of the tokens of one frame `[M, E / 2]`."""
        return self._angles(torch.zeros(1, device=self.place_angles.device))

    def _frame_positions(self, t: int, past: Tensor | None, length: Tensor | None) -> tuple[Tensor, Tensor]:
        """Positions of the P past and T new frames `[P + T]`, and which tokens see which `[B or 1, 1, T M, (P + T) M]`.

        A frame sees itself and the `window` frames before it; never a later one, never an empty place of the cache.
        """
        p = 0 if past is None else past.shape[1]
        here = torch.arange(p + t, device=self.place_angles.device)
        ago = here[p:, None] - here  # [T, P + T]
        seen = ((ago >= 0) & (ago <= self.config.window))[None]
        if length is not None:
            seen = seen & (here >= p - length[:, None])[:, None]
        m = self.place_angles.shape[0]
        return here, seen.repeat_interleave(m, dim=1).repeat_interleave(m, dim=2)[:, None]


def _of_age(log: Tensor, age: Tensor, oldest: int) -> tuple[Tensor, Tensor]:
    """The newest entries of each log `[B, S, Q, U]`, of ages from `oldest` to 1: `[B, oldest, Q, U]`, and whether there
    is any, bool `[B]`. Where there is none of an age, it is the oldest there is of those."""
    b, s, q, _ = log.shape
    ages = torch.arange(oldest, 0, -1, device=log.device)
    known = (age > 0) & (age <= oldest)
    is_it = age[:, None] == torch.minimum(ages, (age * known).amax(1, keepdim=True))[:, :, None]  # [B, oldest, S]
    row = torch.arange(b, device=log.device)[:, None] * s + is_it.long().argmax(2)
    entries = F.embedding(row, log.detach().flatten(0, 1).flatten(1)).unflatten(-1, (q, -1))
    return entries, known.any(1)
