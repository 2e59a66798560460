"""`worldsim record --ray`: a recording made by the nodes of a cluster is the one that a single machine makes."""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.main import main
from worldsim.cli.record import FailedSeed, write_recording
from worldsim.cli.record_cluster import SEEDS, play_range, read_shard, record_over_cluster
from worldsim.data.recording import FIELDS, Episode, Recording
from worldsim.errors import WorldsimError
from worldsim.spec import Action, WorldSpec

SPEC = WorldSpec("numbers", 8, 16, 10.0, 1, (Action("go"), Action("stay")), {}, ("seed",))


class Numbers:
    """Episodes that tell their seed, and take a moment; a third of the seeds fails."""

    world, hidden_layer = SPEC, False

    def __init__(self, takes: float = 0.0):
        self._takes = takes

    def origin(self):
        return {"source": "numbers", "licence": "none"}

    def close(self):
        pass

    def play(self, seed: int) -> Episode:
        time.sleep(self._takes)
        if seed % 3 == 2:
            raise RuntimeError(f"I don't like {seed}")
        rng, t = np.random.default_rng(seed), 3 + seed % 4
        frames = rng.integers(0, 256, (t, 8, 16, 3), dtype=np.uint8)
        actions = np.append(rng.integers(0, 2, t - 1), -1).astype(np.int16)
        return Episode(frames, actions, np.zeros(t), np.zeros(t, bool), np.full((t, 1), seed, np.float32))


def assert_same(first: Path, second: Path) -> None:
    a, b = Recording(first), Recording(second)
    np.testing.assert_array_equal(a.ends, b.ends)
    np.testing.assert_array_equal(a.seeds, b.seeds)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name)[: len(a)], getattr(b, name)[: len(b)])


def test_a_shard_is_played_once_and_says_which_seeds_failed(tmp_path):
    seeds, played = range(8, 16), []

    class Counted(Numbers):
        def play(self, seed):
            played.append(seed)
            return super().play(seed)

    play_range(Counted, seeds, tmp_path)
    play_range(Counted, seeds, tmp_path)
    assert played == list(seeds)
    found = dict(read_shard(tmp_path, seeds))
    assert [seed for seed, what in found.items() if isinstance(what, FailedSeed)] == [8, 11, 14]
    assert "I don't like 11" in str(found[11]) and len(found[9]) == 4
    json.loads((tmp_path / "seeds-8-15" / "failed.json").read_text())
    with pytest.raises(WorldsimError, match="run the same command again"):
        list(read_shard(tmp_path, range(16, 24)))


def test_without_ray_the_way_out_is_an_install_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["record", "toybox", "--frames", "10", "--out", str(tmp_path / "r"), "--ray"]) == 2
    assert "pip install '.[cluster]'" in capsys.readouterr().err


@pytest.fixture
def cluster():
    """Two nodes of one core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        nodes.add_node(num_cpus=1)
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_dies_and_the_recording_is_the_same(cluster, tmp_path):
    def alone(writer):
        seed, performer = writer.next_seed, Numbers()
        while True:
            try:
                yield seed, performer.play(seed)
            except RuntimeError as error:
                yield seed, FailedSeed(str(error))
            seed += 1

    one, many, frames = tmp_path / "one", tmp_path / "many", 4 * 4 * SEEDS
    write_recording(Numbers, one, frames, 5, alone, skip=True)

    def kill_one() -> None:
        while not list((tmp_path / "many.shards").glob("*/.partial")) and not stop.wait(0.05):
            pass
        time.sleep(1.0)
        cluster.remove_node(victim, allow_graceful=False)

    victim, stop = next(iter(cluster.worker_nodes)), threading.Event()
    killer = threading.Thread(target=kill_one)
    killer.start()
    record_over_cluster(functools.partial(Numbers, 0.4), many, frames, 5, skip=True)
    stop.set()
    killer.join()
    assert not cluster.worker_nodes
    assert_same(one, many)
    assert not (tmp_path / "many.shards").exists()
