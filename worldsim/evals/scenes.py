"""Scenes: stretches of held-out play to start from and to compare with, sampled by seed. Knows no simulator.

N scenes, T context frames, n frames after them, S components of exact state.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Scenes of equal length.

    Attributes:
        frames: uint8 `[N, T+n, H, W, 3]`.
        actions: int64 `[N, T+n]`, each taken on seeing the frame of the same index; -1 at an episode's end.
        rewards: float32 `[N, T+n]`, that the actions led to.
        state: float32 `[N, T+n, S]`.
        lasts: int64 `[N]`, the recording's index of each last context frame.
        context: T.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    state: np.ndarray
    lasts: np.ndarray
    context: int

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def past(self) -> tuple[np.ndarray, np.ndarray]:
        """Context frames `[N, T, H, W, 3]` and the actions between them `[N, T-1]`, as `rollout` takes them."""
        return self.frames[:, : self.context], self.actions[:, : self.context - 1]

    @property
    def future_actions(self) -> np.ndarray:
        """int64 `[N, n]`, the first taken on seeing the last context frame."""
        return self.actions[:, self.context - 1 : -1]

    @property
    def truth(self) -> np.ndarray:
        """The real frames after the context, uint8 `[N, n, H, W, 3]`."""
        return self.frames[:, self.context :]

    @property
    def true_state(self) -> np.ndarray:
        """The exact state of `truth`, float32 `[N, n, S]`."""
        return self.state[:, self.context :]


class RecordingSplit:
    """One split of a recording, its actions and states in memory, its frames read on demand.

    Attributes:
        name: of the split. episodes: first frame and end of each.
        actions: int64 `[M]`; rewards: float32 `[M]`; terminated: bool `[M]`; state: float32 `[M, S]`: of all M frames
            of the recording.

    Raises:
        WorldsimError: if the split has no episode.
    """

    def __init__(self, recording: Recording, name: str = "held-out"):
        self.recording, self.name = recording, name
        self.episodes = recording.episodes(name)
        if not self.episodes:
            raise WorldsimError(
                f"recording {recording.path} has no {name} episode ({len(recording.ends)} in all, one in ten is "
                f"held out). "
                "Record more: worldsim record with more --frames."
            )
        total = len(recording)
        self.actions = np.asarray(recording.actions[:total]).astype(np.int64)
        self.rewards = np.asarray(recording.rewards[:total])
        self.terminated = np.asarray(recording.terminated[:total]).astype(bool)
        self.state = np.asarray(recording.state[:total])

    def longest(self, context: int) -> int:
        """Frames that can follow `context` frames in the longest episode; below 1 if none can."""
        return max(end - start for start, end in self.episodes) - context

    def draw(self, count: int, context: int, horizon: int, seed: int, where: np.ndarray | None = None) -> Scenes:
        """Up to `count` different scenes, spread evenly over the episodes.

        Args:
            context, horizon: T and n.
            where: bool `[M]`, which frames may be the last of a context; any if not given.

        Raises:
            WorldsimError: if no episode holds such a scene.
        """
        rng = np.random.default_rng(seed)
        queues = []
        for start, end in self.episodes:
            lasts = np.arange(start + context - 1, end - horizon)
            lasts = lasts if where is None else lasts[where[lasts]]
            queues.append(rng.permutation(lasts))
        turns = [queue[i] for i in range(max(map(len, queues))) for queue in queues if i < len(queue)][:count]
        if not turns:
            raise WorldsimError(
                f"recording {self.recording.path}: no {self.name} episode has {context + horizon} frames in a row "
                f"that fit. "
                "Record longer or more episodes."
            )
        return self.scenes(np.array(turns) - context + 1, context, context + horizon)

    def scenes(self, firsts: np.ndarray, context: int, length: int) -> Scenes:
        """The scenes whose first frames have these indices in the recording, `length` frames each."""
        index = firsts[:, None] + np.arange(length)
        frames = np.stack([np.asarray(self.recording.frames[i : i + length]) for i in firsts])
        return Scenes(
            frames, self.actions[index], self.rewards[index], self.state[index], firsts + context - 1, context
        )


def check_recording(recording: Recording, spec: WorldSpec) -> None:
    """Refuse a recording of another world, size or set of actions.

    Raises:
        WorldsimError: naming what differs.
    """
    theirs, ours = _facts(recording.spec), _facts(spec)
    for fact in ours:
        if theirs[fact] != ours[fact]:
            raise WorldsimError(
                f"recording {recording.path} does not fit the world {spec.name!r}: its {fact} is {theirs[fact]}, "
                f"not {ours[fact]}. "
                f"Record that world at that size: worldsim record {spec.name} --size {spec.width}x{spec.height} "
                f"--out ..."
            )


def _facts(spec: WorldSpec) -> dict[str, str]:
    return {
        "world": spec.name,
        "frame size": f"{spec.width}x{spec.height}",
        "frame skip": str(spec.frame_skip),
        "list of actions": ", ".join(action.name for action in spec.actions),
        "list of states": ", ".join(spec.state_names),
    }
