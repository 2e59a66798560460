"""Which scenes are asked: tiers, and the seeds of every split. Frozen with the suite's version.

Splits never share a seed: each has its own range, far above the seeds of recordings, and a private one is drawn by a
secret of the user's from beyond them all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Collection, Mapping

from worldsim.evals.permanence.scene import VERSION

SPLITS = {  # first seed of each
    "train": 1_000_000_000,
    "calibration": 2_000_000_000,
    "validation": 2_100_000_000,
    "test": 2_200_000_000,
}
TRAIN_SEEDS = 1_000_000_000  # how many the training split has
PRIVATE = 1 << 40  # private seeds are PRIVATE to 2 * PRIVATE - 1
FEW, FEW_MORE = 2, 3  # a world of at most so many probes is asked so many times the seeds of each


@dataclasses.dataclass(frozen=True)
class Tier:
    """How much is asked.

    Attributes:
        points: for each probe the hidden times k, or for P5 the numbers of swaps.
        seeds: for each probe how many, each with its twins (see `judged_seeds`).
        validation: how many seeds of each probe the detector is validated on.
    """

    points: Mapping[str, tuple[int, ...]]
    seeds: Mapping[str, int]
    validation: int


LONG = (1, 4, 16, 64, 256, 1024)
TIERS = {
    "smoke": Tier(
        {
            "P1": (1, 8, 64),
            "P2": (1, 8, 32),
            "P3": (1, 8, 64),
            "P4": (8, 64),
            "P4b": (64,),
            "P5": (0, 1),
            "P6": (8, 64),
            "P7": (8, 64),
        },
        dict.fromkeys(("P1", "P2", "P3", "P4", "P4b", "P5", "P6", "P7"), 2),
        validation=1,
    ),
    "standard": Tier(
        {
            "P1": LONG,
            "P2": (1, 4, 8, 16, 32),
            "P3": (1, 4, 16, 64, 128, 256, 1024),
            "P4": (1, 8, 64),
            "P4b": (32, 64),
            "P5": (0, 1, 2),
            "P6": (1, 8, 64),
            "P7": (1, 8, 64),
        },
        {"P1": 8, "P2": 16, "P3": 8, "P4": 16, "P4b": 16, "P5": 10, "P6": 16, "P7": 16},
        validation=6,
    ),
    "full": Tier(
        {
            **dict.fromkeys(("P1", "P2", "P3", "P4", "P6", "P7"), (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)),
            "P4b": (32, 64, 128, 256, 1024),
            "P5": (0, 1, 2, 4, 8),
        },
        dict.fromkeys(("P1", "P2", "P3", "P4", "P4b", "P5", "P6", "P7"), 60),
        validation=12,
    ),
}


def judged_seeds(tier: Tier, probes: Collection[str], secret: bytes | None = None) -> dict[str, list[int]]:
    """The seeds on which a world with these probes is judged, by probe; with a secret those of a private split.

    Smaller tiers ask the first of the larger ones' seeds; a world of few probes is asked `FEW_MORE` times as many.
    """
    times = FEW_MORE if len(probes) <= FEW else 1
    counts = {probe: times * count for probe, count in tier.seeds.items() if probe in probes}
    if secret is None:
        return {probe: [SPLITS["test"] + i for i in range(count)] for probe, count in counts.items()}
    return {probe: [_private(secret, probe, i) for i in range(count)] for probe, count in counts.items()}


def _private(secret: bytes, probe: str, number: int) -> int:
    digest = hmac.digest(secret, f"permanence {VERSION} {probe} {number}".encode(), "sha256")
    return PRIVATE + int.from_bytes(digest[:5], "big")


def train_seed(episode: int) -> int:
    """The seed of an episode of training data."""
    return SPLITS["train"] + episode % TRAIN_SEEDS


def seeds_digest(seeds: Mapping[str, list[int]]) -> str:
    """Names all seeds of a run, and gives none of them away."""
    return hashlib.sha256(repr(sorted((probe, list(s)) for probe, s in seeds.items())).encode()).hexdigest()
