"""Imagining, judged: whether a clip shows what was asked, keeps what was given, and is no copy. Knows frames and what
was asked; no model and no world. H x W pixels.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import cv2
import numpy as np

from worldsim.evals.permanence.detector import detect
from worldsim.evals.probes import Target
from worldsim.evals.section import Section, Strip, mean_figure, number, share_figure

LOOKED_AT = 4  # one frame in so many of a clip is judged; most of them decide
GIVEN = 5  # frames that are given at a clip's ends
SMALL = 16  # pixels a side at which clips are compared with those learned from
SHOWN = 6  # clips of a film strip


class Asked(Protocol):
    """One prompt, and what sees in frames whether it was followed.

    Attributes:
        kind: of prompt, a key of the asker's `KINDS`.
        text: the prompt.
        look: drawing style that is asked for; "" in worlds that have one only.
        real: a real frame that shows what is asked, uint8 `[H, W, 3]`.
    """

    kind: str
    text: str
    look: str
    real: np.ndarray

    def seen(self, frame: np.ndarray) -> Mapping[str, bool]:
        """What was asked, each by its name -> whether a frame uint8 `[H, W, 3]` shows it; without what can't be read in
        any frame of this prompt."""


class AskedEdit(Protocol):
    """One thing of a picture that is to become another.

    Attributes:
        text: what there is to be, the rest of the picture in it.
        frame: the picture, uint8 `[H, W, 3]`. region: bool `[H, W]`, what is painted anew.
        real: the picture as it ought to be.
    """

    text: str
    frame: np.ndarray
    region: np.ndarray
    real: np.ndarray

    def seen(self, frame: np.ndarray) -> tuple[bool, list[bool]]:
        """Whether a frame uint8 `[H, W, 3]` shows the thing that was asked for in the region, and no other one there;
        and for every thing that was to stay whether it did."""


class Asker(Protocol):
    """What asks prompts of a world: a module of it.

    Attributes:
        KINDS: of prompts. LABELS: what `Asked.seen` names -> in words.
        TARGETS: what is to be reached.
    """

    KINDS: Collection[str]
    LABELS: Mapping[str, str]
    TARGETS: Sequence[Target]

    def ask(self, kind: str, seed: int, height: int, width: int) -> Asked:
        """One prompt of a kind, for frames of a size; the same seed gives the same."""

    def ask_edit(self, seed: int, height: int, width: int) -> AskedEdit | None:
        """One change to a picture, for frames of a size; the same seed gives the same. None where nobody can judge."""

    def areas(self, height: int) -> tuple[float, float] | None:
        """Areas of the smallest and the largest thing in frames of a height, in pixels, where things of the permanence
        suite can be found in them."""


def shown(frames: np.ndarray, asked: Asked) -> dict[str, bool]:
    """What was asked -> whether most of the frames uint8 `[n, H, W, 3]` that are looked at show it."""
    looked = [asked.seen(frame) for frame in frames[::LOOKED_AT]]
    return {name: sum(seen[name] for seen in looked) * 2 > len(looked) for name in looked[0]}


class LookReader:
    """Tells the looks of a world apart by the nearest of some real frames.

    Args:
        frames: uint8 `[H, W, 3]` each, of any size. looks: of each.

    Attributes:
        accuracy: share of these frames that the others tell rightly.
    """

    def __init__(self, frames: Sequence[np.ndarray], looks: Sequence[str]):
        self._features, self._looks = np.stack([_small(frame, 4) for frame in frames]), np.array(looks)
        distances = np.square(self._features[:, None] - self._features).sum(-1)
        np.fill_diagonal(distances, np.inf)
        self.accuracy = float((self._looks[distances.argmin(1)] == self._looks).mean())

    def __call__(self, frame: np.ndarray) -> str:
        """The look of a frame uint8 `[H, W, 3]`."""
        return str(self._looks[np.square(self._features - _small(frame, 4)).sum(-1).argmin()])


def _small(frame: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA), np.float32).reshape(-1)


def words(
    asked: Sequence[Asked],
    made: Sequence[np.ndarray],
    untold: Sequence[np.ndarray],
    rebuilt: Sequence[np.ndarray],
    labels: Mapping[str, str],
    reader: LookReader | None,
    name: str = "imagine",
    title: str = "Words to clips",
    prefix: str = "",
) -> Section:
    """What prompts give, by everything that they ask.

    Args:
        asked: the prompts.
        made: the clip of each, uint8 `[n, H, W, 3]`. untold: the clip of the same noise without a prompt.
        rebuilt: the real frame that shows what is asked, encoded and decoded, `[H, W, 3]`: no clip can be better.
        labels: what is asked -> in words.
        reader: of looks, in worlds that have several.
        name, title: of the section. prefix: of the figures' labels.
    """
    section = Section(
        name,
        title,
        f"{len(asked)} prompts that nothing was trained on, judged by what reads the world's real frames, where that "
        "can; looks are told by the nearest real frame. Beside: the same judge on real frames of what was asked, on "
        "those encoded and decoded, on pictures of the same noise without words, on clips of other prompts (chance).",
    )

    def judge(frames: np.ndarray, one: Asked) -> dict[str, bool]:
        look = {"look": reader(frames[len(frames) // 2]) == one.look} if reader else {}
        return shown(frames, one) | look

    ways = {
        "made": [judge(clip, one) for clip, one in zip(made, asked, strict=True)],
        "real": [judge(one.real[None], one) for one in asked],
        "encoded and decoded": [judge(frame[None], one) for frame, one in zip(rebuilt, asked, strict=True)],
        "without words": [judge(clip, one) for clip, one in zip(untold, asked, strict=True)],
        "another prompt": [judge(made[j], asked[i]) for i, j in _others(asked).items()],
    }
    for what in dict.fromkeys(what for seen in ways["made"] for what in seen):
        found = {way: [seen[what] for seen in each if what in seen] for way, each in ways.items()}
        right = found.pop("made")
        beside = ", ".join(f"{way} {number(float(np.mean(v)), '%')}" for way, v in found.items())
        label = prefix + ("look as asked" if what == "look" else labels[what])
        section.figures.append(share_figure(f"{name}.{what}", label, sum(right), len(right), beside))
    if reader:
        section.notes.append(f"The reader of looks is right on {number(reader.accuracy, '%')} of the real frames.")
    for i in range(min(SHOWN, len(asked))):
        section.strips.append(Strip(asked[i].text, {"made": made[i][::LOOKED_AT]}))
    return section


def _others(asked: Sequence[Asked]) -> dict[int, int]:
    """Every prompt -> the next one of its kind."""
    kinds: dict[str, list[int]] = {}
    for i, one in enumerate(asked):
        kinds.setdefault(one.kind, []).append(i)
    return {i: j for those in kinds.values() for i, j in zip(those, [*those[1:], *those[:1]], strict=True)}


def fit(scores: Mapping[str, np.ndarray], chosen: np.ndarray) -> Section:
    """How well words fit what was made of them, as the two towers see it.

    Args:
        scores: cosines of prompts with "made", "real" and "another prompt"'s clips, `[n]` each.
        chosen: of every prompt, the share of the other prompts that fit its clip less well than it does `[n]`.
    """
    section = Section(
        "imagine-fit",
        "How well the words fit",
        f"Cosines of {len(chosen)} prompts and clips, by two towers that were trained on real ones (CLIP). They know "
        "what the captions say, and see less than the exact judge does.",
    )
    beside = ", ".join(f"{name} {number(float(v.mean()))}" for name, v in scores.items() if name != "made")
    section.figures.append(mean_figure("imagine-fit.cosine", "cosine of prompt and clip", scores["made"], "", beside))
    section.figures.append(
        mean_figure("imagine-fit.chosen", "other prompts that fit less well", chosen, "%", "chance 50.0 %")
    )
    return section


def edits(asked: Sequence[AskedEdit], made: Sequence[np.ndarray]) -> Section:
    """What painting a region anew by words gives.

    Args:
        asked: what was to be changed. made: the picture of each, uint8 `[H, W, 3]`.
    """
    section = Section(
        "imagine-edits",
        "One thing becomes another",
        f"{len(asked)} pictures that nothing was trained on; the region around one thing is painted anew in words that "
        "name another. Judged by what detects things in real frames. Beside: pictures really drawn so, and left as "
        "they are.",
    )
    ways = {"made": made, "real": [one.real for one in asked], "unchanged": [one.frame for one in asked]}
    seen = {way: [one.seen(f) for one, f in zip(asked, frames, strict=True)] for way, frames in ways.items()}
    right = {way: [changed for changed, _ in each] for way, each in seen.items()}
    stayed = {way: [stays for _, kept in each for stays in kept] for way, each in seen.items()}
    for key, label, found in (("right", "changed as asked", right), ("kept", "other things kept", stayed)):
        beside = ", ".join(f"{way} {number(float(np.mean(v)), '%')}" for way, v in found.items() if way != "made")
        section.figures.append(
            share_figure(f"imagine-edits.{key}", label, sum(found["made"]), len(found["made"]), beside)
        )
    for one, picture in list(zip(asked, made, strict=True))[:SHOWN]:
        rows = {"before, made, real": np.stack([one.frame, picture, one.real])}
        section.strips.append(Strip(one.text, rows))
    return section


def ends(
    real: np.ndarray, onwards: np.ndarray, back: np.ndarray, joined: np.ndarray, areas: tuple[float, float] | None
) -> Section:
    """What given frames give: what is kept, and how clips go on at the seams.

    Args:
        real: clips uint8 `[N, T, H, W, 3]`.
        onwards, back, joined: the same, of which the first, the last, and both times `GIVEN` frames were given.
        areas: of the smallest and largest thing in pixels, where things can be detected.
    """
    section = Section(
        "imagine-ends",
        "Pictures and clips to clips",
        f"{len(real)} held-out clips of {real.shape[1]} frames, {GIVEN} of them given at one end or at both. A seam is "
        "the change from the last given frame to the first made one, or the other way round, over the mean change of "
        "the real clips.",
    )
    natural = _change(real).mean()
    last = real.shape[1] - GIVEN - 1
    for key, label, clips, at in (
        ("onwards", "forwards", onwards, [GIVEN - 1]),
        ("back", "backwards", back, [last]),
        ("joined", "joined", joined, [GIVEN - 1, last]),
    ):
        seams = _change(clips)[:, at].mean(1) / max(natural, 1e-6)
        there = number(float(_change(real)[:, at].mean() / max(natural, 1e-6)))
        section.figures.append(mean_figure(f"imagine-ends.{key}", f"seam {label}", seams, "x", f"real {there} x"))
    if areas is not None:
        staying = [i for i, clip in enumerate(real) if _keeps(clip, clip, areas)]
        section.figures.append(
            share_figure(
                "imagine-ends.kept",
                f"things of the first frame that are in frame {real.shape[1]}, where they really are",
                sum(_keeps(real[i], onwards[i], areas) for i in staying),
                len(staying),
                f"they stay in {len(staying)} of {len(real)} real clips",
            )
        )
    rows = {"real": real, "forwards": onwards, "backwards": back, "joined": joined}
    for i in range(min(2, len(real))):
        section.strips.append(Strip(f"Clip {i + 1}", {name: clips[i, ::LOOKED_AT] for name, clips in rows.items()}))
    return section


def _change(clips: np.ndarray) -> np.ndarray:
    """Mean absolute change from frame to frame, `[N, T - 1]`."""
    return np.abs(clips[:, 1:].astype(np.float32) - clips[:, :-1]).mean((2, 3, 4))


def _keeps(real: np.ndarray, made: np.ndarray, areas: tuple[float, float]) -> bool:
    """Whether the first real frame shows things, and the last made one shows them all."""
    first, last = (collections.Counter((d.colour, d.shape) for d in detect(f, areas)) for f in (real[0], made[-1]))
    return bool(first) and not first - last


def copies(made: Sequence[np.ndarray], held_out: Sequence[np.ndarray], trained: Sequence[np.ndarray]) -> Section:
    """How near first frames are to the nearest one that was trained on, beside real ones that weren't.

    Args:
        made, held_out, trained: frames uint8 `[H, W, 3]` of any size.
    """
    learned = np.stack([_small(frame, SMALL) for frame in trained])

    def nearest(frames: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([np.sqrt(np.square(learned - _small(f, SMALL)).mean(1).min()) for f in frames])

    section = Section(
        "imagine-copies",
        "No copies",
        f"Root mean square distance, in levels of 255 at {SMALL}x{SMALL} pixels, to the nearest of {len(trained)} "
        "first frames that were trained on.",
    )
    reference = f"held-out real frames {number(float(nearest(held_out).mean()))}"
    section.figures.append(
        mean_figure("imagine-copies.nearest", "distance to the nearest", nearest(made), "", reference)
    )
    return section
