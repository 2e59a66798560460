"""Fréchet distance between two sets of latents, with the floor of real against real. Knows no network.

n samples, D numbers each, d of their principal components.
"""

from __future__ import annotations

import numpy as np

from worldsim.evals.statistics import Interval, percentile_interval

SAMPLES_PER_DIMENSION = 10  # fewer make covariances of noise
MOST_DIMENSIONS = 64
DRAWS = 100  # of the bootstrap


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|mean a - mean b|² + tr(A + B - 2 (A B)^½) of samples `[n, d]`, `[m, d]` with covariances A, B (Heusel et al.
    2017, equation 6)."""
    one, other = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(np.atleast_2d(one))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ np.atleast_2d(other) @ root)
    apart = float(np.square(a.mean(0) - b.mean(0)).sum())
    return apart + float(np.trace(np.atleast_2d(one + other)) - 2 * np.sqrt(np.maximum(product, 0)).sum())


class FrechetProbe:
    """Distances to the half of real samples, in their own principal components, as many as the samples bear.

    Args:
        real: `[n, D]`; every other one is what is compared with, the rest are the floor.
    """

    def __init__(self, real: np.ndarray):
        real = real.astype(np.float64)
        self._mean = real.mean(0)
        self.dimensions = int(max(1, min(MOST_DIMENSIONS, real.shape[1], len(real) // 2 // SAMPLES_PER_DIMENSION)))
        self._basis = np.linalg.eigh(np.cov(real.T))[1][:, -self.dimensions :]
        projected = self._project(real)
        self._reference, self._other = projected[::2], projected[1::2]

    @property
    def floor(self) -> float:
        """Real against real, of as many samples."""
        return frechet(self._other, self._reference)

    def distance(self, made: np.ndarray) -> tuple[float, Interval]:
        """Of samples `[n, D]`, generated from the contexts of the real ones in their order; those from the contexts of
        the reference are left out. With the 95% interval of a bootstrap, which is biased upwards."""
        samples, rng = self._project(made.astype(np.float64))[1::2], np.random.default_rng(0)
        draws = []
        for _ in range(DRAWS):
            rows, others = (rng.integers(0, len(x), len(x)) for x in (samples, self._reference))
            draws.append(frechet(samples[rows], self._reference[others]))
        return frechet(samples, self._reference), percentile_interval(np.array(draws))

    def _project(self, samples: np.ndarray) -> np.ndarray:
        return (samples - self._mean) @ self._basis
