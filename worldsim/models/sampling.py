"""How a generated frame is sampled: which passes, from how much noise. Data only; imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from worldsim.errors import WorldsimError

MOST_PASSES = 64
MOST_TEMPERATURE = 100.0


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How `worldsim.models.sampler.sample` makes a frame.

    Attributes:
        schedule: signal levels that the sampler visits: rising, the first 0, all below 1. Most steps are where the
            frame is decided.
        temperature: standard deviation of the noise that frames start from; 1 is what the network learned, a little
            more makes rare events as frequent as they were. A temperature in play is a multiple of it.
        fresh_noise: whether every pass takes noise of its own. Then what an earlier pass got wrong is forgotten, and
            cells that are one of few kinds decide for one; a picture of many shades loses its detail.

    Raises:
        WorldsimError: if frames can't be sampled so.
    """

    schedule: tuple[float, ...] = (0.0, 0.15, 0.4, 0.7)
    temperature: float = 1.0
    fresh_noise: bool = False

    def __post_init__(self) -> None:
        levels = self.schedule
        if not (all(map(_is_number, levels)) and 0 < len(levels) <= MOST_PASSES) or not (
            levels[0] == 0 and levels[-1] < 1 and list(levels) == sorted(set(levels))
        ):
            raise WorldsimError(
                f"schedule {levels[:MOST_PASSES]}: give up to {MOST_PASSES} signal levels that rise from 0 to below 1, "
                "as in (0, 0.15, 0.4, 0.7)"
            )
        if not (_is_number(self.temperature) and 0 <= self.temperature <= MOST_TEMPERATURE):
            raise WorldsimError(
                f"temperature {self.temperature}: give a number from 0 to {MOST_TEMPERATURE:g}; 1 is what the network "
                "learned"
            )
        if not isinstance(self.fresh_noise, bool):
            raise WorldsimError(f"fresh_noise {self.fresh_noise!r}: it is true or false")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sampling:
        """What `dataclasses.asdict` and JSON made of one, other fields beside it; `fresh_noise` may be missing, as
        before there was any.

        Raises:
            WorldsimError: if frames can't be sampled so.
        """
        return cls(tuple(data["schedule"]), data["temperature"], data.get("fresh_noise", False))

    @property
    def draws(self) -> int:
        """R, how many draws of noise a frame takes."""
        return len(self.schedule) if self.fresh_noise else 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
