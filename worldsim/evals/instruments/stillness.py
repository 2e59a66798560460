"""Stillness: with no key pressed, what is still in the real world must stay still. Knows frames and actions only."""

from __future__ import annotations

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.scenes import Footage, Scenes
from worldsim.evals.section import Curves, Figure, Section, Strip, Table

SETTLED = 4  # frames without a key before a scene counts as idle
CANDIDATES = 768
CHANGED = 12  # levels of 255
SELDOM = 0.005  # a still pixel changes in fewer of the real idle frames


def idle_starts(footage: Footage, noop: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to start, and what should stay as it is.

    A player who let go of the keys may still be sliding: of the idle frames drawn, the quarter that differs least from
    the frame before is kept.

    Returns:
        bool `[M]`, the idle frames; bool `[H, W]`, pixels that don't change between one of them and the frame before.

    Raises:
        WorldsimError: if nobody ever let go of the keys for so long.
    """
    idle = footage.actions == noop
    idle = np.logical_and.reduce([np.roll(idle, k) for k in range(1, SETTLED + 1)])
    pairs = footage.draw(CANDIDATES, SETTLED + 1, 0, seed, idle)
    change = np.abs(pairs.frames[:, -1].astype(np.int16) - pairs.frames[:, -2]).max(-1)  # [n, H, W]
    amount = change.mean((1, 2))
    quiet = amount <= np.quantile(amount, 0.25)
    starts = np.zeros(len(idle), bool)
    starts[pairs.lasts[quiet]] = True
    return starts, (change[quiet] > CHANGED).mean(0) < SELDOM


def stillness(scenes: Scenes, generated: np.ndarray, still: np.ndarray, codec: Codec) -> Section:
    """PSNR of each frame to the first generated one and to the last real one, over what is still in the real world.

    Args:
        scenes: contexts that end idle, uint8 `[N, T, H, W, 3]`.
        generated: frames with no key pressed, uint8 `[N, n, H, W, 3]`.
        still: bool `[H, W]`.
    """
    n, start = generated.shape[1], scenes.frames[:, -1]
    section = Section(
        "stillness",
        "No-op stillness",
        f"{len(scenes)} held-out scenes in which nobody pressed a key and nothing slid on, {n} frames without a "
        f"key; over the "
        f"{100 * still.mean():.0f} % of the pixels that are still in the real world when nobody plays.",
    )
    if not still.any():
        section.notes.append("Nothing is still in the real world: not measured.")
        return section
    to_first = np.stack([metrics.psnr(run, run[:1], still) for run in generated])  # [N, n]
    to_start = np.stack([metrics.psnr(run, real[None], still) for run, real in zip(generated, start, strict=True)])
    ceiling = float(metrics.psnr(codec(start), start, still).mean())
    last = to_first[:, -1]
    section.figures.extend(
        [
            Figure(
                f"stillness.psnr_{n}",
                f"PSNR after {n} idle frames to the first",
                float(last.mean()),
                "dB",
                metrics.interval(last),
            ),
            Figure(
                f"stillness.start_psnr_{n}",
                f"PSNR after {n} idle frames to the real start",
                float(to_start[:, -1].mean()),
                "dB",
                metrics.interval(to_start[:, -1]),
                f"encode-decode ceiling {ceiling:.1f} dB",
            ),
        ]
    )
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
    order = np.argsort(last)
    for name, scene in (("worst", order[0]), ("middle", order[len(order) // 2])):
        strip = np.concatenate([start[scene][None], generated[scene, at - 1]])
        section.strips.append(
            Strip(f"No key pressed, {name} of {len(scenes)}", {"generated": strip}, ("real", *map(str, at)))
        )
    return section
