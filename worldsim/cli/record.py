"""`worldsim record`: play a real world headless on all cores and write what was seen. Knows no model.

Episodes are played with the seeds from `seed` on by whichever process is free, and are written in order; so neither the
number of processes nor an interruption changes a single frame, and a kill loses only the episodes in flight.
"""

from __future__ import annotations

import collections
import concurrent.futures.process
import contextlib
import dataclasses
import functools
import importlib.metadata
import itertools
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tyro

from worldsim.cpu import usable_cores
from worldsim.data.recording import SIDE, Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.safe_read import reading
from worldsim.spec import WorldSpec
from worldsim.stopping import stop_requested
from worldsim.terminal import printable

LONGEST_EPISODE = 2000  # frames, for environments that never end
LONGEST = 1024  # pixels a side
MOST_FAILED = 20  # seeds in a row that are left out
PATIENCE = 5.0  # seconds for a game to end when its recorder was killed


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """Record a real world: worldsim record doom-maze --frames 100000 --out recordings/doom-maze

    Attributes:
        world: a real world's name (atari-freeway, doom-maze, doom-take-cover, toybox, rooms), or a Gymnasium id with
            RGB rendering and discrete actions.
        out: folder of the recording; an existing one of the same world and seed is continued.
        frames: how many frames at least; the last episode is not cut.
        seed: of the first episode; each one after it has the next seed.
        size: frame size as WIDTHxHEIGHT; the world's own if not given.
        workers: processes; 0 for one for each core that this process may use.
        episode_frames: end episodes after so many frames; 0 for the world's own length.
        skip: leave out seeds with which the world raises an error, and go on with the next one.
        ray: play on all nodes of the Ray cluster that this machine is part of, or that RAY_ADDRESS names; all see the
            folder of `out`.
    """

    world: tyro.conf.Positional[str]
    out: Path
    frames: int = 100_000
    seed: int = 0
    size: str = ""
    workers: int = 0
    episode_frames: int = 0
    skip: bool = False
    ray: bool = False


def record(config: RecordConfig) -> None:
    """Record until there are `config.frames` frames, and print what was recorded.

    Raises:
        WorldsimError: for a world that can't be made or recorded, a seed with which it fails, a size that isn't one,
            another recording at `out` or another process that records there, a full disk, or a process that was killed.
    """
    if config.frames < 1 or config.workers < 0 or config.episode_frames < 0 or config.seed < 0:
        raise WorldsimError("--frames must be at least 1; --workers, --episode-frames and --seed can't be negative")
    make = functools.partial(Performer, config.world, learnable_size(config.size), config.episode_frames)
    if config.ray:
        from worldsim.cli.record_cluster import record_over_cluster

        record_over_cluster(make, config.out, config.frames, config.seed, config.skip)
        return
    play = functools.partial(from_processes, make, config.workers or usable_cores())
    write_recording(make, config.out, config.frames, config.seed, play, config.skip)


def write_recording(
    make: Callable[[], Performs],
    out: Path,
    frames: int,
    seed: int,
    play: Callable[[RecordingWriter], Iterator[Played]],
    skip: bool = False,
) -> None:
    """Write the episodes that are played until there are `frames` frames, and print what was recorded.

    Args:
        make: makes a performer, which knows the world.
        out: folder of the recording.
        frames: how many at least.
        seed: of the first episode.
        play: a writer -> what was played with each seed from its next one on, in order.
        skip: leave out seeds with which the world raises an error.

    Raises:
        WorldsimError: as for `record`.
        KeyboardInterrupt: after the episode that is written, on SIGINT or SIGTERM.
    """
    with contextlib.closing(make()) as performer:
        world, origin, hidden_layer = performer.world, performer.origin(), performer.hidden_layer
    with RecordingWriter(out, world, seed, origin, hidden_layer) as writer:
        if writer.frames < frames:
            with ProgressBar(f"recording {world.name}", frames, writer.frames) as bar, stop_requested() as requested:
                for played_with, episode in _whole(play(writer), skip):
                    writer.append(episode, played_with)
                    bar.update(writer.frames)
                    if requested.is_set():  # never in the middle of a write, nor of what the pool does
                        raise KeyboardInterrupt
                    if writer.frames >= frames:
                        break
        total, episodes = writer.frames, writer.episodes
    shares = "".join(f", {share:.1%} {what}" for what, share in state_shares(Recording(out)).items())
    print(printable(f"{out}: {total} frames in {episodes} episodes{shares}"))


def from_processes(make: Callable[[], Performs], workers: int, writer: RecordingWriter) -> Iterator[Played]:
    """What processes of this machine play with each seed from the writer's next one on, in order.

    Args:
        make: makes the performer of a worker; is sent to its process.

    Raises:
        WorldsimError: if one of them is killed.
    """
    flight: collections.deque[tuple[int, concurrent.futures.Future[Episode | FailedSeed]]] = collections.deque()
    seeds = itertools.count(writer.next_seed)
    with _pool(workers, make) as pool:
        try:
            while True:
                while len(flight) <= workers:
                    seed = next(seeds)
                    flight.append((seed, pool.submit(_play, seed)))
                seed, played = flight.popleft()
                yield seed, played.result()
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorldsimError(
                f"a recording process was killed (out of memory?); the {writer.episodes} whole episodes in "
                f"{writer.path} are safe. Run the same command again, with fewer --workers if need be."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _whole(played: Iterator[Played], skip: bool) -> Iterator[tuple[int, Episode]]:
    """The episodes alone; seeds that failed are left out if they may be.

    Raises:
        WorldsimError: if they may not, or too many in a row fail.
    """
    failed = 0
    for seed, episode in played:
        if isinstance(episode, Episode):
            failed = 0
            yield seed, episode
            continue
        failed += 1
        if not skip:
            raise WorldsimError(f"{episode}. To leave such seeds out, run the same with --skip.") from episode
        if failed == MOST_FAILED:
            raise WorldsimError(f"{episode}, the last of {failed} in a row. Correct the world.") from episode
        print(f"{printable(episode)}: left out", file=sys.stderr)


def state_shares(recording: Recording) -> dict[str, float]:
    """The shares of frames in which a state is below a limit, as its world defined them: `{"close to a wall": 0.11}`.

    Raises:
        WorldsimError: if the recording's origin says something else.
    """
    names, shares = recording.spec.state_names, {}
    with reading(f"shares of {recording.path}", "Record again."):
        for what, (name, limit) in recording.origin.get("shares", {}).items():
            shares[str(what)] = float((recording.state[:, names.index(name)] < limit).mean())
    return shares


def parse_size(size: str) -> dict[str, int]:
    """`"128x96"` -> `{"width": 128, "height": 96}`; `""` -> `{}`.

    Raises:
        WorldsimError: for anything else.
    """
    if not size:
        return {}
    width, _, height = size.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise WorldsimError(f"--size {size!r} is not WIDTHxHEIGHT, as in 128x96")
    return {"width": int(width), "height": int(height)}


def learnable_size(size: str) -> dict[str, int]:
    """`parse_size` of a size that worlds can be learned at.

    Raises:
        WorldsimError: for anything else, with the nearest that is one.
    """
    sides = parse_size(size)
    if any(side % SIDE or not SIDE <= side <= LONGEST for side in sides.values()):
        nearest = "x".join(str(min(max(SIDE * round(n / SIDE), SIDE), LONGEST)) for n in sides.values())
        raise WorldsimError(
            f"--size {size}: nothing could learn from it. Give multiples of {SIDE} up to {LONGEST}, as in {nearest}"
        )
    return sides


class FailedSeed(Exception):
    """A world raised an error while it was played with a seed."""


Played = tuple[int, Episode | FailedSeed]  # a seed, and what came of it


class Performs(Protocol):
    """Plays whole episodes of a real world.

    Attributes:
        world: that it plays.
        hidden_layer: whether its episodes have one.
    """

    world: WorldSpec
    hidden_layer: bool

    def origin(self) -> dict[str, Any]:
        """Source and licence of the frames, and what recorded them."""

    def close(self) -> None:
        """End the world, and the processes it may have."""

    def play(self, seed: int) -> Episode:
        """One episode; the same seed gives the same episode."""


class Performer:
    """A real world and its explorer, which play whole episodes."""

    def __init__(self, world: str, options: dict[str, Any], episode_frames: int = 0):
        from worldsim_envs.registry import WORLDS, import_real

        self._env = import_real(world, **options)
        self.world: WorldSpec = self._env.world
        self.hidden_layer = self._env.has_hidden_layer
        own = WORLDS[world].episode_frames or 10**9 if world in WORLDS else LONGEST_EPISODE
        self._longest = episode_frames or own

    def origin(self) -> dict[str, Any]:
        """Source and licence of the frames, and what recorded them."""
        return origin_of(self._env)

    def close(self) -> None:
        """End the world, and the processes it may have."""
        self._env.close()

    def play(self, seed: int) -> Episode:
        """One episode; the same seed gives the same episode."""
        from worldsim_policies.base import make_explorer

        explorer = make_explorer(self.world.name, np.random.default_rng([seed, 1]), len(self.world.actions))
        observation, info = self._env.reset(seed=seed)
        return play_on(self._env, observation, info, explorer, self._longest)


def play_on(
    env: Any,
    observation: np.ndarray,
    info: dict[str, Any],
    choose: Callable[[np.ndarray, dict[str, Any]], int],
    longest: int,
) -> Episode:
    """Play an environment from the current observation to the end of its episode, or to `longest` frames."""
    nothing = np.zeros(0, np.float32)
    frames, states = [observation], [info.get("state", nothing)]
    hidden = [env.hidden_layer()] if env.has_hidden_layer else []
    actions, rewards, ends = [], [], []
    done = False
    while not done and len(frames) < longest:
        action = choose(observation, info)
        observation, reward, terminated, truncated, info = env.step(np.int64(action))
        actions.append(action)
        rewards.append(np.asarray(reward, np.float64).item())  # some games pay an array of one
        ends.append(terminated)
        frames.append(observation)
        states.append(info.get("state", nothing))
        if env.has_hidden_layer:
            hidden.append(env.hidden_layer())
        done = terminated or truncated
    return Episode(
        np.stack(frames),
        np.array([*actions, -1], np.int16),
        np.array([*rewards, 0]),
        np.array([*ends, False]),
        np.stack(states).astype(np.float32),
        np.stack(hidden) if hidden else None,
    )


def origin_of(env: Any) -> dict[str, Any]:
    """Source and licence of a real world's frames, and what records them."""
    return {**env.origin, "recorder": f"worldsim-engine {_version('worldsim-engine')}"}


def _pool(workers: int, make: Callable[[], Performs]) -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(make,),
    )


_performer: Performs | None = None  # a worker's own


def _start_worker(make: Callable[[], Performs]) -> None:
    global _performer
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C reaches the recorder alone, which lets the workers finish their episodes
    _performer = make()
    threading.Thread(target=_die_with_recorder, args=(_performer,), daemon=True).start()


def _die_with_recorder(performer: Performs) -> None:
    """A killed recorder takes its workers with it, and a worker its game, which may be a process of its own."""
    recorder = multiprocessing.parent_process()
    assert recorder is not None
    recorder.join()
    timer = threading.Timer(PATIENCE, os._exit, [1])
    timer.start()
    try:
        performer.close()
    finally:
        os._exit(1)


def _play(seed: int) -> Episode | FailedSeed:
    assert _performer is not None
    try:
        return play_seed(_performer, seed)
    except FailedSeed as failed:
        return failed


def play_seed(performer: Performs, seed: int) -> Episode:
    """One episode.

    Raises:
        FailedSeed: if the world raises an error.
    """
    try:
        return performer.play(seed)
    except AssertionError:
        raise
    except Exception as error:  # whatever a game raises
        kind = "" if isinstance(error, WorldsimError) else f"{type(error).__name__}: "
        reason = f"{kind}{' '.join(str(error).split())[:300]}"
        raise FailedSeed(f"{performer.world.name} fails with seed {seed} ({reason})") from None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(source tree)"
