"""The last seconds of play as a film or a moving picture, after the fact. Knows no window and no player.

    write_clip("door.gif", [(frame, action), ...], spec, keys=True)

With `keys`, the world's buttons are drawn under the picture, those lit that were held.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np

from worldsim import atomic
from worldsim.data.video import FAILURES, VideoWriter
from worldsim.spec import WorldSpec
from worldsim.viewer import theme

FILM_SIDE, GIF_SIDE = 480, 240  # pixels: small frames are enlarged by a whole factor to about that shorter side
BAR, CAP, GAP, PADDING = 36, 22, 6, 12  # pixels: height of the bar of buttons and of a cap, between caps, in a cap
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


def write_clip(
    path: str | Path, moments: Sequence[tuple[np.ndarray, int | None]], spec: WorldSpec, keys: bool = False
) -> None:
    """Write a film, or for a name that ends in .gif a moving picture, whole or not at all.

    Args:
        path: of the file.
        moments: at least one; frames uint8 `[H, W, 3]`, each with the action that led to it.
        spec: of the world.
        keys: draw the buttons held.

    Raises:
        WorldsimError: if it can't be written there.
    """
    gif = Path(path).suffix.lower() == ".gif"
    side = GIF_SIDE if gif else FILM_SIDE
    pictures = (_picture(frame, action, spec, side, keys) for frame, action in moments)
    if gif:
        _write_gif(Path(path), pictures, spec.fps)
    else:
        with VideoWriter(path, spec.fps) as video:
            for picture in pictures:
                video.write(picture)


def _picture(frame: np.ndarray, action: int | None, spec: WorldSpec, side: int, keys: bool) -> np.ndarray:
    factor = math.ceil(side / min(frame.shape[:2]))
    large = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    if not keys:
        return large
    held = spec.actions[action].buttons if action is not None else ()
    return np.concatenate([large, *_bars(large.shape[1], list(spec.keys), held)])


def _bars(width: int, buttons: list[str], held: Sequence[str]) -> list[np.ndarray]:
    """As many bars of caps as the buttons need, uint8 `[BAR, width, 3]`."""
    bars = [np.full((BAR, width, 3), theme.PANEL, np.uint8)]
    x = GAP
    for button in buttons:
        (text, height), _ = cv2.getTextSize(button, FONT, FONT_SCALE, 1)
        if x > GAP and x + text + 2 * PADDING > width:
            bars.append(np.full((BAR, width, 3), theme.PANEL, np.uint8))
            x = GAP
        lit, top = button in held, (BAR - CAP) // 2
        corner = (x + text + 2 * PADDING, top + CAP)
        cv2.rectangle(bars[-1], (x, top), corner, theme.ACCENT if lit else theme.RAISED, cv2.FILLED)
        colour = theme.GROUND if lit else theme.DIM
        place = (x + PADDING, BAR // 2 + height // 2)
        cv2.putText(bars[-1], button, place, FONT, FONT_SCALE, colour, 1, cv2.LINE_AA)
        x = corner[0] + GAP
    return bars


def _write_gif(path: Path, pictures: Iterable[np.ndarray], fps: float) -> None:
    with atomic.replacing(path, "Give a file, as in out.gif") as part:
        try:
            _encode_gif(part, pictures, Fraction(fps).limit_denominator(1001))
        except FAILURES as error:
            raise atomic.refused(path, error) from error


def _encode_gif(path: Path, pictures: Iterable[np.ndarray], rate: Fraction) -> None:
    """With one palette made for all pictures."""
    with av.open(str(path), "w", format="gif") as container:
        graph, stream = None, None
        for number, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            if graph is None:
                graph = _palette_graph(width, height, rate)
                stream = container.add_stream("gif", rate=rate)
                stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            graph.push(frame)
        assert graph is not None and stream is not None
        graph.push(None)
        with contextlib.suppress(av.EOFError):  # the end of what the graph has
            while True:
                shown = graph.pull()
                assert isinstance(shown, av.VideoFrame)
                container.mux(stream.encode(shown))
        container.mux(stream.encode(None))


def _palette_graph(width: int, height: int, rate: Fraction) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=1 / rate
    )
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=full")
    use, sink = graph.add("paletteuse", "dither=none"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
