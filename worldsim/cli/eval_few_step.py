"""`worldsim eval few-step`: quality against passes, by every sampler and every distilled world."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import tyro

from worldsim.cli.evaluate import real_play
from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.cli.worlds import probes_of
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.core import Codec, rollout
from worldsim.evals.generated import SessionSimulator, runtime_codec
from worldsim.evals.real_play import play_random
from worldsim.evals.scenes import RecordingSplit, check_recording
from worldsim.evals.section import Section
from worldsim.runtime.base import Runtime
from worldsim.runtime.bundle import open_world

EPISODE_FRAMES = 100  # generated of each


@dataclasses.dataclass(frozen=True)
class FewStepEvalConfig:
    """Judge few passes: worldsim eval few-step doom-take-cover --recording R --distilled runs/fast

    Attributes:
        world: the undistilled one: a shipped world's name, or the folder of a bundle.
        recording: of the same real world and size; its held-out episodes are evaluated on.
        distilled: folders of runs of `worldsim train few-step`, or of bundles of them.
        steps: numbers of passes of the undistilled world, separated by commas.
        contexts: that one frame is generated after; ten for each dimension of a Fréchet distance.
        scenes: of free runs. horizons: frames of them, separated by commas; as far as episodes go.
        episodes: for the rates of events, where the world has such a probe and can be played; 0 for none.
        reader_steps: of the training of the net that reads the state off frames, kept beside the recording.
        out: where the report goes; `reports/NAME` if not given.
        seed: of the contexts and the noise.
    """

    world: tyro.conf.Positional[str]
    recording: Path
    distilled: tuple[str, ...] = ()
    steps: str = "1,2,4,8,16,64"
    contexts: int = 1280
    scenes: int = 24
    horizons: str = "16,64,256"
    episodes: int = 64
    reader_steps: int = 1500
    out: Path | None = None
    seed: int = 0


def eval_few_step(config: FewStepEvalConfig) -> None:
    """Evaluate, print, and write `few-step.json`, `few-step.html` and `figures.json`.

    Raises:
        WorldsimError: for a world or recording that can't be opened or don't fit each other, or a missing package.
    """
    report.check_packages()
    for module in ("torch", "einops"):
        require(module, "train")
    from worldsim.cli.trained import open_trained
    from worldsim.evals import few_step
    from worldsim.evals.instruments.few_step import FreeRun, free_run_section, one_frame_section
    from worldsim.models.ode_samplers import uniform_schedule
    from worldsim.runtime.torch import TorchRuntime, world_step

    steps, horizons = numbers("steps", config.steps), numbers("horizons", config.horizons)
    if config.contexts < 40 or config.scenes < 1 or config.episodes < 0 or config.reader_steps < 1:
        raise WorldsimError(
            "--contexts must be 40 or more, --scenes and --reader-steps 1 or more, and --episodes 0 or more"
        )
    bundle, recording = open_world(config.world), Recording(config.recording)
    check_recording(recording, bundle.spec)
    step, distilled = world_step(bundle), {}
    for name in config.distilled:
        other = open_trained(name)
        check_recording(recording, other.spec)
        distilled[Path(name).name] = other.step
    runtime = TorchRuntime(step, bundle.spec, bundle.digest)
    split, simulator = RecordingSplit(recording), SessionSimulator(runtime)
    drawn = split.draw(config.contexts, simulator.context, 1, config.seed)
    contexts = few_step.contexts_of(runtime, drawn.frames, drawn.actions[:, : simulator.context], config.seed)
    candidates = few_step.reference_candidates(step, contexts, steps)
    for name, other in distilled.items():
        candidates += few_step.distilled_candidates(name, other)
    made = {}
    with progress("one frame, frames", len(candidates) * len(drawn)) as on_progress:
        for candidate in candidates:
            made[candidate.name] = candidate.group, few_step.one_frame(candidate, step, contexts, on_progress)
    codec = runtime_codec(runtime)
    latents = contexts.latents.numpy(), contexts.following.numpy()
    sections = [one_frame_section(made, candidates[0].name, *latents, codec(drawn.frames[:, -1]))]
    worlds = {f"multistep, {n}": few_step.with_schedule(step, uniform_schedule(n)) for n in steps}
    worlds |= {"as shipped": step, **distilled}
    runtimes = {name: TorchRuntime(world, bundle.spec) for name, world in worlds.items()}
    within = [h for h in horizons if h <= split.longest(simulator.context)]
    if within:
        scenes = split.draw(config.scenes, simulator.context, max(within), config.seed)
        runs = []
        with progress("free-running, frames", len(worlds) * len(scenes) * max(within)) as on_progress:
            for name, world in worlds.items():
                free = SessionSimulator(runtimes[name], rows=24)
                frames = rollout(free, *scenes.past, scenes.future_actions, config.seed, on_progress)
                runs.append(FreeRun(name, len(world.sampling.schedule), frames))
        sections.append(free_run_section(runs, scenes, codec(scenes.truth[:, [h - 1 for h in within]]), within))
    if config.episodes and probes_of(bundle.spec).events:
        sections += event_sections(config, recording, runtimes, codec, simulator.context)
    facts = report_facts(bundle, "eval few-step", config.world)
    facts["recording"] = f"{len(recording)} frames, seed {recording.seed}"
    title = f"Few passes: {bundle.spec.title or bundle.spec.name}"
    publish(report.Report("few-step", title, facts, sections), report_folder(config.out, bundle.spec.name))


def event_sections(
    config: FewStepEvalConfig, recording: Recording, runtimes: Mapping[str, Runtime], codec: Codec, context: int
) -> list[Section]:
    """Rates of events beside those of the real world; nothing where that can't be played."""
    from worldsim.evals.few_step_events import few_step_events
    from worldsim.evals.reader import train_state_reader

    spec = recording.spec
    with real_play(spec) as real:
        if real.env is None:
            return []
        folder = recording.path.with_name(f"{recording.path.name}.readers")
        with progress("training the state reader, steps", config.reader_steps) as on_progress:
            read = train_state_reader(recording, folder, config.reader_steps, on_progress)
        n = context - 1 + EPISODE_FRAMES
        with progress("real episodes, frames", config.episodes * n) as on_progress:
            played = play_random(real, config.episodes, n, config.seed, on_progress)
    with progress("generated episodes, frames", len(runtimes) * config.episodes * EPISODE_FRAMES) as on_progress:
        probes = probes_of(spec).events
        return [few_step_events(runtimes, probes, read, played, codec, config.seed, on_progress)]


def numbers(flag: str, text: str) -> list[int]:
    """Whole numbers above 0, rising, of a list with commas.

    Raises:
        WorldsimError: if it is none.
    """
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise WorldsimError(f"--{flag} {text!r}: give numbers above 0 with commas between them, as in 1,2,4")
    return found
