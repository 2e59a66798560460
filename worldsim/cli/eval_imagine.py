"""`worldsim eval imagine`: what imagines, judged on prompts and clips that nothing was trained on."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    import torch

    from worldsim.evals.instruments.imagine import Asker
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.runtime.reward import PictureScorer


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Judge what imagines: worldsim eval imagine --model runs/imagine --clips recordings/toybox-clips

    Attributes:
        model: folder of the run that trained the networks.
        clips: the clips that they were trained on, whose held-out part is used.
        out: folder of the report; reports/imagine if not given.
        prompts: of each kind. ends: held-out clips that are gone on with, and joined.
        guides: held-out frames that are drawn as sketches, and clips that are made again in another look.
        edits: pictures of which one thing is made another.
        sizes: pictures of each size that are compared with real ones; 0 for none.
        size: of the frames, as WIDTHxHEIGHT.
        steps, guidance, source_guidance, sampler: as for `worldsim imagine`.
        other_words: whether prompts are said in other words than those of recorded captions.
        best_of: clips that are made of each prompt, and edits of each picture, of which the one that fits best is
            judged. Pictures are judged as an exported imaginer paints them: the best of sixteen, if there is a reward
            model.
        seed: of the prompts and the noise.
        device: auto, cpu, cuda, cuda:1 or mps.
    """

    model: Path
    clips: Path
    out: Path = Path("reports/imagine")
    prompts: int = 50
    ends: int = 20
    guides: int = 20
    edits: int = 50
    sizes: int = 64
    size: str = "64x64"
    steps: int = 0
    guidance: float | None = None
    source_guidance: float | None = None
    sampler: str = "euler"
    other_words: bool = False
    best_of: int = 1
    seed: int = 0
    device: str = "auto"


def eval_imagine(config: EvalConfig) -> None:
    """Judge, print, and write imagine.json, imagine.html and figures.json.

    Raises:
        WorldsimError: for networks or clips that aren't there, a size that has none, or a missing package.
    """
    for flag in ("prompts", "ends", "guides", "best_of"):
        if getattr(config, flag) < 1:
            raise WorldsimError(f"--{flag.replace('_', '-')} must be at least 1")
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.cli.record import parse_size
    from worldsim.cli.reporting import progress, publish, report_folder
    from worldsim.cli.train_video import open_clips
    from worldsim.device import choose_device
    from worldsim.evals import report
    from worldsim.evals.imaginer_judge import ImaginerJudge, Sampling
    from worldsim.runtime.imagine import Imaginer
    from worldsim.train.video_dit import imaginer_digest, load_imaginer

    report.check_packages()
    sides = parse_size(config.size) or {"height": 64, "width": 64}
    device, loaded = choose_device(config.device), load_imaginer(config.model)
    model = Imaginer(loaded.autoencoder.to(device), loaded.dit.to(device), loaded.defaults)
    clips = open_clips(config.clips)
    sampling = Sampling(
        (sides["height"], sides["width"]),
        config.steps,
        config.guidance,
        config.source_guidance,
        config.sampler,
        config.best_of,
        config.seed,
    )
    asker = asker_of(str(clips.facts["world"]))
    towers, scorer = load_scorers(config, device)
    judge = ImaginerJudge(model, clips, asker, sampling, progress, towers, scorer)
    sections = [
        *judge.words(config.prompts, config.other_words),
        judge.ends(config.ends),
        *judge.edits(config.edits),
        judge.sketches(config.guides),
        *judge.looks(config.guides),
        *judge.sizes(config.sizes),
    ]
    facts = {
        "world": f"{clips.facts['world']}, {sides['width']}x{sides['height']}",
        "weights": imaginer_digest(model, scorer.model if scorer else None),
        "clips": clips.digest,
        "command": shlex.join(["worldsim", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
    }
    verdicts = report.judge_targets(asker.TARGETS, sections)
    publish(
        report.Report("imagine", "What is imagined", facts, sections, verdicts), report_folder(config.out, "imagine")
    )


def load_scorers(config: EvalConfig, device: torch.device) -> tuple[ClipScorer | None, PictureScorer | None]:
    """The run's two towers, and its reward model, where it has them.

    Raises:
        WorldsimError: if --best-of needs a reward model.
    """
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.runtime.reward import PictureScorer
    from worldsim.train import clip_towers, reward_model

    towers = scorer = None
    if (config.model / clip_towers.FILE).exists():
        loaded = clip_towers.load_clip_scorer(config.model)
        towers = ClipScorer(loaded.autoencoder.to(device), loaded.towers.to(device))
    if config.best_of > 1 or (config.model / reward_model.FILE).exists():
        scorer = PictureScorer(reward_model.load_reward_model(config.model).to(device))
    return towers, scorer


def asker_of(world: str) -> Asker:
    """The module that asks prompts of a world.

    Raises:
        WorldsimError: if there is none.
    """
    from worldsim_envs.registry import WORLDS, load, world_entry

    if not (module := world_entry(world).asks):
        able = ", ".join(name for name, entry in WORLDS.items() if entry.asks)
        raise WorldsimError(f"nobody can judge what is imagined of {world!r}; there are judges of {able}")
    asker: Asker = load(module)
    return asker
