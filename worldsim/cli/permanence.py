"""`worldsim eval permanence`: evaluate the memory of a generated world or of any other model, here or from its frames.

Knows which worlds can be staged, and hands their staging to the suite, which knows none.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import tyro

from worldsim.cli.record import parse_size
from worldsim.cli.reporting import progress, publish, report_folder, say_written
from worldsim.cli.worlds import permanence_targets
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.generated import SessionSimulator, runtime_codec
from worldsim.evals.permanence import calibration, offline, page, suite
from worldsim.evals.permanence.adapter import check_adapter, load_adapter
from worldsim.evals.permanence.ask import ask
from worldsim.evals.permanence.results import write_results
from worldsim.evals.permanence.run import Setting, Staging, Subject, run
from worldsim.evals.permanence.scene import CONTEXT, TWINS, VERSION, Scene
from worldsim.evals.permanence.targets import asked_targets
from worldsim.evals.section import Section
from worldsim.evals.terminal import plain, show, wide_console
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime

TierName = Literal["smoke", "standard", "full"]


@dataclasses.dataclass(frozen=True)
class PermanenceConfig:
    """Evaluate what a world remembers of what it no longer shows: worldsim eval permanence --world toybox --tier smoke

    Attributes:
        world: a shipped world's name, or the folder of a bundle; with --model the real world that the model imitates.
        model: another model, as package.module:Adapter; see docs/permanence.md.
        tier: how much is asked: smoke takes minutes, standard most of an hour, full a night.
        out: where the results go; reports/WORLD if not given.
        secret: a file whose content draws private seeds, which nobody can train on.
        size: of a model's frames as WIDTHxHEIGHT; the real world's own if not given.
        runtime: onnx or torch, for generated worlds.
    """

    world: str
    model: str = ""
    tier: TierName = "standard"
    out: Path | None = None
    secret: Path | None = None
    size: str = ""
    runtime: str = "onnx"


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Write what a model is asked, to answer it elsewhere: worldsim eval permanence export --world toybox --out asks

    Attributes:
        world: the real world.
        out: the folder; an older export there is replaced.
        tier: how many scenes: smoke, standard or full.
        secret: a file whose content decides the seeds, for a split that nobody else knows.
        size: of the frames as WIDTHxHEIGHT; the real world's own if not given.
    """

    world: str
    out: Path
    tier: TierName = "smoke"
    secret: Path | None = None
    size: str = ""


@dataclasses.dataclass(frozen=True)
class ScoreConfig:
    """Evaluate the frames that were brought back: worldsim eval permanence score asks --name my-model

    Attributes:
        folder: what `export` wrote, with answers.
        name: of the model.
        context: how many past frames it sees, if that is known.
        out: where the results go; reports/NAME if not given.
        secret: the file with which it was exported.
    """

    folder: tyro.conf.Positional[Path]
    name: str
    context: int | None = None
    out: Path | None = None
    secret: Path | None = None


@dataclasses.dataclass(frozen=True)
class CalibrateConfig:
    """The detector over its threshold, on the calibration seeds: worldsim eval permanence calibrate --world toybox

    Attributes:
        world: the real world.
        bundle: the name or folder of a learned world, to look through its encoder and decoder as well.
        seeds: how many of each probe.
    """

    world: str = "toybox"
    bundle: str | None = None
    seeds: int = 6


def permanence(config: PermanenceConfig) -> None:
    """Evaluate, print, and write results.json, trials.parquet, permanence.json, permanence.html and figures.json.

    Raises:
        WorldsimError: for a world that can't be opened or staged, an adapter that does not keep to its contract, a
            missing package, or a folder that can't be written to.
    """
    _check_packages()
    if config.model:
        setting = _setting(config.world, config.size, config.tier, config.secret)
        sys.path.insert(0, os.getcwd())  # as for `python -m`
        simulator = load_adapter(config.model)
        probe, seeds = next(iter(setting.seeds.items()))
        check_adapter(simulator, setting.staging.stage(probe, seeds[0], (1,), *setting.size)[0])
        subject = Subject(simulator, simulator.codec, config.model, simulator.digest, simulator.context_length)
    else:
        bundle = open_world(config.world)
        size = f"{bundle.spec.width}x{bundle.spec.height}"
        setting = _setting(bundle.spec.name, size, config.tier, config.secret)
        runtime = load_runtime(bundle, config.runtime)
        world = SessionSimulator(runtime, context_length=CONTEXT)
        subject = Subject(world, runtime_codec(runtime), bundle.spec.name, bundle.digest, runtime.sizes.window + 1)
    assert subject.simulator is not None
    at_once = max(1, subject.simulator.rows // len(TWINS))
    out = report_folder(config.out, subject.name)
    _run(setting, subject, functools.partial(ask, subject.simulator), at_once, out)


def export(config: ExportConfig) -> None:
    """Write what a model is asked.

    Raises:
        WorldsimError: for a world that can't be staged, or a folder that can't be written to.
    """
    from worldsim_envs.registry import make_real

    setting = _setting(config.world, config.size, config.tier, config.secret)
    asked = offline.Asked(config.world, config.tier, setting.split, setting.size[1], setting.size[0])
    with progress("staging, scenes", len(TWINS) * sum(map(len, setting.seeds.values()))) as on_progress:

        def scenes() -> Iterator[Scene]:
            for some in suite.sets_of_scenes(setting.staging.stage, setting.tier, setting.seeds, setting.size, 1):
                yield from some
                on_progress(len(some))

        actions = [action.name for action in make_real(config.world).world.actions]
        count = offline.write_asks(config.out, asked, actions, scenes())
    answer = f"answer them as ask.json says, then: worldsim eval permanence score {config.out}"
    wide_console().print(plain(f"{config.out}: {count} asks; {answer}"), soft_wrap=True)


def score(config: ScoreConfig) -> None:
    """Evaluate a folder of answers; writes what `worldsim eval permanence` writes, without the memory-cut arm.

    Raises:
        WorldsimError: for a folder of another version, or answers that are missing or of the wrong kind.
    """
    _check_packages()
    asked = offline.read_asked(config.folder)
    if asked.split == "private" and config.secret is None:
        raise WorldsimError(f"{config.folder} was exported with a secret; give the same --secret")
    size = f"{asked.width}x{asked.height}"
    setting = _setting(asked.world, size, asked.tier, config.secret)
    subject = Subject(None, None, config.name, "", config.context)
    out = report_folder(config.out, config.name)
    _run(setting, subject, offline.Answers(config.folder), 1, out)


def calibrate(config: CalibrateConfig) -> None:
    """Print recall and false positives of the detector over its threshold.

    Raises:
        WorldsimError: for a world that can't be opened or staged.
    """
    require("scipy", "eval")
    if config.seeds < 1:
        raise WorldsimError(f"--seeds {config.seeds} must be at least 1")
    codec = None
    if config.bundle is None:
        setting = _setting(config.world, "", "smoke", None)
    else:
        bundle = open_world(config.bundle)
        codec = runtime_codec(load_runtime(bundle))
        setting = _setting(bundle.spec.name, f"{bundle.spec.width}x{bundle.spec.height}", "smoke", None)
    scenes = calibration.staged(
        setting.staging.stage, setting.staging.PROBES, "calibration", config.seeds, setting.size
    )
    section = Section(
        "calibration", f"The detector on {setting.world}", f"{len(scenes)} scenes of the calibration seeds."
    )
    section.tables.append(calibration.sweep(scenes, codec))
    show(report.Report("calibration", "Calibration", {}, [section]), wide_console())


def staging(world: str) -> Staging:
    """The module that stages a real world's probes.

    Raises:
        WorldsimError: if there is none.
    """
    from worldsim_envs.registry import WORLDS, load, world_entry

    if not world_entry(world).staging:
        staged = ", ".join(name for name, entry in WORLDS.items() if entry.staging)
        raise WorldsimError(f"no probes can be staged in {world!r}; they can in {staged}")
    module: Staging = load(world_entry(world).staging)
    return module


def _run(setting: Setting, subject: Subject, asker: suite.Ask, at_once: int, out: Path) -> None:
    """Run the suite, print, and write everything."""
    began = time.monotonic()
    outcome = run(setting, subject, asker, at_once, progress)
    height, width = setting.size
    facts = {
        "model": subject.name,
        "weights": subject.digest or "unknown",
        "world": f"{setting.world}, {width}x{height}",
        "suite": f"version {VERSION}, {setting.tier_name} tier, {setting.split} seeds",
        "command": shlex.join(["worldsim", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "took": f"{(time.monotonic() - began) / 60:.1f} minutes",
    }
    sections = page.sections(outcome.judged, outcome.checks, outcome.cells, outcome.trials, outcome.strips)
    wanted = asked_targets(permanence_targets(setting.world), outcome.judged, sections)
    verdicts = report.judge_targets(wanted, sections)
    title = f"What does {subject.name} remember?"
    written = write_results(out, outcome.judged, facts, outcome.checks, outcome.cells, outcome.trials)
    publish(report.Report("permanence", title, facts, sections, verdicts), out)
    say_written(written, wide_console())


def _setting(world: str, size: str, tier: str, secret: Path | None) -> Setting:
    from worldsim_envs.registry import make_real

    module = staging(world)
    own = make_real(world, **parse_size(size)).world
    return Setting(world, module, (own.height, own.width), tier, _secret(secret))


def _secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise WorldsimError(f"--secret {path}: {error.strerror or error}") from error
    if len(secret) < 8:
        raise WorldsimError(f"--secret {path} holds {len(secret)} bytes; give at least 8, such as a random sentence")
    return secret


def _check_packages() -> None:
    report.check_packages()
    require("pyarrow", "eval")
    require("scipy", "eval")
