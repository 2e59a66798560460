"""`worldsim eval imagine`: what imagines, judged on prompts and clips that nothing was trained on."""

from __future__ import annotations

import dataclasses
import datetime
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError, require

if TYPE_CHECKING:
    from worldsim.evals.instruments.imagine import Asked, Asker, LookReader
    from worldsim.evals.section import Section
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.runtime.imagine import Imaginer
    from worldsim.runtime.request import Given

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
        other_words: whether prompts are said in other words than those of recorded captions.
        best_of: clips that are made of each prompt, of which the one that fits best is judged.
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
    from worldsim.cli.reporting import publish, report_folder
    from worldsim.cli.train_video import open_clips
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
    clips = open_clips(config.clips)
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
    """Sections on prompts, on copies, and if there are towers on how well words fit."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine import copies, words
    from worldsim.runtime.clip_score import best_of

    asker = asker_of(str(clips.facts["world"]))
    asked = [asker.ask(kind, config.seed + i, *size) for kind in asker.KINDS for i in range(config.prompts)]
    texts = [other_words(clips, one.text, i) if config.other_words else one.text for i, one in enumerate(asked)]
    scorer = load_scorer(config, model)

    def best(text: str, first: int) -> np.ndarray:
        def make(number: int) -> np.ndarray:
            return _imagine(config, model, None, text, size, 17, first + len(asked) * number)

        return best_of(config.best_of, make, lambda clip: scorer.score(clip, text))[1] if scorer else make(0)

    made, untold = [], []
    with progress("prompts", len(asked)) as done:
        for i, text in enumerate(texts):
            made.append(best(text, i))
            untold.append(_imagine(config, model, None, "", size, 1, i))
            done(1)
    rng = np.random.default_rng(config.seed)
    held_out, trained = (np.concatenate(list(clips.buckets(kept).values())) for kept in (True, False))
    firsts = [clips.clip(int(n)).frames[0] for n in rng.permutation(trained)[:TRAINED]]
    others = [clips.clip(int(n)).frames[0] for n in rng.permutation(held_out)[: len(asked)]]
    return [
        words(asked, made, untold, asker.LABELS, look_reader(clips, config.seed)),
        copies([frames[0] for frames in made], others, firsts),
        *([judge_fit(scorer, asked, texts, made)] if scorer else []),
    ]


def judge_fit(scorer: ClipScorer, asked: list[Asked], texts: list[str], made: list[np.ndarray]) -> Section:
    """A section on how well prompts fit the clips made of them."""
    from worldsim.evals.instruments.imagine import fit

    told = scorer.texts(texts)
    first, real = (
        (scorer.pictures(np.stack(frames)) @ told.T).cpu().numpy()
        for frames in ([clip[0] for clip in made], [one.real for one in asked])
    )  # [clips, prompts]
    own, n = np.diag(first), len(asked)
    less = ((first < own[:, None]).sum(1) + 0.5 * ((first == own[:, None]).sum(1) - 1)) / max(n - 1, 1)
    scores = {"made": own, "real": np.diag(real), "another prompt": np.roll(first, 1, axis=1).diagonal()}
    return fit(scores, less)


def other_words(clips: CaptionedClips, text: str, seed: int) -> str:
    """The same prompt in other words; as it is where the world knows none."""
    rng = np.random.default_rng([seed, 11])
    return next((said for _ in range(16) if (said := clips.synonyms.vary(text, rng)) != text), text)


def load_scorer(config: EvalConfig, model: Imaginer) -> ClipScorer | None:
    """The run's towers; None if it has none, and none are needed.

    Raises:
        WorldsimError: if --best-of needs them.
    """
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.train.clip_towers import FILE, load_clip_scorer

    if config.best_of == 1 and not (config.model / FILE).exists():
        return None
    loaded = load_clip_scorer(config.model)
    return ClipScorer(loaded.autoencoder.to(model.device), loaded.towers.to(model.device))


def judge_ends(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> Section:
    """A section on clips whose ends are given, in the looks and words of held-out ones."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine import GIVEN, ends
    from worldsim.runtime.imagine import WINDOW
    from worldsim.runtime.request import Given

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
    asker = asker_of(str(clips.facts["world"]))
    onwards, back, joined = map(np.stack, made)
    return ends(np.stack([clip.frames for clip in chosen]), onwards, back, joined, asker.areas(size[0]))


def judge_sketches(config: EvalConfig, model: Imaginer, clips: CaptionedClips, size: tuple[int, int]) -> Section:
    """A section on held-out frames, drawn, and made again of the drawing and a caption."""
    from worldsim.cli.reporting import progress
    from worldsim.data.sketch import draw
    from worldsim.evals.instruments.imagine_guides import sketches
    from worldsim.runtime.request import Given

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
    """A section on held-out clips, made again in the other look that they are there in; none if there are no such, or
    nothing can be detected in that world."""
    from worldsim.cli.reporting import progress
    from worldsim.evals.instruments.imagine_guides import restyled
    from worldsim.runtime.imagine import WINDOW
    from worldsim.runtime.request import Given
    from worldsim.train.pieces import last_clause

    paired = [(int(n), other) for n in held_out_of(clips, size) for other in clips.paired(int(n))][: config.guides]
    areas, reader = asker_of(str(clips.facts["world"])).areas(size[0]), look_reader(clips, config.seed)
    if not paired or areas is None or reader is None:
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
    judged = dict.fromkeys(DETECTED, areas)
    return [restyled(np.stack(sources), np.stack(made), np.stack(real), looks, told, reader, judged)]


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


def look_reader(clips: CaptionedClips, seed: int) -> LookReader | None:
    """A reader of looks, by real frames that were trained on; None where there is one look only."""
    from worldsim.evals.instruments.imagine import LookReader

    trained = np.concatenate(list(clips.buckets(held_out=False).values()))
    chosen = [clips.clip(int(n)) for n in np.random.default_rng(seed).permutation(trained)[:REAL]]
    looks = [clip.look for clip in chosen]
    return LookReader([clip.frames[0] for clip in chosen], looks) if len(set(looks)) > 1 else None


def _imagine(
    config: EvalConfig, model: Imaginer, given: Given | None, text: str, size: tuple[int, int], frames: int, seed: int
) -> np.ndarray:
    from worldsim.runtime.imagine import imagine

    rest = (config.seed + seed, config.sampler, config.source_guidance)
    return imagine(model, given, text, size, frames, config.steps, config.guidance, *rest)
