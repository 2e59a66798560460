"""`worldsim eval imagine`: what imagines, judged on prompts and clips that nothing was trained on."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    from worldsim.evals.instruments.imagine import Asked, LookReader
    from worldsim.evals.section import Section
    from worldsim.runtime.imagine import Given, Imaginer

DETECTED = ("day", "night")  # looks in which things can be detected
REAL = 400  # real frames that looks are told by
TRAINED = 4000  # clips that were trained on and are looked through for copies


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Judge what imagines: worldsim eval imagine --model runs/imagine --clips recordings/toybox-clips

    Attributes:
        model: folder of the run that trained the networks.
        clips: the clips that they were trained on, whose held-out part is used.
        out: folder of the report; reports/imagine if not given.
        prompts: of each kind. ends: held-out clips that are gone on with, and joined.
        guides: held-out frames that are drawn as sketches, and clips that are made again in another look.
        size: of the frames, as WIDTHxHEIGHT.
        steps, guidance, source_guidance, sampler: as for `worldsim imagine`.
        seed: of the prompts and the noise.
        device: auto, cpu, cuda, cuda:1 or mps.
    """

    model: Path
    clips: Path
    out: Path = Path("reports/imagine")
    prompts: int = 50
    ends: int = 20
    guides: int = 20
    size: str = "64x64"
    steps: int = 24
    guidance: float = 3.0
    source_guidance: float = 1.5
    sampler: str = "euler"
    seed: int = 0
    device: str = "auto"


def eval_imagine(config: EvalConfig) -> None:
    """Judge, print, and write imagine.json, imagine.html and figures.json.

    Raises:
        WorldsimError: for networks or clips that aren't there, a size that has none, or a missing package.
    """
    if min(config.prompts, config.ends, config.guides) < 1:
        raise WorldsimError("--prompts, --ends and --guides must be at least 1")
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.cli.record import parse_size
    from worldsim.cli.reporting import publish, report_folder
    from worldsim.device import choose_device
    from worldsim.evals import report
    from worldsim.runtime.imagine import Imaginer
    from worldsim.train.checkpoint import digest
    from worldsim.train.video_dit import load_imaginer

    report.check_packages()
    sides = parse_size(config.size) or {"height": 64, "width": 64}
    size = sides["height"], sides["width"]
    device, loaded = choose_device(config.device), load_imaginer(config.model)
    model = Imaginer(loaded.autoencoder.to(device), loaded.dit.to(device))
    clips = CaptionedClips(config.clips)
    sections = [*judge_words(config, model, clips, size), judge_ends(config, model, clips, size)]
    sections += [judge_sketches(config, model, clips, size), *judge_looks(config, model, clips, size)]
    facts = {
        "world": f"{clips.facts['world']}, {size[1]}x{size[0]}",
        "weights": digest(model.dit.state_dict()),
        "clips": clips.digest,
        "command": shlex.join(["worldsim", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
    }
    publish(report.Report("imagine", "What is imagined", facts, sections), report_folder(config.out, "imagine"))


def judge_words(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> list[Section]:
    """Sections on prompts, and on copies."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine import copies, words

    asked = prompts_of(str(clips.facts["world"]), config.prompts, config.seed, size)
    made, untold = [], []
    with progress("prompts", len(asked)) as done:
        for i, one in enumerate(asked):
            made.append(_imagine(config, model, None, one.text, size, 17, i))
            untold.append(_imagine(config, model, None, "", size, 1, i))
            done(1)
    rng = np.random.default_rng(config.seed)
    held_out, trained = (np.concatenate(list(clips.buckets(kept).values())) for kept in (True, False))
    firsts = [clips.clip(int(n)).frames[0] for n in rng.permutation(trained)[:TRAINED]]
    others = [clips.clip(int(n)).frames[0] for n in rng.permutation(held_out)[: len(asked)]]
    return [
        words(asked, made, untold, look_reader(clips, config.seed)),
        copies([frames[0] for frames in made], others, firsts),
    ]


def judge_ends(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> Section:
    """A section on clips whose ends are given, in the looks and words of held-out ones."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine import GIVEN, ends
    from worldsim.runtime.imagine import WINDOW, Given

    chosen = [clips.clip(int(n)) for n in held_out_of(clips, size)]
    chosen = [clip for clip in chosen if clip.look in ("", *DETECTED)][: config.ends]
    if not chosen:
        raise WorldsimError(f"{clips.path} has no held-out clips of {size[1]}x{size[0]}; give another --size")
    made: list[list[np.ndarray]] = [[], [], []]
    with progress("clips", len(chosen)) as done:
        for i, clip in enumerate(chosen):
            head, tail = clip.frames[:GIVEN], clip.frames[-GIVEN:]
            for clips_made, given in zip(made, (Given(head), Given(tail=tail), Given(head, tail)), strict=True):
                clips_made.append(_imagine(config, model, given, clip.story[0], size, WINDOW, i))
            done(1)
    asks = asks_of(str(clips.facts["world"]))
    onwards, back, joined = map(np.stack, made)
    return ends(np.stack([clip.frames for clip in chosen]), onwards, back, joined, asks.areas(size[0]))


def judge_sketches(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> Section:
    """A section on held-out frames, drawn, and made again of the drawing and a caption."""
    from worldsim.cli.reporting import progress
    from worldsim.data.sketch import draw
    from worldsim.evals.instruments.imagine_guides import sketches
    from worldsim.runtime.imagine import Given

    frames, drawn, made, without = [], [], [], []
    numbers = held_out_of(clips, size)[: config.guides]
    with progress("sketches", len(numbers)) as done:
        for i, number in enumerate(numbers):
            clip = clips.clip(int(number))
            lines = draw(clip.frames[:1], np.random.default_rng([config.seed, i]))[0]
            done(1)
            if not lines.any():
                continue
            sketch = np.repeat(lines[..., None], 3, axis=-1)
            text = clip.moments[0][-1]
            made.append(_imagine(config, model, Given(sketch=sketch), text, size, 1, i)[0])
            without.append(_imagine(config, model, None, text, size, 1, i)[0])
            frames.append(clip.frames[0])
            drawn.append(lines)
    return sketches(*map(np.stack, (drawn, made, without, frames)))


def judge_looks(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> list[Section]:
    """A section on held-out clips, made again in the other look that they are there in; none if there are no such."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine_guides import restyled
    from worldsim.runtime.imagine import WINDOW, Given
    from worldsim.train.pieces import last_clause

    paired = [(int(n), other) for n in held_out_of(clips, size) for other in clips.paired(int(n))][: config.guides]
    if not paired:
        return []
    sources, real, made, told = [], [], [], []
    with progress("looks", len(paired)) as done:
        for i, pair in enumerate(paired):
            source, truth = map(clips.clip, pair)
            naming = [text for text in truth.story if truth.look in text]
            told.append(last_clause(naming[0]) if naming else truth.look)
            made.append(_imagine(config, model, Given(source=source.frames), told[-1], size, WINDOW, i))
            sources.append(source.frames)
            real.append(truth.frames)
            done(1)
    looks = [clips.label(other)[0] for _, other in paired]
    areas = asks_of(str(clips.facts["world"])).areas(size[0])
    judged = dict.fromkeys(DETECTED, areas)
    reader = look_reader(clips, config.seed)
    stacked = np.stack(sources), np.stack(made), np.stack(real)
    return [restyled(*stacked, looks, told, reader, judged)]


def held_out_of(clips: CaptionedClips, size: tuple[int, int]) -> np.ndarray:
    """Numbers of the held-out clips of a size (height, width).

    Raises:
        WorldsimError: if there are none.
    """
    from worldsim.runtime.imagine import WINDOW

    numbers = clips.buckets(held_out=True).get((WINDOW, *size))
    if numbers is None:
        raise WorldsimError(f"{clips.path} has no held-out clips of {size[1]}x{size[0]}; give another --size")
    return numbers


def prompts_of(world: str, count: int, seed: int, size: tuple[int, int]) -> list[Asked]:
    """So many prompts of each kind, for frames of a size (height, width)."""
    asks = asks_of(world)
    return [asks.ask(kind, seed + i, *size) for kind in asks.KINDS for i in range(count)]


def asks_of(world: str) -> Any:
    """The module that asks prompts of a world.

    Raises:
        WorldsimError: if there is none.
    """
    from worldsim_envs.registry import WORLDS, load, world_entry

    if not (module := world_entry(world).asks):
        able = ", ".join(name for name, entry in WORLDS.items() if entry.asks)
        raise WorldsimError(f"nobody can judge what is imagined of {world!r}; there are judges of {able}")
    return load(module)


def look_reader(clips: CaptionedClips, seed: int) -> LookReader:
    """A reader of looks, by real frames that were trained on."""
    from worldsim.evals.instruments.imagine import LookReader

    trained = np.concatenate(list(clips.buckets(held_out=False).values()))
    chosen = [clips.clip(int(n)) for n in np.random.default_rng(seed).permutation(trained)[:REAL]]
    return LookReader([clip.frames[0] for clip in chosen], [clip.look for clip in chosen])


def _imagine(
    config: EvalConfig, model: Imaginer, given: Given | None, text: str, size: tuple[int, int], frames: int, seed: int
) -> np.ndarray:
    from worldsim.runtime.imagine import imagine

    rest = (config.seed + seed, config.sampler, config.source_guidance)
    return imagine(model, given, text, size, frames, config.steps, config.guidance, *rest)
