"""What is asked of imagining: what is given of a clip, how much is leaned on what, and what can't be had. No networks.

T frames, H x W pixels.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import NamedTuple

import cv2
import numpy as np

from worldsim.data.sketch import drawn_lines, hollow
from worldsim.errors import WorldsimError
from worldsim.models.token_sampler import SAMPLERS
from worldsim.models.words import MOST_WORDS, split_words
from worldsim.runtime.sampler_defaults import MOST_GUIDANCE, MOST_STEPS

LEAST_SIDE, MOST_SIDE = 32, 256  # pixels
MOST_FRAMES = 1 + 4 * 255
THIN = 30  # of 255: how much of a pixel a line of a larger drawing fills at least


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """What is given of a clip; frames are uint8 RGB `[n, H, W, 3]` of its size.

    Attributes:
        head: its first frames, of which the last 4 k + 1 are used. tail: its last ones, of which the first 4 k + 1 are.
        clip: all of them, to be changed; goes with neither head nor tail.
        region: bool `[H, W]`, where the clip is painted anew, in whole tokens; everywhere if None.
        level: share of what was there that noise leaves where the clip is painted, 0 to below 1.
        sketch: a drawing that the first frame follows, dark on light or light on dark, uint8 RGB `[H', W', 3]`; it is
            cut and resized, and stands alone with words.
        source: a whole clip to be made again as the words say; stands alone with them.
    """

    head: np.ndarray | None = None
    tail: np.ndarray | None = None
    clip: np.ndarray | None = None
    region: np.ndarray | None = None
    level: float = 0.0
    sketch: np.ndarray | None = None
    source: np.ndarray | None = None


class Guidance(NamedTuple):
    """How much is leaned on the words, and on the source that is made again; 1 for no more than was learned."""

    words: float = 3.0
    source: float = 1.5

    def passes(self, text: str, sourced: bool) -> dict[tuple[str, bool], float]:
        """What the model is asked, and what each answer counts: (words, whether it is shown the source) -> weight.

        Classifier-free guidance (Ho & Salimans 2022), with a source twice (InstructPix2Pix, equation 3):
        e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)).
        """
        source = self.source if sourced else 1.0
        weights: dict[tuple[str, bool], float] = collections.defaultdict(float)
        weights[text, sourced] += self.words
        weights["", sourced] += source - self.words
        weights["", False] += 1 - source
        return {asked: weight for asked, weight in weights.items() if weight}


def check_request(
    cell: tuple[int, int],
    given: Given,
    text: str,
    size: tuple[int, int],
    frames: int,
    steps: int,
    guidance: Guidance,
    seed: int,
    sampler: str,
) -> None:
    """Refuse what can't be imagined, before anything is.

    `cell` is (rows, columns) of a token in pixels; the rest is as for `worldsim.runtime.imagine.imagine`.

    Raises:
        WorldsimError: which names the thing and the way out.
    """
    sides = zip(size, cell, strict=True)
    if any(not LEAST_SIDE <= side <= MOST_SIDE or side % part for side, part in sides):
        rows, columns = cell
        raise WorldsimError(
            f"a size of {size[1]}x{size[0]}: give a width that is a multiple of {columns} and a height that is one of "
            f"{rows}, from {LEAST_SIDE} to {MOST_SIDE}"
        )
    if frames < 1 or frames % 4 != 1 or frames > MOST_FRAMES:
        nearest = min(max(4 * round((frames - 1) / 4) + 1, 1), MOST_FRAMES)
        raise WorldsimError(f"{frames} frames: clips have 4 k + 1 of them, up to {MOST_FRAMES}; try {nearest}")
    if not 1 <= steps <= MOST_STEPS:
        raise WorldsimError(f"{steps} steps: give 1 to {MOST_STEPS}")
    for scale in guidance:
        if not (math.isfinite(scale) and 0 <= scale <= MOST_GUIDANCE):
            raise WorldsimError(f"a guidance of {scale}: give 0 to {MOST_GUIDANCE:g}; 1 for none")
    if not 0 <= seed < 2**64:
        raise WorldsimError(f"seed {seed}: give 0 or more")
    if sampler not in SAMPLERS:
        raise WorldsimError(f"no sampler {sampler!r}; there are {', '.join(SAMPLERS)}")
    if len(split_words(text)) > MOST_WORDS:
        raise WorldsimError(f"a prompt of {len(split_words(text))} words; at most {MOST_WORDS} are read")
    _check_given(given, size, frames)
    _check_guides(given, text, frames)


def _check_guides(given: Given, text: str, frames: int) -> None:
    there = [name for name in ("head", "tail", "clip", "sketch", "source") if getattr(given, name) is not None]
    if len(there) > 1 and {"sketch", "source"} & set(there):
        raise WorldsimError(f"{' and '.join(there)} are given: a sketch or a source stands alone with words")
    if given.sketch is not None and not drawn_lines(given.sketch).any():
        raise WorldsimError("nothing is drawn in the sketch that is given; draw dark lines on light, or light on dark")
    if given.source is not None:
        if not text.strip():
            raise WorldsimError("a clip is made again as words say; say how it is to look, as in 'at night'")
        if len(given.source) != frames:
            raise WorldsimError(f"a clip of {len(given.source)} frames is made again with as many, not with {frames}")


def _check_given(given: Given, size: tuple[int, int], frames: int) -> None:
    for name in ("head", "tail", "clip", "source"):
        part = getattr(given, name)
        if part is not None and (part.ndim != 4 or not len(part) or part.shape[1:] != (*size, 3)):
            raise WorldsimError(f"the {name} that is given is {list(part.shape)}, not frames of {size[1]}x{size[0]}")
    if given.clip is not None:
        if given.head is not None or given.tail is not None:
            raise WorldsimError("a clip that is changed is given whole, without head or tail")
        if len(given.clip) != frames:
            raise WorldsimError(f"a clip of {len(given.clip)} frames is changed to as many, not to {frames}")
        if not 0 <= given.level < 1:
            raise WorldsimError(
                f"a level of {given.level}: give 0 (all anew) to below 1 (nothing); 0.3 to 0.6 are usual"
            )
        if given.region is not None and given.region.shape != size:
            raise WorldsimError(f"a region of {given.region.shape} in frames of {size}")
    elif given.region is not None or given.level:
        raise WorldsimError("a region or a level is of a clip that is changed; give that clip")
    there = sum(len(part) for part in (given.head, given.tail) if part is not None)
    if given.head is not None and given.tail is not None and there >= frames:
        raise WorldsimError(f"{there} of {frames} frames are given: nothing is left to join; ask for more frames")
    if there > frames:
        raise WorldsimError(f"{there} frames are given, and {frames} asked for; ask for more frames")


def fit(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frames uint8 `[n, H', W', 3]` cut to the shape of `size` (height, width) around their middle, and resized."""
    height, width = size
    h, w = frames.shape[1:3]
    ch, cw = min(h, max(1, round(w * height / width))), min(w, max(1, round(h * width / height)))
    top, left = (h - ch) // 2, (w - cw) // 2
    cut = frames[:, top : top + ch, left : left + cw]
    how = cv2.INTER_AREA if ch >= height else cv2.INTER_NEAREST
    return np.stack([np.asarray(cv2.resize(x, (width, height), interpolation=how), np.uint8) for x in cut])


def read_sketch(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Lines of a drawing uint8 `[H', W', 3]`, fitted to `size` (height, width): uint8 `[H, W]`, 255 on a line."""
    large = size[0] * 4, size[1] * 4
    if picture.shape[0] > large[0] and picture.shape[1] > large[1]:
        picture = fit(picture[None], large)[0]
    lines = np.repeat(drawn_lines(picture)[None, ..., None], 3, axis=-1)
    return hollow(np.where(fit(lines, size)[0, ..., 0] > THIN, 255, 0).astype(np.uint8))
