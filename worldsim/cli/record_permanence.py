"""`worldsim record permanence`: whole trials of the permanence suite as a recording to learn from.

Episode i is one twin of one probe, hidden for a time drawn log-uniformly up to `--longest` frames, played in the real
world from the first context frame to 16 frames after the reveal. Its seeds are those of the training split, which
nothing is judged on. Among them may be free play, so that who learns from the recording doesn't learn the probes alone.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldsim.cli.permanence import staging
from worldsim.cli.record import Performer, from_processes, origin_of, parse_size, play_on, write_recording
from worldsim.cpu import usable_cores
from worldsim.data.recording import Episode
from worldsim.errors import WorldsimError
from worldsim.evals.permanence.tiers import train_seed
from worldsim.spec import WorldSpec

LONGEST = 1024  # hidden frames that any tier asks
MOST_SWAPS = 8


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """Record the suite's probes to learn from: worldsim record permanence --split train --out recordings/probes

    Attributes:
        out: folder of the recording; an existing one of the same world and seed is continued.
        world: a real world whose probes can be staged (toybox, rooms).
        split: of the seeds; all others are for judging.
        frames: how many frames at least; the last episode is not cut.
        seed: episode i is number seed + i of the split.
        longest: hidden frames at most. A long hiding is many frames that show one thing: the shorter, the more
            trials in as many frames.
        play: share of the episodes that are free play by the world's explorer, which are longer than most probes.
        size: frame size as WIDTHxHEIGHT; the world's own if not given.
        workers: processes; 0 for one a core.
    """

    out: Path
    world: str = "toybox"
    split: Literal["train"] = "train"
    frames: int = 100_000
    seed: int = 0
    longest: int = LONGEST
    play: float = 0.0
    size: str = ""
    workers: int = 0


def record_permanence(config: RecordConfig) -> None:
    """Record until there are `config.frames` frames, and print what was recorded.

    Raises:
        WorldsimError: for a world that can't be staged, and as for `worldsim record`.
    """
    if config.frames < 1 or config.workers < 0 or config.seed < 0:
        raise WorldsimError("--frames must be at least 1; --workers and --seed can't be negative")
    if not 0 <= config.play < 1:
        raise WorldsimError(f"--play is a share of the episodes, from 0 to below 1, not {config.play}")
    if not 1 <= config.longest <= LONGEST:
        raise WorldsimError(f"--longest is hidden frames, from 1 to {LONGEST}, not {config.longest}")
    make = functools.partial(ProbePerformer, config.world, parse_size(config.size), config.play, config.longest)
    play = functools.partial(from_processes, make, config.workers or usable_cores())
    write_recording(make, config.out, config.frames, config.seed, play)


class ProbePerformer:
    """Plays staged probes in their real world, and now and then freely."""

    def __init__(self, world: str, options: dict[str, Any], play: float = 0.0, longest: int = LONGEST):
        from worldsim_envs.registry import make_real

        self._staging = staging(world)
        self._env: Any = make_real(world, **options)
        self._free, self._share = Performer(world, options), play
        self._longest = longest
        self.world: WorldSpec = self._env.world
        self.hidden_layer = self._free.hidden_layer

    def origin(self) -> dict[str, Any]:
        """Source and licence of the frames, and what recorded them."""
        asked = {"longest hiding": self._longest, "free play": self._share}
        return {**origin_of(self._env), "suite": "worldsim-permanence, train split", **asked}

    def close(self) -> None:
        """End the world."""
        self._env.close()
        self._free.close()

    def play(self, seed: int) -> Episode:
        """One episode; the same seed gives the same episode."""
        rng = np.random.default_rng([train_seed(seed), 1])
        if np.random.default_rng([train_seed(seed), 2]).random() < self._share:
            return self._free.play(train_seed(seed))
        probe = str(rng.choice(self._staging.PROBES))
        point = int(np.exp(rng.uniform(0, np.log(self._longest + 1))))
        if probe == "P5":
            point = int(rng.integers(MOST_SWAPS + 1))
        scenes = self._staging.stage(probe, train_seed(seed), (point,), self.world.height, self.world.width)
        scene = scenes[rng.integers(len(scenes))]
        branch = scene.branches[0]
        actions = [*scene.actions, *scene.hide, *scene.hold[: branch.k], *branch.actions]
        planned = iter(actions)
        observation, info = self._env.restore(scene.start)
        return play_on(self._env, observation, info, lambda frame, info: int(next(planned)), len(actions) + 1)
