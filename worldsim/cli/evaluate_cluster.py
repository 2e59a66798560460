"""`worldsim eval --ray`: the parts of an evaluation, each a task of any node of a Ray cluster.

World and recording are in folders that all nodes see. A part whose node dies is run again by another. The figures are
those of one machine, up to what another number of cores rounds otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from worldsim.cli.cluster import RETRIES, join_cluster, result_of
from worldsim.cli.evaluate import EvalConfig, opened
from worldsim.cli.reporting import progress
from worldsim.evals.core import ProgressCallback, no_progress
from worldsim.evals.section import Section


def evaluate_over_cluster(config: EvalConfig) -> list[Section]:
    """All sections, in the order of the report.

    Raises:
        WorldsimError: as `evaluate`; or if there is no cluster, or a part can't be run because whoever runs it dies.
    """
    ray = join_cluster()
    world = str(Path(config.world).resolve()) if Path(config.world).exists() else config.world
    config = dataclasses.replace(config, world=world, recording=config.recording.resolve())
    with opened(config, progress) as whole:
        parts = whole.parts
        assert whole.readers  # trained once, before others read them from beside the recording
    task = ray.remote(max_retries=RETRIES)(evaluate_part)
    running = [(part, task.remote(config, part)) for part in parts]
    sections = []
    for part, done in running:
        with progress(f"{part}, somewhere in the cluster", 1) as on_progress:
            sections += result_of(ray, done, f"{part} of the evaluation", "Look after the nodes, and run it again.")
            on_progress(1)
    return sections


def evaluate_part(config: EvalConfig, part: str) -> list[Section]:
    """The task of a worker."""
    with opened(config, _silent) as whole:
        return whole.run_part(part)


def _silent(title: str, total: int) -> contextlib.AbstractContextManager[ProgressCallback]:
    return contextlib.nullcontext(no_progress)
