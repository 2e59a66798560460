"""The full turn: turn on the spot until the real world shows the same view again. Does the generated one return too?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.instruments.state import ReadState, group_error
from worldsim.evals.probes import StateGroup, TurnProbe
from worldsim.evals.scenes import RecordingSplit, Scenes
from worldsim.evals.section import Curves, Section, Strip, Table, mean_figure, share_figure
from worldsim.spec import WorldSpec


def turn_starts(split: RecordingSplit, probe: TurnProbe, groups: Sequence[StateGroup], spec: WorldSpec) -> np.ndarray:
    """bool `[M]`: frames from which to turn: the player has stood still for two frames and sees more than a wall."""
    names = spec.state_names
    place = next(group for group in groups if group.name == probe.place)
    step = np.concatenate([[np.inf], group_error(place, names, split.state[1:], split.state[:-1])])
    stood = (step < 1) & (np.roll(step, 1) < 1)
    return stood & (split.state[:, names.index(probe.view)] >= probe.least_view)


def turn_actions(probe: TurnProbe, spec: WorldSpec, count: int) -> np.ndarray:
    """int64 `[count, frames]`: every other trial turns the other way."""
    ways = np.array([spec.action_index(name) for name in probe.actions])
    return np.repeat(ways[np.arange(count) % 2][:, None], probe.frames, axis=1)


NEAREST_OF = 30  # starts that the last frame is compared with


class _Turns(NamedTuple):
    """What was measured of the N trials.

    Attributes:
        turned, returned, recognised, nearest: bool `[N]`.
        ceiling, chance: the share returned of the decoded real start, and of another trial's start.
        psnr, to_other: PSNR of the last frame to the start and to another one, `[N]`.
        heading_error: degrees, `[N, frames]`. errors: of place and heading at the end, two of `[N]`.
    """

    turned: np.ndarray
    returned: np.ndarray
    recognised: np.ndarray
    nearest: np.ndarray
    ceiling: float
    chance: float
    psnr: np.ndarray
    to_other: np.ndarray
    heading_error: np.ndarray
    errors: tuple[np.ndarray, np.ndarray]


def whole_turn(
    probe: TurnProbe,
    groups: Sequence[StateGroup],
    names: Sequence[str],
    read: ReadState,
    scenes: Scenes,
    generated: np.ndarray,
    codec: Codec,
) -> Section:
    """Share of trials that come back to the room they left, having turned.

    Args:
        names: of the state's components.
        scenes: contexts that end at the starts.
        generated: frames under `turn_actions`, uint8 `[N, frames, H, W, 3]`.
    """
    place, heading = (next(g for g in groups if g.name == name) for name in (probe.place, probe.heading))
    measured = _measure(probe, place, heading, names, read, scenes, generated, codec)
    n = len(scenes)
    section = Section(
        "turn",
        "A full turn on the spot",
        f"{n} held-out starts, standing still, with {probe.least_view:g} {place.unit} of view or more; {probe.frames} "
        "frames of turning, half of the trials each way; the real world is then back where it was. Returned: at two of "
        f"three quarters the heading read off the frame is within {probe.degrees:g}° of the real one (so it did turn), "
        f"and at the end the place read is within {probe.radius:g} {place.unit} of the start and the heading within "
        f"{probe.degrees:g}°.",
    )
    reference = (
        f"the real view after encode-decode, read by the same net: {100 * measured.ceiling:.0f} %; another trial's "
        f"start: {100 * measured.chance:.0f} %"
    )
    to_other = f"to another start {measured.to_other.mean():.1f} dB"
    label = f"nearest of the {n} starts by picture is in the same room"
    compared = min(n, NEAREST_OF)
    nearest_label = f"the last frame is nearest to the view left, of {compared} starts"
    shares = measured.returned, measured.turned, measured.recognised, measured.nearest
    returned, turned, recognised, nearest = (int(x.sum()) for x in shares)
    section.figures.extend(
        [
            share_figure("turn.returned", "full turns that return to their room", returned, n, reference),
            share_figure("turn.turned", "turned as the real one does", turned, n),
            share_figure("turn.recognised", label, recognised, n),
            share_figure("turn.nearest", nearest_label, nearest, n, f"chance {100 / compared:.1f} %"),
            mean_figure("turn.psnr", "PSNR of the last frame to the start", measured.psnr, "dB", to_other),
        ]
    )
    rows = [(f"{q:.0%}", *(float(np.quantile(error, q)) for error in measured.errors)) for q in (0.25, 0.5, 0.75, 0.9)]
    columns = ("quantile", f"place, {place.unit}", "heading, degrees")
    section.tables.append(Table("Error at the end, by quantile of the trials", columns, rows))
    lines = {"median of trials": (np.arange(1, probe.frames + 1), np.median(measured.heading_error, axis=0))}
    section.curves.append(Curves("Heading while turning", "frames", "error, degrees", lines))
    section.strips.extend(_strips(scenes.frames[:, -1], generated, measured.returned))
    return section


def _measure(
    probe: TurnProbe,
    place: StateGroup,
    heading: StateGroup,
    names: Sequence[str],
    read: ReadState,
    scenes: Scenes,
    generated: np.ndarray,
    codec: Codec,
) -> _Turns:
    start, view = scenes.state[:, -1], scenes.frames[:, -1]

    def back(state: np.ndarray, where: np.ndarray) -> np.ndarray:
        near = group_error(place, names, state, where) <= probe.radius
        return near & (group_error(heading, names, state, where) <= probe.degrees)

    frames = np.arange(1, probe.frames + 1)
    heading_error = group_error(heading, names, read(generated), _turned(start, names, heading, probe, frames))
    quarters = np.array([probe.frames // 4, probe.frames // 2, 3 * probe.frames // 4])
    turned = (heading_error[:, quarters - 1] <= probe.degrees).sum(1) >= 2
    end, decoded = read(generated[:, -1]), codec(view)
    distance = _distances(generated[:, -1], decoded)
    return _Turns(
        turned=turned,
        returned=turned & back(end, start),
        recognised=group_error(place, names, start[distance.argmin(1)], start) <= probe.radius,
        nearest=_is_nearest(distance),
        ceiling=float(back(read(decoded), start).mean()),
        chance=float((turned & back(end, np.roll(start, 2, axis=0))).mean()),
        psnr=metrics.psnr(generated[:, -1], view),
        to_other=metrics.psnr(generated[:, -1], np.roll(view, 2, axis=0)),
        heading_error=heading_error,
        errors=(group_error(place, names, end, start), group_error(heading, names, end, start)),
    )


def _distances(frames: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Squared distance of each frame's thumbnail to those of the gallery, `[N, N]`."""
    known, queries = metrics.thumbnails(gallery), metrics.thumbnails(frames)
    return np.stack([((known - query) ** 2).sum(1) for query in queries])


def _is_nearest(distance: np.ndarray) -> np.ndarray:
    """Whether each frame is nearer to its own picture than to those of the trials after it, bool `[N]`."""
    n = len(distance)
    some = (np.arange(n)[:, None] + np.arange(min(n, NEAREST_OF))) % n  # its own comes first
    return np.take_along_axis(distance, some, axis=1).argmin(1) == 0


def _strips(view: np.ndarray, generated: np.ndarray, returned: np.ndarray) -> list[Strip]:
    """Up to two trials that returned, and two that did not."""
    at, strips = np.linspace(0, generated.shape[1], 11).round().astype(int)[1:], []
    for name, wanted in (("returned", returned), ("not returned", ~returned)):
        for scene in np.flatnonzero(wanted)[:2]:
            strip = np.concatenate([view[scene][None], generated[scene, at - 1]])
            title = f"A full turn, {name} (trial {scene + 1})"
            strips.append(Strip(title, {"generated": strip}, ("real start", *map(str, at))))
    return strips


def _turned(
    start: np.ndarray, names: Sequence[str], heading: StateGroup, probe: TurnProbe, frames: np.ndarray
) -> np.ndarray:
    """The real state after so many frames of turning, `[N, S]`, `[k]` -> `[N, k, S]`; odd trials turn the other way."""
    sin, cos = (names.index(component) for component in heading.components)
    way = np.where(np.arange(len(start)) % 2 == 0, 1, -1)
    angle = np.arctan2(start[:, sin], start[:, cos])[:, None] + way[:, None] * frames * 2 * np.pi / probe.frames
    state = np.repeat(start[:, None], len(frames), axis=1)
    state[..., sin], state[..., cos] = np.sin(angle), np.cos(angle)
    return state
