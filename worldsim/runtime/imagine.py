"""Imagining: words, pictures, sketches, clips -> a clip. One function; a mode is what is given and where noise begins.

    nothing given             words -> clip, or with one frame, picture
    head                      picture -> clip, or a clip goes on
    tail                      what came before
    head and tail             what lies between
    clip and region           the region is painted anew
    clip at a level           the same in other words (SDEdit, Meng et al. 2022): 0.3 changes much, 0.6 little
    sketch                    a clip whose first frame follows a drawing (ControlNet, Zhang et al. 2023)
    source                    the same clip in another look (InstructPix2Pix, Brooks et al. 2023)

Longer clips than the model's are made window by window, each beginning with the end of the one before. Knows no files.

T frames, t latent frames, C channels, H x W pixels, S tokens, V numbers of a token.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worldsim.device import mixed_precision
from worldsim.models.autoencoder import to_frames, to_pixels
from worldsim.models.flow import advance
from worldsim.models.guides import guide_tokens
from worldsim.models.token_sampler import SAMPLERS, Denoiser, StepRule, sample
from worldsim.models.video_autoencoder import SPACE, VideoAutoencoder
from worldsim.models.video_dit import Tokens, VideoDiT, places, to_latents, to_tokens
from worldsim.rng import frame_noise
from worldsim.runtime.request import Given, Guidance, check_request, read_sketch
from worldsim.runtime.sampler_defaults import MOST_STEPS, USUAL, SamplerDefaults

WINDOW = 17  # frames made at once
OVERLAP = 5  # frames of the window before that a window begins with
JOINED = 9  # frames of what a clip leads to that are looked at


@dataclasses.dataclass(frozen=True, eq=False)
class Imaginer:
    """The networks that imagine, in evaluation mode on one device, and how they are sampled."""

    autoencoder: VideoAutoencoder
    dit: VideoDiT
    defaults: SamplerDefaults = USUAL

    @property
    def cell(self) -> tuple[int, int]:
        """Pixels of a token, (rows, columns)."""
        return self.dit.config.patch_size[0] * SPACE, self.dit.config.patch_size[1] * SPACE

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.dit.out.weight.device

    def leaning(self, guidance: float | None, source_guidance: float | None) -> Guidance:
        """As asked for, or as it is made for: a distilled model leans by itself on words and sources."""
        usual = Guidance() if self.defaults.guidance != 1 else Guidance(1.0, 1.0)
        words = self.defaults.guidance if guidance is None else guidance
        return Guidance(words, usual.source if source_guidance is None else source_guidance)

    def encode(self, frames: np.ndarray) -> Tensor:
        """uint8 `[T, H, W, 3]` -> clean tokens `[t, h w, V]`."""
        with mixed_precision(self.device):
            latents = self.autoencoder.encode(to_pixels(torch.from_numpy(frames).to(self.device))[None])
        return to_tokens(latents[0][:, None], self.dit.config.patch_size)

    def decode(self, tokens: Tensor, extent: tuple[int, int, int]) -> np.ndarray:
        """Clean tokens `[S, V]` of a clip of (t, h, w) -> uint8 `[T, H, W, 3]`."""
        latents = to_latents(tokens[None], extent, self.dit.config.patch_size)
        with mixed_precision(self.device):
            return to_frames(self.autoencoder.decode(latents)[0]).cpu().numpy()

    def denoiser(
        self,
        extent: tuple[int, int, int],
        given: Tensor,
        text: str,
        guidance: Guidance,
        sketch: np.ndarray | None = None,
        source: np.ndarray | None = None,
    ) -> Denoiser:
        """A denoiser of one clip.

        Args:
            extent: (t, h, w). given: tokens that are, bool `[S]`.
            text: what is told. guidance: how much it leans on that, and on the source.
            sketch: of the first frame, uint8 `[H, W]`. source: clip to be made again, uint8 `[T, H, W, 3]`.
        """
        passes = guidance.passes(text, source is not None)
        rows = len(passes)
        words = self.dit.text.tokens([words for words, _ in passes]).to(self.device)[:, None]
        weights = torch.tensor(list(passes.values()), device=self.device)[:, None, None]
        place, size = (x.to(self.device).expand(rows, -1, -1) for x in places(extent))
        flags = given.expand(rows, -1)
        lines = None if sketch is None else torch.from_numpy(sketch)[None].to(self.device) / 255
        tokens_of_source = None if source is None else self.encode(source).flatten(0, 1)
        guides = [
            guide_tokens(extent, self.dit.config.token_width, lines, tokens_of_source if shown else None)
            for _, shown in passes
        ]
        guide = torch.stack([g.to(self.device) for g in guides])

        def denoise(noisy: Tensor, tau: Tensor) -> Tensor:
            tokens = Tokens(noisy.expand(rows, -1, -1), place, size, tau.expand(rows, -1), flags, guide)
            with mixed_precision(self.device):
                answers: Tensor = self.dit(tokens, words)
            return (weights * answers).sum(0)

        return denoise


@torch.no_grad()
def imagine(
    model: Imaginer,
    given: Given | None = None,
    text: str = "",
    size: tuple[int, int] = (64, 64),
    frames: int = WINDOW,
    steps: int = 0,
    guidance: float | None = None,
    seed: int = 0,
    sampler: str = "euler",
    source_guidance: float | None = None,
) -> np.ndarray:
    """A clip of what is given and what is told.

        imagine(model, text="a red ball and a green block, at night")
        imagine(model, Given(head=picture[None]), "the red ball is rolling to the left", frames=33)
        imagine(model, Given(source=clip), "at night", frames=len(clip))

    Args:
        model: the networks.
        given: what is there already; nothing if None.
        text: plain words; "" for none.
        size: (height, width) in pixels.
        frames: of the result, 4 k + 1, what is given among them.
        steps: denoising passes a window; 0 for as many as the model is made for.
        guidance: how much it leans on the words; 1 for no more than was learned, None for as the model is made for.
        seed: the same seed gives the same clip.
        sampler: a key of `SAMPLERS`.
        source_guidance: how much it leans on a source that is made again; None as above.

    Returns:
        uint8 RGB `[frames, H, W, 3]`; frames and regions that are given are in it unchanged.

    Raises:
        WorldsimError: for sizes, numbers or combinations that can't be had; each names the way out.
    """
    given = given or Given()
    steps = steps or model.defaults.steps
    leaning = model.leaning(guidance, source_guidance)
    check_request(model.cell, given, text, size, frames, steps, leaning, seed, sampler)

    def window(number: int, part: Given, length: int) -> np.ndarray:
        return _window(model, part, text, size, length, steps, leaning, (seed, number), SAMPLERS[sampler])

    if given.clip is not None or given.source is not None:
        return _change(window, given, frames)
    if given.head is None and given.tail is not None:
        return _backwards(window, _whole_groups(given.tail), frames)
    return _forwards(window, given, frames)


@torch.no_grad()
def imagine_pictures(
    model: Imaginer,
    text: str,
    size: tuple[int, int] = (64, 64),
    count: int = 8,
    seed: int = 0,
    steps: int = 0,
    guidance: float | None = None,
) -> np.ndarray:
    """Several pictures of one text at once, those of `worldsim.runtime.painter.Painter` up to rounding.

    Args:
        model, text, size, steps, guidance: as for `imagine`.
        count: of the pictures. seed: of their noise; the first one is what `imagine` makes of it.

    Returns:
        uint8 RGB `[count, H, W, 3]`.

    Raises:
        WorldsimError: as `imagine`.
    """
    steps, leaning = steps or model.defaults.steps, model.leaning(guidance, None)
    check_request(model.cell, Given(), text, size, 1, steps, leaning, seed, "euler")
    extent = (1, size[0] // model.cell[0], size[1] // model.cell[1])
    place, whole = (x.to(model.device).expand(count, -1, -1) for x in places(extent))
    shape = (place.shape[1], model.dit.config.token_width)
    noisy = torch.from_numpy(np.stack([frame_noise(seed, n, shape) for n in range(count)])).to(model.device)
    passes = leaning.passes(text, False)
    words = [model.dit.text.tokens([told]).to(model.device).expand(count, -1)[:, None] for told, _ in passes]
    levels = [i / steps for i in range(steps + 1)]
    with mixed_precision(model.device):
        for tau, following in itertools.pairwise(levels):
            level = noisy.new_full(noisy.shape[:2], tau)
            tokens = Tokens(noisy, place, whole, level, torch.zeros_like(level, dtype=torch.bool))
            clean = sum(weight * model.dit(tokens, told) for told, weight in zip(words, passes.values(), strict=True))
            noisy = advance(noisy, clean, tau, following)
        latents = to_latents(noisy, extent, model.dit.config.patch_size)
        return to_frames(model.autoencoder.decode(latents)[:, 0]).cpu().numpy()


def _forwards(window: Callable[[int, Given, int], np.ndarray], given: Given, frames: int) -> np.ndarray:
    """Window after window; the last one, of as many frames as it may have, leads to the tail if there is one."""
    tail = None if given.tail is None else _whole_groups(given.tail)
    lead, after = (None, None) if tail is None else (tail[:JOINED], tail[JOINED:])
    frames -= 0 if after is None else len(after)
    made = None if given.head is None else given.head[(len(given.head) - 1) % 4 :]
    number = 0
    while made is None or len(made) < frames:
        context = None if made is None else made[-OVERLAP:]
        seen = 0 if context is None else len(context)
        missing = frames - (0 if made is None else len(made))
        last = missing <= WINDOW - seen
        new = missing if last else min(WINDOW - seen, missing - (0 if lead is None else WINDOW - OVERLAP))
        part = Given(context, lead if last else None, sketch=given.sketch if made is None else None)
        following = window(number, part, seen + new)
        made = following if made is None else np.concatenate([made, following[seen:]])
        number += 1
    return made if after is None else np.concatenate([made, after])


def _backwards(window: Callable[[int, Given, int], np.ndarray], tail: np.ndarray, frames: int) -> np.ndarray:
    made, number = tail, 0
    while len(made) < frames:
        context = made[:OVERLAP]
        new = min(WINDOW - len(context), frames - len(made))
        made = np.concatenate([window(number, Given(tail=context), new + len(context))[:new], made])
        number += 1
    return made


def _whole_groups(tail: np.ndarray) -> np.ndarray:
    """The first 4 k + 1 frames of a tail."""
    return tail[: (len(tail) - 1) // 4 * 4 + 1]


def _change(window: Callable[[int, Given, int], np.ndarray], given: Given, frames: int) -> np.ndarray:
    """Window after window along a clip or a source of so many frames."""

    def part(begin: int, head: np.ndarray | None) -> Given:
        clip, source = (None if x is None else x[begin : begin + WINDOW] for x in (given.clip, given.source))
        return dataclasses.replace(given, clip=clip, source=source, head=head)

    made = window(0, part(0, None), min(frames, WINDOW))
    for number in itertools.count(1):
        if len(made) == frames:
            break
        begin = len(made) - OVERLAP
        following = window(number, part(begin, made[begin:]), min(frames - begin, WINDOW))
        made = np.concatenate([made, following[OVERLAP:]])
    return made


def _window(
    model: Imaginer,
    given: Given,
    text: str,
    size: tuple[int, int],
    frames: int,
    steps: int,
    guidance: Guidance,
    seed: tuple[int, int],
    rule: StepRule,
) -> np.ndarray:
    """One window of `frames` frames: lay out what is given, sample the rest, and put the given frames back."""
    t = 1 + (frames - 1) // 4
    extent = (t, size[0] // model.cell[0], size[1] // model.cell[1])
    known, start = lay_out(model, given, extent)
    shape = tuple(known.shape)

    def noise(draw: int) -> Tensor:
        number = seed[1] * (MOST_STEPS + 1) + draw
        return torch.from_numpy(frame_noise(seed[0], number, shape)).to(model.device)

    sketch = None if given.sketch is None else read_sketch(given.sketch, size)
    denoise = model.denoiser(extent, start == 1, text, guidance, sketch, given.source)
    made = model.decode(sample(denoise, known, start, steps, rule, noise), extent)
    if given.clip is not None and given.region is not None:
        kept = ~_whole_tokens(given.region, model.cell)
        made[:, kept] = given.clip[:, kept]
    if given.head is not None:
        made[: len(given.head)] = given.head
    if given.tail is not None:
        made[-len(given.tail) :] = given.tail
    return made


def lay_out(model: Imaginer, given: Given, extent: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Known tokens `[S, V]` of a clip of (t, h, w), and the signal level that each begins with `[S]`: 1 where given."""
    t, h, w = extent
    known = torch.zeros(t, h * w, model.dit.config.token_width, device=model.device)
    start = torch.zeros(t, h, w, device=model.device)
    if given.clip is not None:
        known[:] = model.encode(given.clip)
        start[:] = given.level
        if given.region is not None:
            painted = torch.from_numpy(_cells(given.region, model.cell)).to(model.device)
            start[:, ~painted] = 1.0
    if given.head is not None:
        head = model.encode(given.head)
        known[: len(head)], start[: len(head)] = head, 1.0
    if given.tail is not None:
        count = max(1, math.ceil((len(given.tail) - 1) / 4))  # latent frames, the first one's own left out
        before = np.repeat(given.tail[:1], 4 * count + 1 - len(given.tail), axis=0)
        tail = model.encode(np.concatenate([before, given.tail]))[1:]
        known[-count:], start[-count:] = tail, 1.0
    return known.flatten(0, 1), start.flatten()


def _cells(region: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Tokens that a region `[H, W]` touches, bool `[h, w]`."""
    rows, columns = cell
    h, w = region.shape
    return np.asarray(region.reshape(h // rows, rows, w // columns, columns).any((1, 3)))


def _whole_tokens(region: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    return _cells(region, cell).repeat(cell[0], 0).repeat(cell[1], 1)
