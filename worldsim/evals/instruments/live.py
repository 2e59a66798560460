"""Live play, judged: frames drawn in another look, and events that were told in words. Knows frames and what was asked;
no model and no world.

N rollouts, T frames, M real frames, H x W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from worldsim.evals.instruments.imagine import LookReader
from worldsim.evals.permanence.detector import Detection, detect
from worldsim.evals.section import Figure, Section, Strip, mean_figure, number, share_figure
from worldsim.psnr import psnr_of_error

EVERY = 4  # one frame in so many is looked at
NEAR = 4.0  # pixels that a thing may be off
STILL = 2  # levels of 255 that a pixel that stands still changes at most
LATER = (16, 64)  # frames after an event
SHOWN = 4  # film strips


@dataclasses.dataclass(frozen=True, eq=False)
class Restyled:
    """One look.

    Attributes:
        rollouts: generated frames drawn in it, uint8 `[N, T, H, W, 3]`.
        restored: brings the hues of things in frames uint8 `[n, H, W, 3]` back to those that the detector knows.
        real: real frames in it, uint8 `[M, H, W, 3]`. drawn: the same real frames in the world's own look, drawn in it.
    """

    rollouts: np.ndarray
    real: np.ndarray
    drawn: np.ndarray
    restored: Callable[[np.ndarray], np.ndarray]


def restyle(
    rollouts: np.ndarray,
    real: np.ndarray,
    looks: Mapping[str, Restyled],
    reader: LookReader,
    areas: tuple[float, float],
    milliseconds: np.ndarray,
    fps: float,
) -> Section:
    """Whether a restyled rollout shows the same things, in the right look, without flicker, and fast enough.

    Args:
        rollouts: generated frames as the world makes them, uint8 `[N, T, H, W, 3]`.
        real: real frames in its own look, uint8 `[M, H, W, 3]`.
        looks: what was drawn of both, by look.
        reader: of looks.
        areas: of the smallest and the largest thing, in pixels.
        milliseconds: of single drawings, `[n]`. fps: frames a second of generating and drawing together.
    """
    count, length = rollouts.shape[:2]
    section = Section(
        "restyle",
        "Other looks while one plays",
        f"{count} rollouts of {length} frames, each drawn in every look. Things are found by the detector of the "
        "permanence suite, after the hues that a look mixes are brought back. One is kept if it is found in the same "
        f"colour within {NEAR:g} pixels of where it is in the frame as generated. Looks are told by the nearest real "
        "frame. Still pixels are those that change by at most "
        f"{STILL} levels of 255 as generated.",
    )
    own = [detect(frame, areas) for frame in rollouts[:, ::EVERY].reshape(-1, *rollouts.shape[2:])]
    own_real = [detect(frame, areas) for frame in real]
    still = np.abs(rollouts[:, 1:].astype(np.int16) - rollouts[:, :-1]).max(-1) <= STILL
    as_made = f"as generated {number(float(np.nanmean(_change(rollouts, still))))}"
    for look, made in looks.items():
        frames = made.rollouts[:, ::EVERY].reshape(-1, *rollouts.shape[2:])
        kept, ceiling = _kept(own, made.restored(frames), areas), _kept(own_real, made.restored(made.real), areas)
        seen, really = ([reader(frame) == look for frame in side] for side in (frames, made.real))
        flicker = _change(made.rollouts, still)
        error = np.square(made.drawn.astype(np.float32) - made.real).mean((1, 2, 3))
        key, real_share = f"restyle.{look}", f"real frames in that look {_share(ceiling)}"
        section.figures.extend(
            [
                share_figure(f"{key}.kept", f"{look}: things kept", sum(kept), len(kept), real_share),
                share_figure(f"{key}.look", f"{look}: look as asked", sum(seen), len(seen), f"real {_share(really)}"),
                mean_figure(f"{key}.flicker", f"{look}: change of still pixels", flicker, "levels", as_made),
                mean_figure(f"{key}.psnr", f"{look}: real frames, drawn", psnr_of_error(error), "dB"),
            ]
        )
    section.figures.append(mean_figure("restyle.ms", "time to draw a frame", milliseconds, "ms"))
    section.figures.append(mean_figure("restyle.fps", "frames a second, generated and drawn", np.array([fps])))
    for i in range(min(SHOWN, count)):
        every = slice(None, None, max(1, length // 8))
        rows = {"as generated": rollouts[i, every], **{look: made.rollouts[i, every] for look, made in looks.items()}}
        section.strips.append(Strip(f"Rollout {i + 1}", rows))
    return section


def _kept(expected: Sequence[Sequence[Detection]], frames: np.ndarray, areas: tuple[float, float]) -> list[bool]:
    """Of every expected thing, whether it is in its frame uint8 `[n, H, W, 3]`."""
    kept = []
    for things, frame in zip(expected, frames, strict=True):
        found = detect(frame, areas) if things else []
        kept += [any(_same(thing, other) for other in found) for thing in things]
    return kept


def _same(thing: Detection, other: Detection) -> bool:
    return thing.colour == other.colour and np.hypot(thing.x - other.x, thing.y - other.y) <= NEAR


def _change(rollouts: np.ndarray, still: np.ndarray) -> np.ndarray:
    """Mean absolute change of the pixels that stand still, of each rollout, `[N]`."""
    change = np.abs(rollouts[:, 1:].astype(np.int16) - rollouts[:, :-1]).mean(-1)
    return np.array([c[s].mean() if s.any() else np.nan for c, s in zip(change, still, strict=True)])


@dataclasses.dataclass(frozen=True, eq=False)
class Told:
    """One event and what followed; frames are uint8 `[H, W, 3]`.

    Attributes:
        kind: "appears" or "vanishes". words: what was told.
        colour, shape: of the thing, indices into the permanence suite's `COLOURS` and `SHAPES`.
        before, after: the picture on screen. region: bool `[H, W]`, where it was painted anew.
        later: so many frames after the event. untold: the same without it.
    """

    kind: str
    words: str
    colour: int
    shape: int
    before: np.ndarray
    after: np.ndarray
    region: np.ndarray
    later: Mapping[int, np.ndarray]
    untold: Mapping[int, np.ndarray]


def events(told: Sequence[Told], areas: tuple[float, float], painter: str, refused: int) -> Section:
    """Whether what was told happened, nothing else changed, and it stays.

    Args:
        told: the events.
        areas: of the smallest and the largest thing, in pixels.
        painter: who painted them, in words.
        refused: events that were not possible, for lack of room or of a thing.
    """
    name = f"events-{painter.split()[0]}"
    section = Section(
        name,
        f"Events in words, painted by the {painter}",
        f"{len(told)} events in mid-play; {refused} more found no room. A thing that appears counts in its colour and "
        "shape where it was painted, one that vanishes if nothing of its colour is left there. Nothing else changed if "
        "all other pixels are what they were; later, if the things elsewhere are where they are in the same play "
        "without the event.",
    )
    for kind in ("appears", "vanishes"):
        chosen = [event for event in told if event.kind == kind]
        section.figures.extend(_figures(f"{name}.{kind}", kind, chosen, areas))
    for event in told[:SHOWN]:
        rows = [event.before, event.after, *event.later.values()]
        section.strips.append(Strip(event.words, {"": np.stack(rows)}, ("before", "then", *map(str, event.later))))
    return section


def _figures(key: str, kind: str, told: Sequence[Told], areas: tuple[float, float]) -> list[Figure]:
    """Of events of one kind."""

    def share(name: str, label: str, holds: Sequence[bool], reference: str = "") -> Figure:
        return share_figure(f"{key}.{name}", f"{kind}: {label}", sum(holds), len(holds), reference)

    def so(frames: Sequence[np.ndarray]) -> list[bool]:
        return [_is_so(event, frame, areas) for event, frame in zip(told, frames, strict=True)]

    def without(frames: Sequence[np.ndarray]) -> str:
        return f"without the event {_share(so(frames))}"

    same = [bool((event.before == event.after)[~event.region].all()) for event in told]
    figures = [
        share("happened", "it happened", so([e.after for e in told]), without([e.before for e in told])),
        share("else", "nothing else changed", same),
    ]
    for k in LATER:
        there = so([e.later[k] for e in told])
        figures.append(share(f"stays.{k}", f"so {k} frames later", there, without([e.untold[k] for e in told])))
        rest = [_rest_is_there(event, k, areas) for event in told]
        figures.append(share(f"else.{k}", f"nothing else changed {k} frames later", rest))
    return figures


def _is_so(event: Told, frame: np.ndarray, areas: tuple[float, float]) -> bool:
    """Whether a thing that appears is there, or one that vanishes is not."""
    inside = [d for d in detect(frame, areas) if d.colour == event.colour and _inside(event.region, d)]
    return any(d.shape == event.shape for d in inside) if event.kind == "appears" else not inside


def _rest_is_there(event: Told, k: int, areas: tuple[float, float]) -> bool:
    """Whether the things elsewhere are where they are without the event."""
    sides = [[d for d in detect(f[k], areas) if not _inside(event.region, d)] for f in (event.later, event.untold)]
    return all(any(_same(thing, other) for other in sides[0]) for thing in sides[1])


def _inside(region: np.ndarray, thing: Detection) -> bool:
    return bool(region[round(thing.y), round(thing.x)])


def _share(values: Sequence[bool]) -> str:
    return number(float(np.mean(values)) if len(values) else float("nan"), "%")
