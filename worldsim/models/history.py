"""History: the one value that travels from frame to frame. Knows no numpy and no torch.

B batch, W window, L x M x F one frame's cache entry, S frames in memory, Q x U what each of them left there, P numbers
of a pose.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class History(NamedTuple):
    """What a world knows of the frames before the one on screen, as numpy arrays or as tensors.

    Attributes:
        cache: float16 `[B, W, L, M, F]`, keys and values of those frames, oldest first.
        length: int64 `[B]`, how many of the newest cache entries are real.
        memory: float16 `[B, S, Q, U]`, what older frames left in memory; None without memory, as the next two.
        age: int64 `[B, S]`, how many frames before the one on screen each of them is; 0 for an empty slot.
        pose: float32 `[B, S, 2 P]`, where the view was in each of them and in the frame that followed; None without a
            view memory.
    """

    cache: Any = None
    length: Any = None
    memory: Any = None
    age: Any = None
    pose: Any = None
