"""Asks an imaginer for everything it can do, and hands what it makes, beside real clips, to the instruments.

Knows the imaginer, clips in words and who asks; no files, and no world.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch

from worldsim.data.captioned import CaptionedClips
from worldsim.data.sketch import draw
from worldsim.errors import WorldsimError
from worldsim.evals.core import ProgressCallback
from worldsim.evals.frechet import SAMPLES_PER_DIMENSION
from worldsim.evals.instruments.imagine import (
    GIVEN,
    Asked,
    Asker,
    LookReader,
    copies,
    edits,
    ends,
    fit,
    words,
)
from worldsim.evals.instruments.imagine_guides import restyled, sketches
from worldsim.evals.instruments.imagine_sizes import sizes
from worldsim.evals.section import Section
from worldsim.models.autoencoder import to_pixels
from worldsim.runtime.clip_score import ClipScorer
from worldsim.runtime.imagine import WINDOW, Imaginer, imagine, imagine_pictures
from worldsim.runtime.painter import BEST_OF
from worldsim.runtime.request import Given
from worldsim.runtime.request import fit as fit_frames
from worldsim.runtime.reward import PictureScorer, best_of
from worldsim.train.pieces import last_clause
from worldsim.train.video_autoencoder import reconstruct

DETECTED = ("day", "night")  # looks in which things can be detected
REAL = 400  # real frames that looks are told by
TRAINED = 4000  # clips that were trained on and are looked through for copies
COMPARED = (64, 64)  # size at which pictures of all sizes are compared


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How everything is imagined; see `worldsim.runtime.imagine.imagine`.

    Attributes:
        best_of: clips that are made of each prompt, and edits of each picture, of which the one that fits best is
            judged.
    """

    size: tuple[int, int] = (64, 64)
    steps: int = 0
    guidance: float | None = None
    source_guidance: float | None = None
    sampler: str = "euler"
    best_of: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class ImaginerJudge:
    """Judges an imaginer on prompts and clips that nothing was trained on.

    Attributes:
        model: what imagines.
        clips: those that it was trained on, whose held-out part is used.
        asker: who asks prompts of their world.
        sampling: how everything is imagined.
        progress: opens a progress bar of (title, total).
        towers: say how well words fit; None to leave that out.
        scorer: a reward model, to choose the best of several by; None for the first one.
    """

    model: Imaginer
    clips: CaptionedClips
    asker: Asker
    sampling: Sampling
    progress: Callable[[str, int], AbstractContextManager[ProgressCallback]]
    towers: ClipScorer | None = None
    scorer: PictureScorer | None = None

    def words(self, each: int, otherwise: bool) -> list[Section]:
        """Sections on prompts, so many of each kind, as pictures and clips, and on copies, and if there are towers on
        how well words fit. `otherwise`: whether prompts are said in other words than those of recorded captions."""
        size, seed = self.sampling.size, self.sampling.seed
        asked = [self.asker.ask(kind, seed + i, *size) for kind in self.asker.KINDS for i in range(each)]
        texts = [self._otherwise(one.text, i) if otherwise else one.text for i, one in enumerate(asked)]
        made, pictures, untold, rebuilt = [], [], [], []
        with self.progress("prompts", len(asked)) as done:
            for i, text in enumerate(texts):
                made.append(self._best(None, text, WINDOW, i, len(asked)))
                pictures.append(self._best_picture(text, i)[None])
                untold.append(self._imagine(None, "", 1, i))
                rebuilt.append(reconstruct(self.model.autoencoder, asked[i].real[None, None])[0, 0])
                done(1)
        rng = np.random.default_rng(seed)
        held_out, trained = (np.concatenate(list(self.clips.buckets(kept).values())) for kept in (True, False))
        firsts = [self.clips.clip(int(n)).frames[0] for n in rng.permutation(trained)[:TRAINED]]
        others = [self.clips.clip(int(n)).frames[0] for n in rng.permutation(held_out)[: len(asked)]]
        rest = untold, rebuilt, self.asker.LABELS, self._look_reader()
        return [
            words(asked, pictures, *rest, "imagine-pictures", "Words to pictures", "pictures, "),
            words(asked, made, *rest),
            copies([frames[0] for frames in made], others, firsts),
            *([self._fit(self.towers, asked, texts, made)] if self.towers else []),
        ]

    def edits(self, count: int) -> list[Section]:
        """A section on pictures of which one thing is made another; none in worlds of which nobody asks that."""
        asked = [self.asker.ask_edit(self.sampling.seed + i, *self.sampling.size) for i in range(count)]
        there = [one for one in asked if one is not None]
        if not there:
            return []
        made = []
        with self.progress("edits", len(there)) as done:
            for i, one in enumerate(there):
                given = Given(clip=one.frame[None].copy(), region=one.region)
                made.append(self._best(given, one.text, 1, i, len(there))[0])
                done(1)
        return [edits(there, made)]

    def ends(self, count: int) -> Section:
        """A section on clips whose ends are given, in the looks and words of held-out ones."""
        chosen = [self.clips.clip(int(n)) for n in self._held_out()]
        chosen = [clip for clip in chosen if clip.look in ("", *DETECTED)][:count]
        if not chosen:
            raise self._none_held_out()
        made: list[list[np.ndarray]] = [[], [], []]
        with self.progress("clips", len(chosen)) as done:
            for i, clip in enumerate(chosen):
                head, tail = clip.frames[:GIVEN], clip.frames[-GIVEN:]
                for clips_made, given in zip(made, (Given(head), Given(tail=tail), Given(head, tail)), strict=True):
                    clips_made.append(self._imagine(given, clip.story[0], WINDOW, i))
                done(1)
        onwards, back, joined = map(np.stack, made)
        areas = self.asker.areas(self.sampling.size[0])
        return ends(np.stack([clip.frames for clip in chosen]), onwards, back, joined, areas)

    def sketches(self, count: int) -> Section:
        """A section on held-out frames, drawn, and made again of the drawing and a caption."""
        frames, drawn, made, without = [], [], [], []
        numbers = self._held_out()[:count]
        with self.progress("sketches", len(numbers)) as done:
            for i, number in enumerate(numbers):
                clip = self.clips.clip(int(number))
                lines = draw(clip.frames[:1], np.random.default_rng([self.sampling.seed, i]))[0]
                done(1)
                if not lines.any():
                    continue
                sketch, text = np.repeat(lines[..., None], 3, axis=-1), clip.moments[0][-1]
                made.append(self._imagine(Given(sketch=sketch), text, 1, i)[0])
                without.append(self._imagine(None, text, 1, i)[0])
                frames.append(clip.frames[0])
                drawn.append(lines)
        return sketches(*map(np.stack, (drawn, made, without, frames)))

    def looks(self, count: int) -> list[Section]:
        """A section on held-out clips, made again in the other look that they are there in; none if there are no such,
        or nothing can be detected in that world."""
        paired = [(int(n), other) for n in self._held_out() for other in self.clips.paired(int(n))][:count]
        areas, reader = self.asker.areas(self.sampling.size[0]), self._look_reader()
        if not paired or areas is None or reader is None:
            return []
        sources, real, made, told = [], [], [], []
        with self.progress("looks", len(paired)) as done:
            for i, pair in enumerate(paired):
                source, truth = map(self.clips.clip, pair)
                naming = [text for text in truth.story if truth.look in text]
                told.append(last_clause(naming[0]) if naming else truth.look)
                made.append(self._imagine(Given(source=source.frames), told[-1], WINDOW, i))
                sources.append(source.frames)
                real.append(truth.frames)
                done(1)
        looks = [self.clips.label(other)[0] for _, other in paired]
        judged = dict.fromkeys(DETECTED, areas)
        return [restyled(np.stack(sources), np.stack(made), np.stack(real), looks, told, reader, judged)]

    def sizes(self, each: int) -> list[Section]:
        """A section on pictures of every size, so many of each, of the captions of held-out clips; none for fewer than
        the distance between two sets needs."""
        groups = {bucket[1:]: numbers[:each] for bucket, numbers in self.clips.buckets(held_out=True).items()}
        groups = {size: numbers for size, numbers in groups.items() if len(numbers) >= 4 * SAMPLES_PER_DIMENSION}
        if not groups.keys() - self.clips.unseen or not groups.keys() & self.clips.unseen:
            return []
        real, made, shown = {}, {}, {}
        with self.progress("sizes", sum(map(len, groups.values()))) as done:
            for size, numbers in groups.items():
                pictures = []
                for i, number in enumerate(numbers):
                    text = self.clips.words(int(number))[1][0][0]
                    pictures.append(self._imagine(None, text, 1, i, size)[0])
                    done(1)
                real[size] = self._features(np.stack([self.clips.clip(int(n)).frames[0] for n in numbers]))
                made[size], shown[size] = self._features(np.stack(pictures)), pictures[0]
        return [sizes(real, made, self.clips.unseen, shown)]

    @torch.no_grad()
    def _features(self, pictures: np.ndarray) -> np.ndarray:
        """Means and deviations of the latents of pictures uint8 `[n, H, W, 3]`: float `[n, 2 C]`."""
        small = torch.from_numpy(fit_frames(pictures, COMPARED)).to(self.model.device)
        latents = torch.cat([self.model.autoencoder.encode(part[:, None]) for part in to_pixels(small).split(16)])
        cells = latents.float().movedim(2, 1).flatten(2)  # [n, C, t h w]
        return torch.cat([cells.mean(-1), cells.std(-1)], dim=1).cpu().numpy()

    def _fit(self, scorer: ClipScorer, asked: list[Asked], texts: list[str], made: list[np.ndarray]) -> Section:
        told = scorer.texts(texts)
        first, real = (
            (scorer.pictures(np.stack(frames)) @ told.T).cpu().numpy()
            for frames in ([clip[0] for clip in made], [one.real for one in asked])
        )  # [clips, prompts]
        own, n = np.diag(first), len(asked)
        less = ((first < own[:, None]).sum(1) + 0.5 * ((first == own[:, None]).sum(1) - 1)) / max(n - 1, 1)
        scores = {"made": own, "real": np.diag(real), "another prompt": np.roll(first, 1, axis=1).diagonal()}
        return fit(scores, less)

    def _best(self, given: Given | None, text: str, frames: int, first: int, apart: int) -> np.ndarray:
        """The best of some clips by the reward model, or the only one; seeds are `apart`."""
        if self.scorer is None or self.sampling.best_of == 1:
            return self._imagine(given, text, frames, first)
        scorer = self.scorer

        def make(number: int) -> np.ndarray:
            return self._imagine(given, text, frames, first + apart * number)

        return best_of(self.sampling.best_of, make, lambda clip: scorer.score(clip, text))[1]

    def _best_picture(self, text: str, seed: int) -> np.ndarray:
        """What an exported imaginer paints: the best of some pictures by the reward model, or the only one."""
        how = self.sampling
        text = self.model.dit.text.vocabulary.in_world(self.clips.worlds[0], text)
        count = BEST_OF if self.scorer else 1
        frames = imagine_pictures(self.model, text, how.size, count, how.seed + seed, how.steps, how.guidance)
        return frames[int(self.scorer.pictures(frames, text).argmax())] if self.scorer else frames[0]

    def _otherwise(self, text: str, seed: int) -> str:
        """The same prompt in other words; as it is where the world knows none."""
        rng = np.random.default_rng([seed, 11])
        return next((said for _ in range(16) if (said := self.clips.synonyms.vary(text, rng)) != text), text)

    def _held_out(self) -> np.ndarray:
        """Numbers of the held-out clips of the size."""
        numbers = self.clips.buckets(held_out=True).get((WINDOW, *self.sampling.size))
        if numbers is None:
            raise self._none_held_out()
        return numbers

    def _none_held_out(self) -> WorldsimError:
        height, width = self.sampling.size
        return WorldsimError(f"{self.clips.path} has no held-out clips of {width}x{height}; give another --size")

    def _look_reader(self) -> LookReader | None:
        """A reader of looks, by real frames that were trained on; None where there is one look only."""
        trained = np.concatenate(list(self.clips.buckets(held_out=False).values()))
        rng = np.random.default_rng(self.sampling.seed)
        chosen = [self.clips.clip(int(n)) for n in rng.permutation(trained)[:REAL]]
        looks = [clip.look for clip in chosen]
        return LookReader([clip.frames[0] for clip in chosen], looks) if len(set(looks)) > 1 else None

    def _imagine(
        self, given: Given | None, text: str, frames: int, seed: int, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        how = self.sampling
        rest = (how.seed + seed, how.sampler, how.source_guidance)
        text = self.model.dit.text.vocabulary.in_world(self.clips.worlds[0], text)
        return imagine(self.model, given, text, size or how.size, frames, how.steps, how.guidance, *rest)
