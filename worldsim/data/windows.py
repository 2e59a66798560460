"""What training reads of a recording: frames for the autoencoder, windows of latents for the world model, by episode.

Every draw is a function of (seed, step): a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import numpy as np

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError

SLAB = 32  # frames read in a row
LAST = 8  # frames at the end of a window whose events it is drawn by


def draw_rng(seed: int, step: int) -> np.random.Generator:
    """Counter-based generator of one training step (Philox, Salmon et al. 2011)."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))


class FrameTable:
    """A seeded sample of frames held in memory, each with the frame before it.

    Args:
        recording: where they come from.
        split: "train" or "held-out".
        limit: how many frames to hold at most.
        seed: of the sample.

    Attributes:
        frames: uint8 `[n, H, W, 3]`.
        median: uint8 `[H, W, 3]`, of each pixel over the sample.

    Raises:
        WorldsimError: if the split has no episode, or a frame is damaged.
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
        self._with_previous = np.setdiff1d(np.arange(len(self.frames)), first)  # frames whose predecessor is here too
        self.median = np.median(self.frames[:: max(1, len(self.frames) // 256)], axis=0).astype(np.uint8)

    def draw(self, count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """`count` random frames and the frames before them, two of uint8 `[count, H, W, 3]`."""
        index = draw_rng(seed, step).choice(self._with_previous, count)
        return self.frames[index], self.frames[index - 1]


class Windows:
    """Seeded windows of `length` frames, none of which crosses an end of an episode.

    Args:
        spans: (start, end) of the episodes.
        length: frames of a window.
        events: weight of what happens in each frame of the recording, for draws by events.
        loss_frames: how many frames at the end of a window the loss is taken on; all if not given.

    Attributes:
        starts: int64, the first frame of every window.

    Raises:
        WorldsimError: if no episode is long enough.
    """

    def __init__(
        self,
        spans: list[tuple[int, int]],
        length: int,
        events: np.ndarray | None = None,
        loss_frames: int | None = None,
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
            weight[edge] = length if loss_frames is None else loss_frames
        self._weights = np.cumsum(weight)
        if events is not None:
            total = np.cumsum(np.concatenate([[0.0], events.astype(np.float64)]))
            end = self.starts + length
            self._event_weights = np.cumsum(total[end] - total[end - min(LAST, length)])

    def draw(self, count: int, seed: int, step: int, event_share: float = 0.0) -> np.ndarray:
        """Frame indices `[count, length]` of `count` random windows, a share `event_share` of them in proportion to the
        events in their last frames.

        The first and the last window of an episode are drawn `loss_frames` times as often as the others. Only they put
        the loss on the episode's first and last frames, which must be seen as often as all others, or the model would
        underestimate how often episodes end. (Frames near them are seen up to twice as often.)
        """
        rng = draw_rng(seed, step)
        start = self.starts[np.searchsorted(self._weights, rng.random(count) * self._weights[-1], side="right")]
        if some := round(event_share * count):
            start[:some] = self.starts[np.searchsorted(self._event_weights, rng.random(some) * self._event_weights[-1])]
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
