"""What training reads of a recording: frames for the autoencoder, windows of latents for the dynamics, split by episode.

Every draw is a function of (seed, step), so a resumed training sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError

SLAB = 32  # frames read in a row
LAST = 8  # frames of a window by which it is drawn


def draw_rng(seed: int, step: int) -> np.random.Generator:
    """Counter-based generator of one training step (Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))


class FrameTable:
    """A seeded sample of frames held in memory, each with the frame before it.

    Args:
        recording: where they come from. split: "train" or "held-out".
        limit: how many frames to hold at most.
        seed: which ones.
    """

    def __init__(self, recording: Recording, split: str, limit: int, seed: int = 0):
        spans = [(a, b) for a, b in recording.episodes(split) if b - a >= 2]
        if not spans:
            raise WorldsimError(f"{recording.path} has no {split} episodes; record at least ten (more --frames)")
        slabs = [(s, min(s + SLAB, b)) for a, b in spans for s in range(a, b - 1, SLAB)]
        order = draw_rng(seed, 0).permutation(len(slabs))
        keep = sorted(order[: max(1, limit // SLAB)])
        parts = [np.asarray(recording.frames[slabs[i][0] : slabs[i][1]]) for i in keep]
        self.frames = np.concatenate(parts)  # uint8 [n, H, W, 3]
        first = np.cumsum([0, *(len(p) for p in parts[:-1])])
        self.seconds = np.setdiff1d(np.arange(len(self.frames)), first)  # frames whose predecessor is here too
        self.median = np.median(self.frames[:: max(1, len(self.frames) // 256)], axis=0).astype(np.uint8)

    def draw(self, count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` random frames and the frames before them, two of uint8 `[count, H, W, 3]`."""
        index = draw_rng(seed, step).choice(self.seconds, count)
        return self.frames[index], self.frames[index - 1]


class Windows:
    """Seeded windows of `length` frames, none of which crosses an end of an episode.

    Args:
        spans: (start, end) of the episodes.
        length: frames of a window.
        change: how much happens in each frame of the recording, for draws by it.
        taught: how many frames at the end of a window are learned from; all if not given.
    """

    def __init__(
        self,
        spans: list[tuple[int, int]],
        length: int,
        change: np.ndarray | None = None,
        taught: int | None = None,
    ):
        starts = [np.arange(a, b - length + 1) for a, b in spans if b - a >= length]
        if not starts:
            longest = max((b - a for a, b in spans), default=0)
            raise WorldsimError(f"no episode is as long as a window of {length} frames (the longest has {longest})")
        self.starts = np.concatenate(starts)
        self.length = length
        weight = np.ones(len(self.starts))
        last = np.cumsum([len(s) for s in starts]) - 1
        for edge in (last, last - [len(s) - 1 for s in starts]):
            weight[edge] = length if taught is None else taught
        self._weights = np.cumsum(weight)
        if change is not None:
            total = np.cumsum(np.concatenate([[0.0], change.astype(np.float64)]))
            end = self.starts + length
            self.happens = np.cumsum(total[end] - total[end - min(LAST, length)])

    def draw(self, count: int, seed: int, step: int, eventful: float = 0.0) -> np.ndarray:
        """Frame indices `[count, length]` of `count` random windows; a share `eventful` of them by what happens in the
        last frames.

        The first and the last window of an episode come `taught` times as often as the others: they alone teach the
        first and the last frame that can be taught, which must be seen as often as others, or an end would be thought
        rarer than it is. (Those near them are seen up to twice as often.)
        """
        rng = draw_rng(seed, step)
        start = self.starts[np.searchsorted(self._weights, rng.random(count) * self._weights[-1], side="right")]
        if some := round(eventful * count):
            start[:some] = self.starts[np.searchsorted(self.happens, rng.random(some) * self.happens[-1])]
        return start[:, None] + np.arange(self.length)

    def spread(self, count: int) -> np.ndarray:
        """Frame indices `[count, length]` of windows spread evenly over the episodes."""
        start = self.starts[np.linspace(0, len(self.starts) - 1, count).astype(int)]
        return start[:, None] + np.arange(self.length)


def start_windows(recording: Recording, split: str, length: int) -> Windows:
    """Windows of `length` frames that play may begin with: in the last frame of none of them is the episode over.

    Args:
        split: "train", "held-out" or "all".

    Raises:
        WorldsimError: if no episode is long enough.
    """
    return Windows([(start, end - 1) for start, end in recording.episodes(split)], length)


def frame_batches(recording: Recording, size: int) -> Iterator[tuple[int, np.ndarray]]:
    """All frames in order, as (index of the first, uint8 `[<= size, H, W, 3]`)."""
    for start in range(0, len(recording), size):
        yield start, np.asarray(recording.frames[start : min(start + size, len(recording))])
