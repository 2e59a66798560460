"""`worldsim eval few-step`: quality against passes, by every sampler and every distilled world."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.core import rollout
from worldsim.evals.generated import SessionSimulator, runtime_codec
from worldsim.evals.scenes import RecordingSplit, check_recording
from worldsim.runtime.bundle import open_world


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
    from worldsim.runtime.torch import TorchRuntime, world_step

    steps, horizons = numbers("steps", config.steps), numbers("horizons", config.horizons)
    if config.contexts < 40 or config.scenes < 1:
        raise WorldsimError("--contexts must be 40 or more, and --scenes 1 or more")
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
    within = [h for h in horizons if h <= split.longest(simulator.context)]
    if within:
        scenes = split.draw(config.scenes, simulator.context, max(within), config.seed)
        worlds = {f"multistep, {n}": few_step.with_schedule(step, few_step.uniform_schedule(n)) for n in steps}
        worlds |= {"as shipped": step, **distilled}
        runs = []
        with progress("free-running, frames", len(worlds) * len(scenes) * max(within)) as on_progress:
            for name, world in worlds.items():
                free = SessionSimulator(TorchRuntime(world, bundle.spec), rows=24)
                frames = rollout(free, *scenes.past, scenes.future_actions, config.seed, on_progress)
                runs.append(FreeRun(name, len(world.schedule), frames))
        sections.append(free_run_section(runs, scenes, codec(scenes.truth[:, [h - 1 for h in within]]), within))
    facts = report_facts(bundle, "eval few-step", config.world)
    facts["recording"] = f"{len(recording)} frames, seed {recording.seed}"
    title = f"Few passes: {bundle.spec.title or bundle.spec.name}"
    publish(report.Report("few-step", title, facts, sections), report_folder(config.out, bundle.spec.name))


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
