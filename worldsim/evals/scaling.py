"""Scaling: the law of error against frames seen and weights, fitted to runs (Hoffmann et al. 2022, equation 2).

    error(N, D) = floor + a N^-alpha + b D^-beta

N weights, D frames seen. With runs of one size alone the second part can't be told from the floor, and is left out.
Knows no files.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from worldsim.errors import WorldsimError, require

EXPONENTS = np.geomspace(0.05, 2.0, 60)
MILLION = 1e6  # weights and frames are counted in it
FEWEST = 4  # points


@dataclasses.dataclass(frozen=True)
class Law:
    """A fitted law; N and D in millions.

    Attributes:
        floor: of the error. a, alpha: of the weights, 0 where all runs are of one size. b, beta: of the frames.
        off: root mean square of the relative error at the points that it was fitted to.
    """

    floor: float
    a: float
    alpha: float
    b: float
    beta: float
    off: float

    def __call__(self, weights: np.ndarray | float, frames: np.ndarray | float) -> np.ndarray:
        """The error of so many weights after so many frames."""
        size = self.a * (np.asarray(weights) / MILLION) ** -self.alpha if self.a else 0.0
        return np.asarray(self.floor + size + self.b * (np.asarray(frames) / MILLION) ** -self.beta)

    def __str__(self) -> str:
        """As a formula."""
        size = f" + {self.a:.3g} N^-{self.alpha:.2f}" if self.a else ""
        return f"error = {self.floor:.3g}{size} + {self.b:.3g} D^-{self.beta:.2f}, N and D in millions"


def fit_law(weights: np.ndarray, frames: np.ndarray, error: np.ndarray) -> Law:
    """The law nearest to the points, by relative error: each float `[n]`.

    For each pair of exponents what is left is linear, with no part below zero.

    Raises:
        WorldsimError: for too few points, or any that is not above zero.
    """
    nnls = require("scipy.optimize", "eval").nnls
    if len(error) < FEWEST or not all((np.isfinite(x) & (x > 0)).all() for x in (weights, frames, error)):
        raise WorldsimError(f"{len(error)} points: a law takes {FEWEST} or more, all above zero. Train for longer.")
    sizes = EXPONENTS if len(np.unique(weights)) > 1 else (None,)
    best: tuple[float, Law] | None = None
    for alpha, beta in itertools.product(sizes, EXPONENTS):
        columns = [np.ones(len(error)), (frames / MILLION) ** -beta]
        if alpha is not None:
            columns.append((weights / MILLION) ** -alpha)
        parts, residual = nnls(np.stack(columns, axis=1) / error[:, None], np.ones(len(error)))
        if best is None or residual < best[0]:
            a = float(parts[2]) if alpha is not None else 0.0
            off = float(residual / len(error) ** 0.5)
            best = residual, Law(float(parts[0]), a, float(alpha or 0), float(parts[1]), float(beta), off)
    assert best is not None
    return best[1]
