"""`worldsim record clips`: short pieces of a real world at many sizes, with captions, to learn to imagine from.

Shard i is a function of the seed and i alone, so neither the number of processes nor an interruption changes a clip; a
kill loses only the shards in flight.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import math
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import tyro

from worldsim import atomic
from worldsim.cpu import usable_cores
from worldsim.data.captioned import KIND, SHARD, CaptionedClips, ClipSource, write_manifest
from worldsim.data.clip_shards import Clip, shard_facts, shard_name, write_shard
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.terminal import printable

SEEDS = 1_000_000  # of a shard's groups


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """Record clips in words: worldsim record clips toybox --out recordings/toybox-clips --clips 20000

    Attributes:
        world: a real world that says its state in words.
        out: folder of the clips; one of the same world and seed is continued.
        clips: how many at least, of 17 frames each; the last shard is not cut.
        seed: of the first group of clips.
        workers: processes; 0 for one for each core that this process may use.
    """

    world: tyro.conf.Positional[str]
    out: Path
    clips: int = 20_000
    seed: int = 0
    workers: int = 0


def record_clips(config: RecordConfig) -> None:
    """Record until there are `config.clips` clips, and print what was recorded.

    Raises:
        WorldsimError: for a world without words, another set at `out`, or a full disk.
    """
    if config.clips < 1 or config.workers < 0 or config.seed < 0:
        raise WorldsimError("--clips must be at least 1; --workers and --seed can't be negative")
    source = source_of(config.world)
    there = sorted(config.out.glob("shard-*.safetensors"))
    if not there:
        KIND.check_free(config.out)
    facts = {"world": config.world, "seed": config.seed, "unseen": [list(size) for size in source.unseen]}
    shards = max(math.ceil(config.clips / SHARD), len(source.unseen) + 1, len(there))
    with atomic.lock(config.out):
        missing = [i for i in range(shards) if not _is_there(config.out / shard_name(i), facts)]
        work = functools.partial(_write, config.world, config.out, facts)
        with ProgressBar(f"clips of {config.world}", shards, shards - len(missing)) as bar:
            for done, _ in enumerate(_each(work, missing, config.workers or usable_cores())):
                bar.update(shards - len(missing) + done + 1)
    write_manifest(config.out, shards, facts)  # of all files but the lock
    clips = CaptionedClips(config.out)
    train, held_out = (sum(map(len, clips.buckets(kept).values())) for kept in (False, True))
    print(
        printable(f"{config.out}: {train} clips to learn from, {held_out} held out, {len(clips.buckets(True))} sizes")
    )


def source_of(world: str) -> ClipSource:
    """How a world makes clips.

    Raises:
        WorldsimError: if it says nothing in words.
    """
    from worldsim_envs.registry import WORLDS, load, world_entry

    if not (entry_point := world_entry(world).clips):
        able = ", ".join(name for name, entry in WORLDS.items() if entry.clips)
        raise WorldsimError(f"{world!r} has no words for what it shows; there are {able}")
    source: ClipSource = load(entry_point)
    return source


def _is_there(path: Path, facts: dict[str, object]) -> bool:
    if not path.exists():
        return False
    found = shard_facts(path)
    if any(found.get(key) != value for key, value in facts.items()):
        raise WorldsimError(f"{path} was recorded of another world, or with another --seed; give another --out")
    return True


def _each(work: Callable[[int], None], shards: list[int], workers: int) -> Iterator[None]:
    """Do the work of each shard, in processes if there are several; yields as they are done."""
    if workers == 1 or len(shards) < 2:
        yield from map(work, shards)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(workers, len(shards)), mp_context=context) as pool:
        futures = [pool.submit(work, shard) for shard in shards]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _write(world: str, out: Path, facts: dict[str, object], shard: int) -> None:
    from worldsim_policies.base import make_explorer

    source = source_of(world)
    height, width = source.size(shard)
    begin = int(str(facts["seed"])) + shard * SEEDS
    clips: list[Clip] = []
    while len(clips) < SHARD:
        clips += source.make(begin, height, width, lambda rng: make_explorer(world, rng))
        begin += 1
    write_shard(out / shard_name(shard), clips[:SHARD], facts)
