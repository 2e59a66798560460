"""`worldsim record --ray`: ranges of seeds, played by all nodes of a Ray cluster into shards, then put in order.

    OUT.shards/seeds-0-7/recording/      a shard: the episodes of one range
    OUT.shards/seeds-0-7/failed.json     seeds with which the world raised an error, and which

Shards are on a file system that all nodes see, and appear whole or not at all. So a range whose worker or node dies is
played again by another, and a recorder that was killed goes on with the shards that are there. The recording is what
one machine would have written.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from worldsim import atomic
from worldsim.cli.cluster import RETRIES, join_cluster, result_of
from worldsim.cli.record import FailedSeed, Performs, Played, play_seed, write_recording
from worldsim.data.recording import Recording, RecordingWriter
from worldsim.safe_read import read_json, reading

SEEDS = 8  # of a range
FAILED = "failed.json"


def record_over_cluster(make: Callable[[], Performs], out: Path, frames: int, seed: int, skip: bool = False) -> None:
    """Record as `write_recording`, over the cluster that `RAY_ADDRESS` names, or the one that this machine is part of.

    Raises:
        WorldsimError: as `write_recording`; or if Ray is not installed, there is no cluster, or a range can't be
            played because whoever plays it dies.
    """
    ray = join_cluster()
    shards = out.with_name(f"{out.name}.shards").resolve()
    write_recording(make, out, frames, seed, functools.partial(_from_cluster, ray, make, shards, seed), skip)
    shutil.rmtree(shards, ignore_errors=True)  # those that were not needed


def _from_cluster(
    ray: Any, make: Callable[[], Performs], shards: Path, first: int, writer: RecordingWriter
) -> Iterator[Played]:
    """What was played with each seed from the writer's next one on, in order; ends when nobody asks for more."""
    task = ray.remote(max_retries=RETRIES)(play_range)
    begun = first + (writer.next_seed - first) // SEEDS * SEEDS
    ranges = (range(start, start + SEEDS) for start in itertools.count(begun, SEEDS))
    flight: collections.deque[tuple[range, Any]] = collections.deque()
    try:
        while True:
            while len(flight) <= ray.cluster_resources().get("CPU", 1):
                seeds = next(ranges)
                flight.append((seeds, task.remote(make, seeds, shards)))
            seeds, done = flight.popleft()
            way_out = f"The whole episodes in {writer.path} are safe; look after the nodes, and run the same again."
            result_of(ray, done, f"playing seeds {seeds.start} to {seeds.stop - 1}", way_out)
            for seed, played in read_shard(shards, seeds):
                if seed >= writer.next_seed:
                    yield seed, played
            shutil.rmtree(_shard(shards, seeds), ignore_errors=True)
    finally:
        for _, left in flight:
            ray.cancel(left, force=True)


def play_range(make: Callable[[], Performs], seeds: range, shards: Path) -> None:
    """The task of a worker: play a range into its shard, if that is not there."""
    shard = _shard(shards, seeds)
    atomic.settle(shard)
    if (shard / FAILED).exists():
        return
    with atomic.staging(shard, "Give --out on a file system that all nodes see.") as folder:
        failed = {}
        with contextlib.closing(make()) as performer:
            about = performer.world, seeds.start, performer.origin(), performer.hidden_layer
            with RecordingWriter(folder / "recording", *about) as writer:
                for seed in seeds:
                    try:
                        writer.append(play_seed(performer, seed), seed)
                    except FailedSeed as error:
                        failed[seed] = str(error)
        (folder / FAILED).write_text(json.dumps(failed))


def read_shard(shards: Path, seeds: range) -> Iterator[Played]:
    """What was played with each seed of a range.

    Raises:
        WorldsimError: if the shard is not whole.
    """
    shard, way_out = _shard(shards, seeds), f"Remove {shards} and run the same command again."
    atomic.settle(shard)
    failed = read_json(shard / FAILED, way_out)
    recording = Recording(shard / "recording")
    spans = dict(zip(recording.seeds.tolist(), recording.episodes(), strict=True))
    with reading(shard, way_out):
        for seed in seeds:
            yield seed, recording.episode(spans[seed]) if seed in spans else FailedSeed(failed[str(seed)])


def _shard(shards: Path, seeds: range) -> Path:
    return shards / f"seeds-{seeds.start}-{seeds.stop - 1}"
