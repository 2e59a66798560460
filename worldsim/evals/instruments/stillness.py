"""Stillness: with no key pressed, what is still in the real world must stay still. Knows frames and actions only."""

from __future__ import annotations

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.scenes import RecordingSplit, Scenes
from worldsim.evals.section import Curves, Figure, Section, Strip, Table, mean_figure

SETTLED = 4  # frames without a key before a scene counts as idle
CANDIDATES = 768
CHANGED = 12  # levels of 255
MAX_CHANGING = 0.005  # a still pixel changes in fewer of the real idle frames
SETTLING = 5  # of the idle frames after a shipped start, one in so many may still show what was going on


def idle_starts(split: RecordingSplit, noop: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to start, and what should stay as it is.

    A player who let go of the keys may still be sliding: of the idle frames drawn, the quarter that differs least from
    the frame before is kept.

    Returns:
        bool `[M]`, the idle frames; bool `[H, W]`, pixels that don't change between one of them and the frame before.

    Raises:
        WorldsimError: if no episode has so many frames without a key.
    """
    idle = split.actions == noop
    idle = np.logical_and.reduce([np.roll(idle, k) for k in range(1, SETTLED + 1)])
    pairs = split.draw(CANDIDATES, SETTLED + 1, 0, seed, idle)
    change = np.abs(pairs.frames[:, -1].astype(np.int16) - pairs.frames[:, -2]).max(-1)  # [n, H, W]
    amount = change.mean((1, 2))
    quiet = amount <= np.quantile(amount, 0.25)
    starts = np.zeros(len(idle), bool)
    starts[pairs.lasts[quiet]] = True
    return starts, (change[quiet] > CHANGED).mean(0) < MAX_CHANGING


def stillness(
    scenes: Scenes, generated: np.ndarray, from_starts: np.ndarray | None, still: np.ndarray, codec: Codec
) -> Section:
    """PSNR of idle frames to earlier ones, over what is still in the real world.

    Args:
        scenes: contexts that end idle, uint8 `[N, T, H, W, 3]`.
        generated: frames with no key pressed, uint8 `[N, n, H, W, 3]`.
        from_starts: the same from each start that the world ships with, uint8 `[S, n, H, W, 3]`; None without.
        still: bool `[H, W]`.
    """
    n, start = generated.shape[1], scenes.frames[:, -1]
    section = Section(
        "stillness",
        "No-op stillness",
        f"{len(scenes)} held-out scenes in which no key was pressed and nothing moved on, and the starts that the "
        f"world ships with; {n} frames without a key; over the {100 * still.mean():.0f} % of the pixels that are still "
        "in the real world when no key is pressed.",
    )
    if not still.any():
        section.notes.append("Nothing is still in the real world: not measured.")
        return section
    to_first = np.stack([metrics.psnr(run, run[:1], still) for run in generated])  # [N, n]
    to_start = np.stack([metrics.psnr(run, real[None], still) for run, real in zip(generated, start, strict=True)])
    ceiling = float(metrics.psnr(codec(start), start, still).mean())
    key, label = f"stillness.psnr_{n}", f"PSNR after {n} idle frames to the first"
    section.figures.append(mean_figure(key, label, to_first[:, -1], "dB"))
    key, label = f"stillness.start_psnr_{n}", f"PSNR after {n} idle frames to the real start"
    section.figures.append(mean_figure(key, label, to_start[:, -1], "dB", f"encode-decode ceiling {ceiling:.1f} dB"))
    if from_starts is not None:
        section.figures.append(_worst_start(from_starts, still))
    at = np.unique(np.geomspace(1, n, 10).round().astype(int))
    rows = [
        (int(k), float(to_first[:, k - 1].mean()), float(to_first[:, k - 1].min()), float(to_start[:, k - 1].mean()))
        for k in at
    ]
    section.tables.append(Table("PSNR, dB", ("frame", "to the first", "worst scene", "to the real start"), rows))
    frames = np.arange(1, n + 1)
    lines = {
        "to the first generated frame": (frames[1:], to_first.mean(0)[1:]),
        "to the real start": (frames, to_start.mean(0)),
    }
    section.curves.append(Curves("Stillness with no key pressed", "frames", "PSNR, dB", lines))
    order = np.argsort(to_first[:, -1])
    for name, scene in (("worst", order[0]), ("middle", order[len(order) // 2])):
        strip = np.concatenate([start[scene][None], generated[scene, at - 1]])
        title = f"No key pressed, {name} of {len(scenes)}"
        section.strips.append(Strip(title, {"generated": strip}, ("real", *map(str, at))))
    return section


def _worst_start(generated: np.ndarray, still: np.ndarray) -> Figure:
    """Of the shipped starts `[S, n, H, W, 3]` the lowest PSNR to the frame by which all has settled."""
    n = generated.shape[1]
    settled = max(1, n // SETTLING)
    lowest = np.array([metrics.psnr(run[settled:], run[settled - 1], still).min() for run in generated])
    label = f"worst shipped start: lowest PSNR of idle frames {settled} to {n}, to frame {settled}"
    reference = f"start {lowest.argmin() + 1} of {len(lowest)}; median start {np.median(lowest):.1f} dB"
    return Figure(f"stillness.starts_psnr_{n}", label, float(lowest.min()), "dB", None, reference, len(lowest))
