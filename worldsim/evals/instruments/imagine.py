"""Imagining, judged: whether a clip shows what was asked, keeps what was given, and is no copy. Knows frames and what
was asked; no model and no world. H x W pixels.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from worldsim.evals.permanence.detector import Detection, detect
from worldsim.evals.section import Figure, Section, Strip, mean_figure, number, share_figure

LOOKED_AT = 4  # one frame in so many of a clip is judged; most of them decide
GIVEN = 5  # frames that are given at a clip's ends
SMALL = 16  # pixels a side at which clips are compared with those learned from
SHOWN = 6  # clips of a film strip


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """One prompt, and what is right.

    Attributes:
        kind: "one", "two", "three": so many things; "relation": two, from left to right.
        text: the prompt.
        things: (colour, shape) of each, indices into the permanence suite's `COLOURS` and `SHAPES`.
        look: drawing style that is asked for.
        judged: whether things can be detected in that look.
        areas: of the smallest and the largest thing that may be there, in pixels.
        real: a real frame that shows what is asked, uint8 `[H, W, 3]`.
    """

    kind: str
    text: str
    things: tuple[tuple[int, int], ...]
    look: str
    judged: bool
    areas: tuple[float, float]
    real: np.ndarray


def right(frames: np.ndarray, asked: Asked) -> bool:
    """Whether most of the frames uint8 `[n, H, W, 3]` that are looked at show what was asked, where it was asked."""
    looked = frames[::LOOKED_AT]
    return sum(_shows(detect(frame, asked.areas), asked) for frame in looked) * 2 > len(looked)


def counted(frames: np.ndarray, asked: Asked) -> bool:
    """Whether most of the frames that are looked at show as many things as were asked."""
    looked = frames[::LOOKED_AT]
    return sum(len(detect(frame, asked.areas)) == len(asked.things) for frame in looked) * 2 > len(looked)


def _shows(found: Sequence[Detection], asked: Asked) -> bool:
    there = collections.Counter((d.colour, d.shape) for d in found)
    if collections.Counter(asked.things) - there:
        return False
    if asked.kind != "relation":
        return True
    at = {thing: np.mean([d.x for d in found if (d.colour, d.shape) == thing]) for thing in asked.things}
    return bool(at[asked.things[0]] < at[asked.things[1]])


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
    asked: Sequence[Asked], made: Sequence[np.ndarray], untold: Sequence[np.ndarray], reader: LookReader
) -> Section:
    """What prompts give: things, numbers, relations and looks.

    Args:
        asked: the prompts.
        made: the clip of each, uint8 `[n, H, W, 3]`. untold: the clip of the same noise without a prompt.
        reader: of looks.
    """
    section = Section(
        "imagine",
        "Words to clips",
        f"{len(asked)} prompts that nothing was trained on. Things are found by the detector of the permanence suite, "
        "in the looks that it was made for; looks are told by the nearest real frame. Beside: the same judge on real "
        "frames of what was asked, on pictures of the same noise without words, on clips of other prompts (chance).",
    )
    judged = [i for i, a in enumerate(asked) if a.judged]
    for kind in dict.fromkeys(a.kind for a in asked):
        chosen = [i for i in judged if asked[i].kind == kind]
        section.figures.append(_compared(f"imagine.{kind}", f"{kind}: right", chosen, asked, made, untold, right))
    section.figures.append(_compared("imagine.count", "as many as asked", judged, asked, made, untold, counted))

    def in_look(frames: np.ndarray, a: Asked) -> bool:
        return reader(frames[len(frames) // 2]) == a.look

    everything = list(range(len(asked)))
    section.figures.append(_compared("imagine.look", "look as asked", everything, asked, made, untold, in_look))
    section.notes.append(f"The reader of looks is right on {number(reader.accuracy, '%')} of the real frames.")
    for i in range(min(SHOWN, len(asked))):
        section.strips.append(Strip(asked[i].text, {"made": made[i][::LOOKED_AT]}))
    return section


def _compared(
    key: str,
    label: str,
    chosen: Sequence[int],
    asked: Sequence[Asked],
    made: Sequence[np.ndarray],
    untold: Sequence[np.ndarray],
    judge: Callable[[np.ndarray, Asked], bool],
) -> Figure:
    """The share of the chosen prompts that are right, beside real frames, no words, and another prompt's clip."""
    others = [*chosen[1:], *chosen[:1]]
    shares = {
        "real": [judge(asked[i].real[None], asked[i]) for i in chosen],
        "without words": [judge(untold[i], asked[i]) for i in chosen],
        "another prompt": [judge(made[j], asked[i]) for i, j in zip(chosen, others, strict=True)],
    }
    reference = ", ".join(f"{name} {number(float(np.mean(v)), '%')}" for name, v in shares.items() if v)
    return share_figure(key, label, sum(judge(made[i], asked[i]) for i in chosen), len(chosen), reference)


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
