"""`worldsim eval permanence`: judge what a world of ours, or anybody's model, remembers; here or from its frames.

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Protocol

import tyro

from worldsim.cli.evaluate import progress
from worldsim.cli.record import parse_size
from worldsim.cli.worlds import permanence_targets
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.core import Codec, Simulator
from worldsim.evals.generated import SessionSimulator, runtime_codec
from worldsim.evals.permanence import calibration, offline, page, suite
from worldsim.evals.permanence.adapter import check_adapter, load_adapter
from worldsim.evals.permanence.ask import ask
from worldsim.evals.permanence.results import Judged, write_results
from worldsim.evals.permanence.scene import CONTEXT, TWINS, VERSION, Scene, Stage
from worldsim.evals.permanence.summary import summarise
from worldsim.evals.permanence.tiers import TIERS, Tier, judged_seeds
from worldsim.evals.section import Section
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import open_world

TierName = Literal["smoke", "standard", "full"]


class Staging(Protocol):
    """A module that stages a real world's probes."""

    PROBES: tuple[str, ...]
    stage: Stage


@dataclasses.dataclass(frozen=True)
class PermanenceConfig:
    """Judge what a world remembers of what it no longer shows: worldsim eval permanence --world toybox --tier smoke

    Attributes:
        world: a shipped world's name, or the folder of a bundle; with --model the real world that it imitates.
        model: another model, as package.module:Adapter; see docs/permanence.md.
        tier: how much is asked: smoke takes minutes, standard most of an hour, full a night.
        out: where the results go; reports/WORLD if not given.
        secret: a file whose content draws private seeds, which nobody can train on.
        size: of a model's frames as WIDTHxHEIGHT; the real world's own if not given.
        runtime: onnx or torch, for worlds of ours.
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
    """Write down what a model is asked: worldsim eval permanence export --world toybox --out asks

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
    """Judge the frames that were brought back: worldsim eval permanence score asks --name my-model

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


@dataclasses.dataclass(frozen=True)
class Subject:
    """Who is judged: None for a simulator whose frames are brought from elsewhere."""

    simulator: Simulator | None
    codec: Codec | None
    name: str
    digest: str
    context: int | None


@dataclasses.dataclass(frozen=True)
class Setting:
    """On what: a real world's staging, at a size, in a tier of a split."""

    world: str
    staging: Staging
    size: tuple[int, int]
    tier_name: str
    secret: bytes | None

    @property
    def tier(self) -> Tier:
        """The tier itself."""
        return TIERS[self.tier_name]

    @functools.cached_property
    def seeds(self) -> Mapping[str, list[int]]:
        """By probe, of those that the world can stage."""
        return judged_seeds(self.tier, self.staging.PROBES, self.secret)


def permanence(config: PermanenceConfig) -> None:
    """Judge, print, and write results.json, trials.parquet, permanence.json and permanence.html.

    Raises:
        WorldsimError: for a world that can't be opened or staged, an adapter that does not keep to its contract, a
            missing package, or a folder that can't be written to.
    """
    _needed()
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
        world = SessionSimulator(runtime, shown=CONTEXT)
        subject = Subject(world, runtime_codec(runtime), bundle.spec.name, bundle.digest, runtime.sizes.window + 1)
    assert subject.simulator is not None
    at_once = max(1, subject.simulator.rows // len(TWINS))
    out = config.out or Path("reports") / _file_name(subject.name)
    _judge(setting, subject, functools.partial(ask, subject.simulator), at_once, out)


def export(config: ExportConfig) -> None:
    """Write what a model is asked, for its owner to answer.

    Raises:
        WorldsimError: for a world that can't be staged, or a folder that can't be written to.
    """
    from worldsim_envs.registry import make_real

    setting = _setting(config.world, config.size, config.tier, config.secret)
    asked = offline.Asked(config.world, config.tier, _split(setting), setting.size[1], setting.size[0])
    with progress("staging, scenes", len(TWINS) * sum(map(len, setting.seeds.values()))) as tick:

        def scenes() -> Iterator[Scene]:
            for some in suite.sets_of_scenes(setting.staging.stage, setting.tier, setting.seeds, setting.size, 1):
                yield from some
                tick(len(some))

        actions = [action.name for action in make_real(config.world).world.actions]
        count = offline.write_asks(config.out, asked, actions, scenes())
    print(
        f"{config.out}: {count} asks; answer them as ask.json says, then: worldsim eval permanence score {config.out}"
    )


def score(config: ScoreConfig) -> None:
    """Judge a folder of answers; writes what `worldsim eval permanence` writes, without the memory-cut arm.

    Raises:
        WorldsimError: for a folder of another version, or answers that are missing or of the wrong kind.
    """
    _needed()
    asked = offline.read_asked(config.folder)
    if asked.split == "private" and config.secret is None:
        raise WorldsimError(f"{config.folder} was exported with a secret; give the same --secret")
    size = f"{asked.width}x{asked.height}"
    setting = _setting(asked.world, size, asked.tier, config.secret)
    subject = Subject(None, None, config.name, "", config.context)
    out = config.out or Path("reports") / _file_name(config.name)
    _judge(setting, subject, offline.Answers(config.folder), 1, out)


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
    report.show(report.Report("calibration", "Calibration", {}, [section]), report.wide_console())


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


def _judge(setting: Setting, subject: Subject, asker: suite.Ask, at_once: int, out: Path) -> None:
    began = time.monotonic()
    stage, tier = setting.staging.stage, setting.tier
    known = calibration.staged(stage, tuple(setting.seeds), "validation", tier.validation, setting.size)
    checks = calibration.validate(known, subject.codec, subject.simulator)
    scenes = suite.sets_of_scenes(stage, tier, setting.seeds, setting.size, at_once)
    with progress(f"{subject.name}, scenes", sum(map(len, setting.seeds.values()))) as tick:
        found = suite.run(scenes, asker, subject.codec, tick)
    height, width = setting.size
    judged = Judged(
        model=subject.name,
        digest=subject.digest,
        context=subject.context,
        world=setting.world,
        world_digest=calibration.scenes_digest(known),
        width=width,
        height=height,
        tier=setting.tier_name,
        split=_split(setting),
        seeds=setting.seeds,
    )
    facts = {
        "model": subject.name,
        "weights": subject.digest or "not said",
        "world": f"{setting.world}, {width}x{height}",
        "suite": f"version {VERSION}, {setting.tier_name} tier, {judged.split} seeds",
        "command": shlex.join(["worldsim", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "took": f"{(time.monotonic() - began) / 60:.1f} minutes",
    }
    cells = summarise(found.trials)
    sections = page.sections(judged, checks, cells, found.trials, found.strips)
    title = f"What does {subject.name} remember?"
    shown = report.Report(
        "permanence", title, facts, sections, page.targets(permanence_targets(judged.world), judged.tier, sections)
    )
    console = report.wide_console()
    report.show(shown, console)
    for path in (*write_results(out, judged, facts, checks, cells, found.trials), *report.write(shown, out)):
        console.print(f"wrote {path}", soft_wrap=True)


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


def _split(setting: Setting) -> str:
    return "test" if setting.secret is None else "private"


def _file_name(name: str) -> str:
    return name.replace(":", "-").replace("/", "-")


def _needed() -> None:
    report.needed()
    require("pyarrow", "eval")
    require("scipy", "eval")
