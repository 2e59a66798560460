"""`worldsim eval`: evaluate a world on held-out episodes of its recording.

Looks up the real world and its policies, and hands them to `worldsim.evals.evaluation`, which knows neither.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.cli.worlds import probes_of
from worldsim.data.recording import Recording
from worldsim.errors import require
from worldsim.evals import evaluation, report
from worldsim.evals.core import Policy
from worldsim.evals.instruments.state import ReadState
from worldsim.evals.real_play import RealPlay
from worldsim.evals.scenes import check_recording
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.spec import WorldSpec


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Evaluate a world on held-out play: worldsim eval doom-maze --recording recordings/doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        recording: of the same real world and size; only its held-out episodes are evaluated on.
        out: where the report goes; `reports/NAME` if not given.
        quick: a fifth of everything, for a first look.
        runtime: onnx or torch.
        seed: of the scenes, the noise and the policies.
        ray: run the parts on the nodes of the Ray cluster that this machine is part of, or that RAY_ADDRESS names; all
            see the folders of world and recording.
    """

    world: tyro.conf.Positional[str]
    recording: Path
    out: Path | None = None
    quick: bool = False
    runtime: str = "onnx"
    seed: int = 0
    ray: bool = False


def evaluate(config: EvalConfig) -> None:
    """Evaluate, print, and write `eval.json`, `eval.html` and `figures.json`.

    Raises:
        WorldsimError: for a world or recording that can't be opened or don't fit each other, or a missing package.
    """
    report.check_packages()
    require("torch", "eval")
    require("skimage", "eval")
    bundle, recording = open_world(config.world), Recording(config.recording)
    check_recording(recording, bundle.spec)
    if config.ray:
        from worldsim.cli.evaluate_cluster import evaluate_over_cluster

        sections = evaluate_over_cluster(config)
    else:
        with opened(config, progress) as whole:
            sections = whole.run()
    held_out = len(recording.episodes("held-out"))
    facts = report_facts(bundle, "eval", config.world)
    facts["recording"] = f"{len(recording)} frames, seed {recording.seed}, {held_out} held-out episodes"
    title = f"How good is {bundle.spec.title or bundle.spec.name}?"
    verdicts = report.judge_targets(probes_of(bundle.spec).targets, sections)
    publish(report.Report("eval", title, facts, sections, verdicts), report_folder(config.out, bundle.spec.name))


@contextlib.contextmanager
def opened(config: EvalConfig, on_progress: evaluation.Progress) -> Iterator[evaluation.Evaluation]:
    """The evaluation that was asked for, with all that it compares the world with."""
    bundle, recording = open_world(config.world), Recording(config.recording)
    size = evaluation.QUICK if config.quick else evaluation.FULL
    with real_play(bundle.spec) as real:
        runtime = load_runtime(bundle, config.runtime)
        arguments = runtime, recording, probes_of(bundle.spec), real, size, config.seed, on_progress
        yield evaluation.Evaluation(*arguments)


@contextlib.contextmanager
def real_play(spec: WorldSpec) -> Iterator[RealPlay]:
    """The real world and its policies; without an environment for a world that is not one of worldsim's own.

    A bundle's name is only looked up among those: it never decides what is imported.

    Raises:
        WorldsimError: if a package of one of worldsim's own worlds is missing.
    """
    from worldsim_envs.registry import make_real, world_entry

    def make_policy(rows: int, seed: int, read_state: ReadState | None, info: Mapping[str, Any]) -> Policy:
        return ExplorerPolicy(spec, rows, seed, read_state, info)

    def random_actions(rows: int, steps: int, seed: int) -> np.ndarray:
        from worldsim_policies.base import StickyExplorer

        unseen = np.zeros((spec.height, spec.width, 3), np.uint8)
        explorers = [StickyExplorer(len(spec.actions), np.random.default_rng([seed, row, 3])) for row in range(rows)]
        return np.array([[explorer(unseen, {}) for _ in range(steps)] for explorer in explorers], np.int64)

    there = world_entry(spec.name).env
    env: Any = make_real(spec.name, height=spec.height, width=spec.width) if there else None
    with contextlib.closing(env) if env is not None else contextlib.nullcontext():
        yield RealPlay(env, make_policy, random_actions)


class ExplorerPolicy:
    """One scripted explorer a row, which sees frames only: what it needs of the state is read off them.

    Args:
        rows: how many worlds it acts in at once.
        read_state: None for a world without state, whose explorer needs none.
        info: of a reset of the real world, which a maze's explorer takes its walls from.
    """

    def __init__(self, spec: WorldSpec, rows: int, seed: int, read_state: ReadState | None, info: Mapping[str, Any]):
        from worldsim_policies.base import make_explorer

        rngs = [np.random.default_rng([seed, row, 2]) for row in range(rows)]
        self._explorers = [make_explorer(spec.name, rng, len(spec.actions)) for rng in rngs]
        self._read_state, self._walls = read_state, info.get("walls")

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, H, W, 3]` -> actions int64 `[B]`."""
        states: Any = [None] * len(frames) if self._read_state is None else self._read_state(frames)
        infos = [{"state": state, "walls": self._walls} for state in states]
        rows = zip(self._explorers, frames, infos, strict=True)
        return np.array([explorer(frame, info) for explorer, frame, info in rows], np.int64)
