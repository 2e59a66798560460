"""How a model that imagines is sampled if nothing else is asked for. It comes with the model. Needs no torch."""

from __future__ import annotations

import dataclasses
import math

from worldsim.errors import WorldsimError

MOST_STEPS = 1000
MOST_GUIDANCE = 20.0


@dataclasses.dataclass(frozen=True)
class SamplerDefaults:
    """How a model is sampled if nothing else is asked for.

    Attributes:
        steps: denoising passes a window. guidance: how much it leans on the words; 1 where it learned to by itself.

    Raises:
        WorldsimError: for numbers that can't be used.
    """

    steps: int = 24
    guidance: float = 3.0

    def __post_init__(self) -> None:
        if not (isinstance(self.steps, int) and 1 <= self.steps <= MOST_STEPS):
            raise WorldsimError(f"{self.steps} steps: give 1 to {MOST_STEPS}")
        if not (math.isfinite(self.guidance) and 0 <= self.guidance <= MOST_GUIDANCE):
            raise WorldsimError(f"a guidance of {self.guidance}: give 0 to {MOST_GUIDANCE:g}; 1 for none")


USUAL = SamplerDefaults()  # of a model that was not distilled
