"""Event rates of the same world by several numbers of passes, from the same beginnings under the same actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from worldsim.evals.core import Codec, ProgressCallback, no_progress, rollout
from worldsim.evals.generated import PredictionRecorder, SessionSimulator
from worldsim.evals.instruments.events import Episodes, events
from worldsim.evals.instruments.few_step import slug
from worldsim.evals.instruments.state import ReadState
from worldsim.evals.probes import EventProbe
from worldsim.evals.real_play import Play
from worldsim.evals.section import Section, Table
from worldsim.runtime.base import Runtime


def few_step_events(
    worlds: Mapping[str, Runtime],
    probes: Sequence[EventProbe],
    read: ReadState,
    played: Play,
    codec: Codec,
    seed: int = 0,
    on_progress: ProgressCallback = no_progress,
) -> Section:
    """Relative errors of the rates, for each of the worlds by name.

    Args:
        probes: what to count. read: the state off frames.
        played: real episodes `[B, n + 1, ...]` under random actions, whose first frames are the context.
    """
    section = Section("few_step_events", "Do events happen as often?", "")
    rows: list[tuple[Any, ...]] = []
    labels: tuple[str, ...] = ()
    for name, runtime in worlds.items():
        simulator = SessionSimulator(runtime, rows=24)
        context = simulator.context
        begun = ~played.ended[:, : context - 1].any(1)
        frames, taken, ended, rewards = (part[begun] for part in played)
        future = taken[:, context - 1 :]
        real = Episodes.of(codec(frames[:, context:]), ended[:, context - 1 :], rewards[:, context - 1 :])
        recorder = PredictionRecorder(simulator, *future.shape)
        past = frames[:, :context], taken[:, : context - 1]
        made = rollout(simulator, *past, future, seed, on_progress, recorder)
        generated = Episodes.of(made, recorder.ended, recorder.reward)
        judged = events(probes, runtime.spec.state_names, read, real, generated)
        section = dataclasses.replace(section, method=judged.method)
        for figure in judged.figures:
            key = f"few_step_{figure.key}.{slug(name)}"
            section.figures.append(dataclasses.replace(figure, key=key, label=f"{name}: {figure.label}"))
        labels = tuple(row[0] for row in judged.tables[0].rows)
        rows += [(name, *(row[3] for row in judged.tables[0].rows))]
    real_rates = ("real", *(row[1] for row in judged.tables[0].rows)) if worlds else ()
    section.tables.append(Table("Rates", ("", *labels), [real_rates, *rows]))
    return section
