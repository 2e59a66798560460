"""Pictures of every size, judged: how far they are from real ones, beside real against real. Knows features only."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from worldsim.evals.frechet import FrechetProbe
from worldsim.evals.section import Figure, Section, Strip, Table, number

Size = tuple[int, int]  # height, width


def sizes(
    real: Mapping[Size, np.ndarray],
    made: Mapping[Size, np.ndarray],
    unseen: Collection[Size],
    shown: Mapping[Size, np.ndarray],
) -> Section:
    """What the size asked for does to pictures.

    Args:
        real: features of real pictures of each size, `[n, D]`. made: of pictures of the same captions.
        unseen: sizes that nothing was trained on.
        shown: a picture of each size, uint8 `[H, W, 3]`.
    """
    section = Section(
        "imagine-sizes",
        "Every size",
        "Fréchet distance of pictures of held-out captions to real pictures of their size, in principal components of "
        "the means and deviations of the video autoencoder's latents, at one size. The floor is the distance of as "
        "many other real pictures.",
    )
    rows, away = [], {}
    for size in sorted(real):
        probe = FrechetProbe(real[size])
        away[size], interval = probe.distance(made[size])
        kind = "never trained on" if size in unseen else "trained on"
        low, high = (number(x) for x in interval)
        rows.append(
            (f"{size[1]}x{size[0]}", kind, len(real[size]), number(away[size]), f"{low} … {high}", number(probe.floor))
        )
    columns = ("size", "", "pictures", "distance", "95%", "real against real")
    section.tables.append(Table("Distance to real pictures", columns, rows))
    trained = float(np.mean([distance for size, distance in away.items() if size not in unseen]))
    for size in sorted(set(unseen) & away.keys()):
        label = f"{size[1]}x{size[0]}, never trained on: distance over the mean of trained sizes"
        section.figures.append(Figure(f"imagine-sizes.{size[1]}x{size[0]}", label, away[size] / trained, "x"))
    section.figures.append(Figure("imagine-sizes.trained", "mean distance of trained sizes", trained))
    for size in sorted(shown):
        section.strips.append(Strip(f"{size[1]}x{size[0]}", {"made": shown[size][None]}))
    return section
