"""What both generated environments are made of: an open world and its starts, and where rows of it are.

    dream = Dream("doom-maze")
    play = dream.begin([np.random.default_rng(7)], [None])       # one row, at a start drawn from the generator
    play = dream.step(play, np.array([1]))                       # play.state.frame: uint8 [1, H, W, 3]

A dream keeps no state of an episode, and a play is a value, as the states of a session are. Knows starts, ends and
infos, but nothing of spaces, windows or autoreset.

N rows, H x W pixels.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data.recording import Recording
from worldsim.data.windows import start_windows
from worldsim.errors import WorldsimError
from worldsim.runtime.base import Device
from worldsim.runtime.bundle import open_world, shipped_worlds
from worldsim.runtime.imaginer import open_imaginer, shipped_imaginers
from worldsim.runtime.load import load_runtime
from worldsim.runtime.looks import Looks, looks_for
from worldsim.runtime.painter import Painter, check_prompt
from worldsim.runtime.pictures import Strangeness, begun_with
from worldsim.runtime.session import Session, State
from worldsim.safe_read import PIXELS
from worldsim.spec import WorldSpec

SPLITS = ("held-out", "train", "all")


@dataclasses.dataclass(frozen=True, eq=False)
class Play:
    """Where N episodes are, and what the last step of each gave. A value: nothing of it is ever changed.

    Attributes:
        state: of the session.
        start: int64 `[N]`, which start each began at.
        reward: float64 `[N]` of the last step, 0 after a reset.
        total: float64 `[N]`, rewards since the reset.
        cumulative_uncertainty: float64 `[N]`, the sum of all frames' since the last real one.
        cont: float64 `[N]`, probability that the episode goes on, 1 after a reset.
        ended: bool `[N]`, whether it ended, drawn with that probability.
        ood: float64 `[N]`, how unlike the training frames the frame is; None unless asked for.
    """

    state: State
    start: np.ndarray
    reward: np.ndarray
    total: np.ndarray
    cumulative_uncertainty: np.ndarray
    cont: np.ndarray
    ended: np.ndarray
    ood: np.ndarray | None

    def __deepcopy__(self, memo: dict[int, Any]) -> Play:
        return self

    def info(self) -> dict[str, np.ndarray]:
        """Gymnasium's info of each row, `[N]`."""
        infos = {
            "start": self.start,
            "steps_since_real": self.state.index,
            "uncertainty": self.state.uncertainty.astype(np.float64),
            "cumulative_uncertainty": self.cumulative_uncertainty,
            "continue": self.cont,
            "return": self.total,
        }
        if self.ood is not None:
            infos["ood"] = self.ood
        return {name: values.copy() for name, values in infos.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Clone:
    """What `clone_state` gives and `restore_state` takes: all that decides what comes next. A value, cheap to keep.

    Attributes:
        digest: names the world.
        temperature: of its noise.
        play: of N rows.
        chance: their random generators, as they were.
    """

    digest: str
    temperature: float
    play: Play
    chance: tuple[np.random.Generator, ...]


class Dream:
    """A world, ready to be played any number of times at once; pickled as how it was opened, never copied.

    Args:
        world: a shipped world's name, or the folder of a bundle.
        runtime: "onnx", "torch" or "batch", see `worldsim.runtime.load.load_runtime`.
        device: "auto", "cpu" or "cuda".
        recording: begin anywhere in these episodes, instead of at the world's own starts.
        split: of the recording: "held-out", "train" or "all".
        max_episode_steps: an episode is truncated after so many; None for never.
        temperature: of the noise that a frame starts from, as a multiple of the world's own, 0 or more.
        max_cumulative_uncertainty: an episode is truncated once that is larger; None for never.
        ood: measure how unlike the training frames each frame is, which encodes it again.
        max_ood: the same, and an episode is truncated once that is larger; None for never.
        imaginer: what paints pictures of words: a shipped imaginer's name, or the folder of one; "" for a shipped
            one that draws the world. Opened when words are first given.
        look: what frames are drawn in, see `worldsim.runtime.looks`; "" for as they are generated.

    Attributes:
        world: the spec; without `state_names`, for a generated world has no exact state.
        origin: source and licence of the frames it learned from.
        starts: how many there are.

    Raises:
        WorldsimError: if the world, the device or the recording is not there or not whole, the two don't fit, or the
            world has no such look.
    """

    def __init__(
        self,
        world: str | Path,
        runtime: str = "onnx",
        device: Device = "auto",
        recording: str | Path | None = None,
        split: str = "held-out",
        max_episode_steps: int | None = None,
        temperature: float = 1.0,
        max_cumulative_uncertainty: float | None = None,
        ood: bool = False,
        max_ood: float | None = None,
        imaginer: str | Path = "",
        look: str = "",
    ):
        if split not in SPLITS:
            raise WorldsimError(f"no split {split!r} of a recording; there are {', '.join(SPLITS)}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise WorldsimError(f"max_episode_steps {max_episode_steps}: give 1 or more, or None for no end")
        for name, limit in (("max_cumulative_uncertainty", max_cumulative_uncertainty), ("max_ood", max_ood)):
            if limit is not None and not limit > 0:
                raise WorldsimError(f"{name} {limit}: give a number above 0, or None for no end")
        bundle = open_world(world)
        self.world, self.origin = dataclasses.replace(bundle.spec, state_names=()), bundle.origin
        self._opened = (
            world if str(world) in shipped_worlds() else Path(world).absolute(),
            runtime,
            device,
            None if recording is None else Path(recording).absolute(),
            split,
            max_episode_steps,
            temperature,
            max_cumulative_uncertainty,
            ood,
            max_ood,
            imaginer if not str(imaginer) or str(imaginer) in shipped_imaginers() else Path(imaginer).absolute(),
            look,
        )
        self._bundle, self._digest = bundle, bundle.digest
        self._imaginer, self._device = imaginer, device
        self._painter: Painter | None = None
        self._max_steps = max_episode_steps or sys.maxsize
        self._max_cumulative_uncertainty = max_cumulative_uncertainty or math.inf
        self._ood, self._max_ood = ood or max_ood is not None, max_ood or math.inf
        self._session = Session(load_runtime(bundle, runtime, device), temperature)
        self._look, self._looks = look, looks_for(bundle, look) if look else None
        self.starts = len(bundle.starts)
        self._recording: Recording | None = None
        if recording is not None:
            self._recording = Recording(recording)
            theirs = self._recording.spec
            if any(getattr(theirs, name) != getattr(self.world, name) for name in ("height", "width", "actions")):
                raise WorldsimError(
                    f"recording {recording} is {_size(theirs)}; world {self.world.name!r} is {_size(self.world)}. "
                    "Give one that was recorded like the world's own."
                )
            self._windows = start_windows(self._recording, split, bundle.starts.frames.shape[1])
            self.starts = len(self._windows.starts)

    def begin(
        self,
        chance: Sequence[np.random.Generator],
        starts: Sequence[int | None],
        given: Sequence[str | np.ndarray | None] | None = None,
    ) -> Play:
        """Begin a row for each generator, which draws its seed and, where `starts` has None, its start.

        Args:
            chance: of each row.
            starts: of each row.
            given: of each row words or a picture, uint8 `[h, w, 3]`, to begin with instead; its start is then -1.

        Raises:
            WorldsimError: for a start that there is not, or what can't be begun with.
        """
        for start in starts:
            if not (start is None or isinstance(start, (int, np.integer))):
                raise WorldsimError(f"start {start!r}: give an integer, 0 to {self.starts - 1}")
        drawn = [(int(rng.integers(2**63)), int(rng.integers(self.starts))) for rng in chance]
        seeds = [seed for seed, _ in drawn]
        chosen = [own if start is None else int(start) for start, (_, own) in zip(starts, drawn, strict=True)]
        blank = np.zeros(len(drawn))
        if given is None or all(row is None for row in given):
            state = self._begin(chosen, seeds)
        else:
            rows = zip(chosen, seeds, given, strict=True)
            state = self._session.stack(
                [
                    self._begin([start], [seed]) if row is None else self._begin_with(row, seed)
                    for start, seed, row in rows
                ]
            )
            chosen = [start if row is None else -1 for start, row in zip(chosen, given, strict=True)]
        running = np.zeros(len(drawn), bool)
        ood = blank if self._ood else None
        return Play(state, np.array(chosen, np.int64), blank, blank, blank, np.ones(len(drawn)), running, ood)

    def given(self, options: dict[str, Any], rows: int) -> list[str | np.ndarray | None] | None:
        """What options of a reset give each row to begin with: `"prompt"`, words, or `"image"`, uint8 RGB `[h, w, 3]`
        of any size; one for all rows, or one a row, of which some may be None. None if there is neither.

        Raises:
            WorldsimError: for both, or beside a start, or for something else than words and pictures.
        """
        named = [name for name in ("start", "prompt", "image") if options.get(name) is not None]
        if "prompt" not in named and "image" not in named:
            return None
        if len(named) > 1:
            raise WorldsimError(f"reset() options {' and '.join(map(repr, named))} both say where to begin; give one")
        value = options[named[0]]
        single = isinstance(value, str) if named[0] == "prompt" else getattr(value, "ndim", 0) == 3
        found = [value] * rows if single else list(value) if isinstance(value, (list, tuple, np.ndarray)) else []
        if len(found) != rows or all(row is None for row in found):
            raise WorldsimError(f"reset() option {named[0]!r}: give one for all rows, or {rows}, one a row")
        for row in found:
            if named[0] == "image" and row is not None:
                _check_picture(row)
            elif row is not None:
                check_prompt(row if isinstance(row, str) else "")
        return found

    def strangeness(self, play: Play) -> dict[str, np.ndarray]:
        """How strange the frames of a play are to the world, given ones for example: `"strangeness"` float64 `[N]`, as
        a multiple of the median of its own starts, and `"strange"` bool `[N]`, unlike anything that it has learned."""
        found = self._strangeness.of_frames(play.state.frame).astype(np.float64)
        return {"strangeness": found, "strange": found > self._strangeness.limit}

    def step(self, play: Play, actions: np.ndarray) -> Play:
        """Generate the next frame of every row, all in one step of the network.

        Raises:
            WorldsimError: unless `actions` are integers `[N]` that the world has.
        """
        state, seen = self._session.step(play.state, actions)
        reward = seen.reward.astype(np.float64)
        uncertainty = play.cumulative_uncertainty + state.uncertainty
        cont = seen.cont.astype(np.float64)
        ood = self._session.ood(state).astype(np.float64) if self._ood else None
        return Play(state, play.start, reward, play.total + reward, uncertainty, cont, seen.ended, ood)

    def observe(self, play: Play) -> np.ndarray:
        """The frames to be seen, uint8 `[N, H, W, 3]`: those of the state, or in a look."""
        return play.state.frame if self._looks is None else self._looks.draw(play.state.frame, self._look)

    def ends(self, play: Play) -> tuple[np.ndarray, np.ndarray]:
        """`terminated` and `truncated`, two of bool `[N]`."""
        truncated = play.state.index >= self._max_steps
        truncated |= play.cumulative_uncertainty > self._max_cumulative_uncertainty
        return play.ended.copy(), truncated if play.ood is None else truncated | (play.ood > self._max_ood)

    def put(self, play: Play, rows: np.ndarray, other: Play) -> Play:
        """A play in which the rows that the mask `rows`, bool `[N]`, names are those of another one."""
        states, others = self._session.split(play.state), self._session.split(other.state)
        for row, state in zip(np.flatnonzero(rows), others, strict=True):
            states[row] = state
        merged = {}
        names = ("start", "reward", "total", "cumulative_uncertainty", "cont", "ended")
        for name in (*names, *(("ood",) if self._ood else ())):
            merged[name] = getattr(play, name).copy()
            merged[name][rows] = getattr(other, name)
        return Play(self._session.stack(states), **{"ood": None, **merged})

    def clone(self, play: Play, chance: Sequence[np.random.Generator]) -> Clone:
        """A play and its generators, kept."""
        return Clone(self._digest, self._session.temperature, play, tuple(copy.deepcopy(rng) for rng in chance))

    def restore(self, clone: Clone, rows: int) -> tuple[Play, list[np.random.Generator]]:
        """The play and the generators of a clone.

        Raises:
            WorldsimError: for anything but a clone of so many rows of this world at this temperature.
        """
        if not isinstance(clone, Clone):
            raise WorldsimError(f"{type(clone).__name__} is not a state: give restore_state() what clone_state() gave")
        if clone.digest != self._digest:
            raise WorldsimError(
                f"this state is of another world than {self.world.name!r}, or of other weights "
                f"({clone.digest[:12]}, not {self._digest[:12]}). Restore it where it was cloned."
            )
        if clone.temperature != self._session.temperature:
            raise WorldsimError(
                f"this state was cloned at temperature {clone.temperature:g}, and would go on otherwise at "
                f"{self._session.temperature:g}. Restore it in an environment of temperature={clone.temperature:g}."
            )
        if len(clone.play.state) != rows:
            raise WorldsimError(f"this state has {len(clone.play.state)} rows, the environment {rows}")
        ood = self._session.ood(clone.play.state).astype(np.float64) if self._ood else None
        return dataclasses.replace(clone.play, ood=ood), [copy.deepcopy(rng) for rng in clone.chance]

    def _begin(self, starts: list[int], seeds: list[int]) -> State:
        if self._recording is None:
            return self._session.start(starts, seeds)
        for start in starts:
            if not 0 <= start < self.starts:
                raise WorldsimError(f"{self._recording.path} has no start {start}; it has 0 to {self.starts - 1}")
        spans = [(first, first + self._windows.length) for first in self._windows.starts[starts]]
        frames = np.stack([np.asarray(self._recording.frames[a:b]) for a, b in spans])
        actions = np.stack([np.asarray(self._recording.actions[a : b - 1]) for a, b in spans])
        return self._session.reset(frames, actions, seeds)

    @functools.cached_property
    def _strangeness(self) -> Strangeness:
        return Strangeness(self._session)

    def _begin_with(self, given: str | np.ndarray, seed: int) -> State:
        """One row."""
        if isinstance(given, str):
            if self._painter is None:
                self._painter = Painter(open_imaginer(self._imaginer, self.world.name), self._device)
            looks = self._looks or Looks.open(self._bundle)  # what words say of a look is not painted: see Looks.asked
            told = looks.asked(given)[1] if looks else given
            given = self._painter.paint(told, self.world.name, seed=seed)
        return begun_with(given[None], self._bundle, seed).state(self._session)

    def __deepcopy__(self, memo: dict[int, Any]) -> Dream:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self._opened, self._digest)


def _open_again(opened: tuple[Any, ...], digest: str) -> Dream:
    dream = Dream(*opened)
    if dream._digest != digest:
        raise WorldsimError(f"world {opened[0]} is not the one that was pickled: it was exported again since")
    return dream


def _check_picture(picture: Any) -> None:
    shape: tuple[int, ...] = getattr(picture, "shape", ())
    if getattr(picture, "dtype", None) != np.uint8 or len(shape) != 3 or shape[2] != 3 or not picture.size > 0:
        raise WorldsimError(
            f"an image {getattr(picture, 'dtype', type(picture).__name__)} {list(shape)}: give uint8 RGB [h, w, 3]"
        )
    if shape[0] * shape[1] > PIXELS:
        raise WorldsimError(f"an image of {shape[1]:,}x{shape[0]:,} pixels; at most {PIXELS:,} are read")


def _size(spec: WorldSpec) -> str:
    return f"{spec.width}x{spec.height} with actions {', '.join(action.name for action in spec.actions)}"
