"""`worldsim eval live`: a world drawn in other looks while it is played, and events told to it in words, judged."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.instruments import live
from worldsim.evals.instruments.imagine import LookReader
from worldsim.evals.permanence.detector import detect
from worldsim.evals.permanence.scene import COLOURS
from worldsim.evals.section import Section
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.events import Painter, happen, parse_event, region_of
from worldsim.runtime.load import load_runtime
from worldsim.runtime.looks import Looks
from worldsim.runtime.session import Session, State

ROWS = 8  # rollouts at once
LEAD = 8  # frames before an event
REAL = 48  # real frames in every look
TIMED = 100  # frames


@dataclasses.dataclass(frozen=True)
class EvalLiveConfig:
    """Judge live looks and events: worldsim eval live toybox

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        model: folder of the run that trained what imagines, to paint the events; else an exact brush alone does.
        out: where the report goes; `reports/NAME` if not given.
        rollouts: that are drawn in every look. frames: of each.
        events: of each kind.
        seed: of everything.
    """

    world: tyro.conf.Positional[str]
    model: Path | None = None
    out: Path | None = None
    rollouts: int = 24
    frames: int = 64
    events: int = 32
    seed: int = 0


def eval_live(config: EvalLiveConfig) -> None:
    """Judge, print, and write live.json, live.html and figures.json.

    Raises:
        WorldsimError: for a world that can't be opened or that nobody can judge, or a missing package.
    """
    if min(config.rollouts, config.frames - 7, config.events) < 1:
        raise WorldsimError("--rollouts and --events must be at least 1, --frames at least 8")
    report.check_packages()
    bundle = open_world(config.world)
    judge = judge_of(bundle.spec.name)
    session = Session(load_runtime(bundle))
    painters: dict[str, Painter] = {"exact brush": judge.Brush(bundle.spec.height)}
    if config.model:
        painters["imaginer"] = imaginer(config.model)
    looks = Looks.open(bundle)
    sections = [] if looks is None else [judge_looks(config, bundle, session, looks, judge)]
    sections += [judge_events(config, session, judge, name, painter) for name, painter in painters.items()]
    title = f"Live play of {bundle.spec.title or bundle.spec.name}"
    made = report.Report("live", title, report_facts(bundle, "eval live", config.world), sections)
    publish(made, report_folder(config.out, bundle.spec.name))


def judge_of(world: str) -> Any:
    """The module that live play of a world is judged by.

    Raises:
        WorldsimError: if there is none.
    """
    from worldsim_envs.registry import WORLDS, load

    if world not in WORLDS or not (module := WORLDS[world].live):
        able = ", ".join(name for name, entry in WORLDS.items() if entry.live)
        raise WorldsimError(f"nobody can judge live play of {world!r}; there are judges of {able}")
    return load(module)


def imaginer(model: Path) -> Painter:
    """What a run has trained, as a painter of events."""
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.runtime.repaint import Repainter
    from worldsim.train.video_dit import load_imaginer

    return Repainter(load_imaginer(model))


def judge_looks(config: EvalLiveConfig, bundle: Bundle, session: Session, looks: Looks, judge: Any) -> Section:
    """Rollouts under random actions, drawn in every look."""
    from worldsim_policies.base import StickyExplorer

    spec, made = bundle.spec, []
    with progress("rollouts", config.rollouts * config.frames) as done:
        for first in range(0, config.rollouts, ROWS):
            rows = range(first, min(first + ROWS, config.rollouts))
            players = [StickyExplorer(len(spec.actions), np.random.default_rng([config.seed, row])) for row in rows]
            starts = [row % len(bundle.starts) for row in rows]
            state, frames = session.start(starts, [config.seed + row for row in rows]), []
            for _ in range(config.frames):
                actions = [player(frame, {}) for player, frame in zip(players, state.frame, strict=True)]
                state, seen = session.step(state, np.array(actions))
                frames.append(seen.frame)
                done(len(rows))
            made.append(np.stack(frames, axis=1))
    rollouts = np.concatenate(made)
    real = judge.in_looks(REAL, config.seed, spec.height, spec.width)
    others: Mapping[str, np.ndarray] = judge.in_looks(REAL, config.seed + REAL, spec.height, spec.width)
    reader = LookReader([f for look in others.values() for f in look], [k for k, v in others.items() for _ in v])
    native = real[looks.names[0]]
    drawn = {}
    for look in looks.names[1:]:
        in_look = looks.draw(rollouts.reshape(-1, *rollouts.shape[2:]), look).reshape(rollouts.shape)
        restored = functools.partial(judge.restored, look=look)
        drawn[look] = live.Restyled(in_look, real[look], looks.draw(native, look), restored)
    milliseconds, fps = timed(session, looks)
    return live.restyle(rollouts, native, drawn, reader, judge.areas(spec.height), milliseconds, fps)


def timed(session: Session, looks: Looks) -> tuple[np.ndarray, float]:
    """Milliseconds of each drawing, and frames a second of generating and drawing them one by one."""
    state, taken, idle = session.start([0], [0]), [], np.array([session.spec.noop])
    looks.draw(state.frame, looks.names[-1])
    began = time.perf_counter()
    for _ in range(TIMED):
        state, seen = session.step(state, idle)
        drawing = time.perf_counter()
        looks.draw(seen.frame, looks.names[-1])
        taken.append(1000 * (time.perf_counter() - drawing))
    return np.array(taken), TIMED / (time.perf_counter() - began)


def judge_events(config: EvalLiveConfig, session: Session, judge: Any, name: str, painter: Painter) -> Section:
    """Things that appear and vanish while nobody does anything, and the same play without."""
    told, refused, areas = [], 0, judge.areas(session.spec.height)
    with progress(f"events, {name}", 2 * config.events) as done:
        for kind in ("appears", "vanishes"):
            for first in range(0, config.events, ROWS):
                rows = range(first, min(first + ROWS, config.events))
                some, without = tell(config, session, judge, kind, rows, painter, areas)
                told += some
                refused += without
                done(len(rows))
    return live.events(told, areas, name, refused)


def tell(
    config: EvalLiveConfig,
    session: Session,
    judge: Any,
    kind: str,
    rows: range,
    painter: Painter,
    areas: tuple[float, float],
) -> tuple[list[live.Told], int]:
    """One event in each of some rows, and what followed; and how many were not possible."""
    starts = session.runtime.starts
    assert starts is not None
    state = session.start([row % len(starts) for row in rows], [config.seed + row for row in rows])
    state = idle(session, state, LEAD)
    begun: list[tuple[live.Told, State]] = []
    for row, alone in zip(rows, session.split(state), strict=True):
        frame, rng = alone.frame[0], np.random.default_rng([config.seed, row])
        thing = choose(kind, frame, areas, rng)
        if thing is None:
            continue
        words = f"a {COLOURS[thing[0]]} {judge.NOUNS[thing[1]]} drops in"
        if kind == "vanishes":
            words = f"the {COLOURS[thing[0]]} {judge.NOUNS[thing[1]]} is gone"
        try:
            region = region_of(frame, parse_event(words), painter)
        except WorldsimError:
            continue
        begun.append((live.Told(kind, words, *thing, frame, frame, region, {}, {}), alone))
    if not begun:
        return [], len(rows)
    before = session.stack([alone for _, alone in begun])
    states = happen(session, before, [parse_event(told.words) for told, _ in begun], painter)
    later, untold = followed(session, states[-1]), followed(session, idle(session, before, len(states) - 1))
    made = []
    for i, (told, _) in enumerate(begun):
        follows = ({k: frames[i] for k, frames in side.items()} for side in (later, untold))
        made.append(dataclasses.replace(told, after=states[0].frame[i], later=next(follows), untold=next(follows)))
    return made, len(rows) - len(made)


def choose(
    kind: str, frame: np.ndarray, areas: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int] | None:
    """Colour and shape of a thing that may come, in a colour that isn't there, or of one that may go, the only one of
    its colour and whole; None if there is none."""
    found = detect(frame, areas)
    colours = [thing.colour for thing in found]
    if kind == "appears":
        free = [colour for colour in range(len(COLOURS)) if colour not in colours]
        return (int(rng.choice(free)), int(rng.integers(4))) if free else None
    whole = [d for d in found if d.area >= 0.8 * areas[0] and colours.count(d.colour) == 1]
    return (whole[0].colour, whole[0].shape) if whole else None


def idle(session: Session, state: State, frames: int) -> State:
    """So many frames in which nobody does anything."""
    for _ in range(frames):
        state, _ = session.step(state, np.full(len(state), session.spec.noop))
    return state


def followed(session: Session, state: State) -> dict[int, np.ndarray]:
    """The frames `live.LATER`, uint8 `[B, H, W, 3]` each, while nobody does anything."""
    frames, done = {}, 0
    for k in live.LATER:
        state, done = idle(session, state, k - done), k
        frames[k] = state.frame
    return frames
