"""`worldsim eval latent-actions`: are the codes of a recording the actions that were taken, and does a world follow
them? Only reads recordings, and opens the world."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from pathlib import Path

import numpy as np

from worldsim.cli.reporting import progress, publish, report_facts, report_folder
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.core import rollout
from worldsim.evals.generated import SessionSimulator
from worldsim.evals.instruments.actions import HORIZONS, action_section, following
from worldsim.evals.instruments.latent_actions import code_section, find_places
from worldsim.evals.scenes import RecordingSplit, check_recording
from worldsim.evals.section import Section
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime

JUDGED = 4096  # held-out steps


@dataclasses.dataclass(frozen=True)
class LatentActionsConfig:
    """Judge codes: worldsim eval latent-actions --codes runs/my-world/codes --recording recordings/coinrun

    Attributes:
        codes: the recording whose actions are codes, as worldsim from-video leaves it.
        recording: the same frames with true actions, which judge only; without them only --world can be judged.
        world: that plays the codes, the folder of a bundle: does it follow them?
        out: where the report goes; reports/NAME if not given.
        scenes: how many the world is judged on.
        runtime: onnx or torch.
        seed: of the scenes and the noise.
    """

    codes: Path
    recording: Path | None = None
    world: Path | None = None
    out: Path | None = None
    scenes: int = 48
    runtime: str = "onnx"
    seed: int = 0


def latent_actions(config: LatentActionsConfig) -> None:
    """Judge, print and write a report.

    Raises:
        WorldsimError: for recordings or a world that don't fit each other, or a missing package.
    """
    report.check_packages()
    codes = Recording(config.codes)
    if config.recording is None and config.world is None:
        raise WorldsimError("give --recording with true actions, or --world, or both")
    sections, facts = [], facts_of(codes)
    if config.recording is not None:
        sections.append(judge_codes(codes, Recording(config.recording)))
    if config.world is not None:
        require("torch", "eval")
        bundle = open_world(str(config.world))
        check_recording(codes, bundle.spec)
        runtime = load_runtime(bundle, config.runtime)
        sections.append(follows_codes(SessionSimulator(runtime), codes, config.scenes, config.seed))
        facts = report_facts(bundle, "eval latent-actions", str(config.world))
    found = report.Report("latent-actions", f"What the codes of {codes.spec.name} stand for", facts, sections)
    publish(found, report_folder(config.out, codes.spec.name))


def facts_of(codes: Recording) -> dict[str, str]:
    """What was judged, by which command line, and when."""
    return {
        "codes": f"{codes.path}, {len(codes):,} frames",
        "weights": str(codes.origin.get("codes_by", "")),
        "command": shlex.join(["worldsim", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
    }


def judge_codes(codes: Recording, true: Recording) -> Section:
    """Codes beside the true actions of the same frames.

    Raises:
        WorldsimError: if they are not of the same frames, or there are no actions.
    """
    if len(true.spec.actions) < 2:
        raise WorldsimError(f"{true.path} has no actions to judge by; only --world can be judged")
    if not np.array_equal(codes.ends, true.ends):
        raise WorldsimError(f"{codes.path} and {true.path} are not of the same frames")
    pairs = []
    for split in ("train", "held-out"):
        steps = [np.arange(start, end - 1) for start, end in codes.episodes(split)]
        if not steps:
            raise WorldsimError(f"{codes.path} has no {split} episode")
        index = np.concatenate(steps)
        pairs.append((codes.actions[index].astype(np.int64), true.actions[index].astype(np.int64), index))
    chosen = np.linspace(0, len(pairs[1][2]) - 1, min(JUDGED, len(pairs[1][2]))).astype(int)
    held_out = pairs[1][0][chosen], pairs[1][1][chosen]
    places = find_places(np.stack([true.frames[int(i)] for i in pairs[1][2][chosen]]))
    names = tuple(tuple(action.name for action in recording.spec.actions) for recording in (codes, true))
    return code_section(pairs[0][:2], held_out, places, (names[0], names[1]))


def follows_codes(simulator: SessionSimulator, codes: Recording, count: int, seed: int) -> Section:
    """PSNR under the codes that were read minus PSNR under random ones (Genie's measure)."""
    split = RecordingSplit(codes)
    longest = min(max(HORIZONS), split.longest(simulator.context))
    if longest < 1:
        raise WorldsimError(f"{codes.path} has no held-out episode of {simulator.context + 1} frames to judge by")
    scenes = split.draw(count, simulator.context, longest, seed)
    with progress("following codes", 3 * len(scenes) * longest) as on_progress:
        free = rollout(simulator, *scenes.past, scenes.future_actions, seed, on_progress)
        part = following(simulator, scenes, free, len(codes.spec.actions), seed, on_progress)
    section = action_section([part], len(scenes), (0, 0))
    method = f"ΔPSNR over {len(scenes)} held-out scenes: with the codes that were read, minus with random or others'."
    return dataclasses.replace(section, title="Following of codes", method=method)
