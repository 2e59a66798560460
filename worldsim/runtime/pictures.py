"""A picture as a place to begin: read with bounds, fitted to a world, held still for a context, and judged before play.

    picture = fitted(read_picture("scene.png"), session.spec)
    strange = Strangeness(session); strange.of_frames(picture[None])[0] > strange.limit     # unlike anything learned
    frames, actions = standing_still(picture[None], session.spec, session.runtime.sizes)

Knows no window and no painter.

N pictures, T frames, H x W pixels, C x h x w latents.
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from worldsim.models.retention import context
from worldsim.runtime.bundle import Bundle, Sizes
from worldsim.runtime.savefile import Beginning
from worldsim.runtime.session import Session
from worldsim.safe_read import PIXELS, PNG, read_bytes, reading
from worldsim.spec import WorldSpec

LARGEST = 64 << 20  # bytes of the file
WAY_OUT = "Give a PNG or JPEG picture."
SUFFIXES = (".png", ".jpg", ".jpeg")
SCORED_STARTS = 12
SLACK = 1.25  # times as strange as the strangest start: still like what was learned


def read_picture(path: str | Path) -> np.ndarray:
    """A PNG or JPEG picture as uint8 RGB `[H, W, 3]`.

    Raises:
        WorldsimError: if it is neither, cut, or so large that it is not even unpacked.
    """
    data = read_bytes(path, LARGEST, WAY_OUT)
    with reading(path, WAY_OUT):
        height, width = _size(data)
        if not 0 < height * width <= PIXELS:
            raise ValueError(f"{width:,}x{height:,} pixels; at most {PIXELS:,} are read")
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if found is None:
            raise ValueError("cut or damaged")
        return np.ascontiguousarray(found[..., ::-1], np.uint8)


def fitted(picture: np.ndarray, world: WorldSpec) -> np.ndarray:
    """A picture, uint8 RGB `[h, w, 3]`, as a frame `[H, W, 3]`: the largest part of its middle that has that shape."""
    height, width = picture.shape[:2]
    scale = min(height / world.height, width / world.width)
    high, wide = max(1, round(world.height * scale)), max(1, round(world.width * scale))
    top, left = (height - high) // 2, (width - wide) // 2
    part = picture[top : top + high, left : left + wide]
    way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (world.width, world.height), interpolation=way), np.uint8)


def fitting(picture: np.ndarray, world: WorldSpec) -> str:
    """What `fitted` does to a picture, for people; "" if it has the world's size."""
    height, width = picture.shape[:2]
    if (height, width) == (world.height, world.width):
        return ""
    return f"fitted from {width}x{height} to {world.width}x{world.height}"


def standing_still(frames: np.ndarray, world: WorldSpec, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """A past in which nothing was done: frames of any size, uint8 `[n, h, w, 3]`, fitted to the world, the first of
    them held for as long as its context wants more; and the no-op between them.

    Returns:
        uint8 `[T, H, W, 3]` and int64 `[T-1]`.
    """
    shown = np.stack([fitted(frame, world) for frame in frames])
    missing = max(0, context(sizes.window, sizes.retention) - len(shown))
    past = np.concatenate([np.repeat(shown[:1], missing, axis=0), shown])
    return past, np.full(len(past) - 1, world.noop, np.int64)


def begun_with(frames: np.ndarray, world: Bundle, seed: int) -> Beginning:
    """Play that begins with frames from elsewhere; a picture is one frame."""
    return Beginning(None, seed, *standing_still(frames, world.spec, world.sizes))


class Strangeness:
    """How unlike a world's own pictures others are, as a multiple of the median of its starts.

    A frame is encoded, decoded and encoded again, and the latents compared: encoder and decoder are inverse to each
    other on what they were trained on, and nowhere else.

    Args:
        session: of a world; without starts, multiples are of one standard deviation of a latent.

    Attributes:
        real: how far the median of the starts is from itself, in standard deviations of a latent.
        limit: above it, a picture is unlike anything that the world has learned: `SLACK` times the strangest start.
    """

    def __init__(self, session: Session):
        self._runtime = session.runtime
        self._seen = self._runtime.sizes.latents[0] // self._runtime.sizes.layers  # channels, without a hidden layer
        self.real, self.limit = 1.0, SLACK
        if (starts := self._runtime.starts) is not None:
            apart = self.apart(self._runtime.encode(starts.frames[:SCORED_STARTS, -1:])[:, 0])
            self.real = max(1e-6, float(np.median(apart)))
            self.limit = SLACK * float(apart.max()) / self.real

    def of_frames(self, frames: np.ndarray) -> np.ndarray:
        """Of pictures of the world's size, uint8 `[N, H, W, 3]` -> `[N]`."""
        return self.of_latents(self._runtime.encode(frames[:, None])[:, 0])

    def of_latents(self, latents: np.ndarray) -> np.ndarray:
        """Of pictures by their latents, float32 `[N, C, h, w]` -> `[N]`."""
        return self.relative(self.apart(latents))

    def relative(self, apart: np.ndarray) -> np.ndarray:
        """Distances, as `apart` and `Session.ood` give them, as multiples of the median of the starts."""
        return np.asarray(apart / self.real)

    def apart(self, latents: np.ndarray) -> np.ndarray:
        """How far latents float32 `[N, C, h, w]` are from those of their decoded frames, in standard deviations of a
        latent, `[N]`."""
        again = self._runtime.encode(self._runtime.decode(latents[:, None]))[:, 0]
        return np.asarray(np.sqrt(np.square(again - latents)[:, : self._seen].mean((1, 2, 3))))

    def verdict(self, strangeness: float) -> str:
        """What to say of a picture, for people: "like what the world has learned (1.12, up to 1.46 is)"."""
        if strangeness <= self.limit:
            return f"like what the world has learned ({strangeness:.2f}, up to {self.limit:.2f} is)"
        return f"unlike anything the world has learned ({strangeness:.2f}, up to {self.limit:.2f} is like it)"


def _size(data: bytes) -> tuple[int, int]:
    """Height and width that a PNG or JPEG file says it has."""
    if data.startswith(PNG):
        width, height = struct.unpack(">II", data[16:24])
        return height, width
    if data.startswith(b"\xff\xd8"):
        at = 2
        while True:
            marker, length = struct.unpack(">HH", data[at : at + 4])
            if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):  # a frame's header
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
                return height, width
            if marker < 0xFFC0 or length < 2:
                raise ValueError("cut or damaged")
            at += 2 + length
    raise ValueError("neither PNG nor JPEG")
