"""The whole turn: turn on the spot until the real world shows the same view again; where is the generated one then?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.instruments.state import ReadState, group_error
from worldsim.evals.probes import StateGroup, TurnProbe
from worldsim.evals.scenes import Footage, Scenes
from worldsim.evals.section import Curves, Figure, Section, Strip, Table
from worldsim.spec import WorldSpec


def turn_starts(footage: Footage, probe: TurnProbe, groups: Sequence[StateGroup], spec: WorldSpec) -> np.ndarray:
    """bool `[M]`: frames from which to turn: the player has stood for two frames and sees more than a wall."""
    names = spec.state_names
    place = next(group for group in groups if group.name == probe.place)
    step = np.concatenate([[np.inf], group_error(place, names, footage.state[1:], footage.state[:-1])])
    stood = (step < 1) & (np.roll(step, 1) < 1)
    return stood & (footage.state[:, names.index(probe.view)] >= probe.least_view)


def turn_actions(probe: TurnProbe, spec: WorldSpec, count: int) -> np.ndarray:
    """int64 `[count, frames]`: every other try turns the other way."""
    ways = np.array([spec.action_index(name) for name in probe.actions])
    return np.repeat(ways[np.arange(count) % 2][:, None], probe.frames, axis=1)


def whole_turn(
    probe: TurnProbe,
    groups: Sequence[StateGroup],
    names: Sequence[str],
    read: ReadState,
    scenes: Scenes,
    generated: np.ndarray,
    codec: Codec,
) -> Section:
    """Share of tries that come back to the room they left, having turned.

    Args:
        names: of the state's components.
        scenes: contexts that end at the starts.
        generated: frames under `turn_actions`, uint8 `[N, frames, H, W, 3]`.
    """
    place, heading = (next(g for g in groups if g.name == name) for name in (probe.place, probe.heading))
    start, view = scenes.state[:, -1], scenes.frames[:, -1]
    quarters = np.array([probe.frames // 4, probe.frames // 2, 3 * probe.frames // 4])
    on_the_way = group_error(
        heading, names, read(generated[:, quarters - 1]), _turned(start, names, heading, probe, quarters)
    )
    turned = (on_the_way <= probe.degrees).sum(1) >= 2

    def back(state: np.ndarray, where: np.ndarray) -> np.ndarray:
        near = group_error(place, names, state, where) <= probe.radius
        return near & (group_error(heading, names, state, where) <= probe.degrees)

    end, decoded = read(generated[:, -1]), codec(view)
    returned = turned & back(end, start)
    ceiling = back(read(decoded), start)
    chance = turned & back(end, np.roll(start, 2, axis=0))
    gallery = metrics.thumbnails(decoded)
    queries = metrics.thumbnails(generated[:, -1])
    nearest = np.array([np.argmin(((gallery - query) ** 2).sum(1)) for query in queries])
    recognised = group_error(place, names, start[nearest], start) <= probe.radius
    psnr, other = metrics.psnr(generated[:, -1], view), metrics.psnr(generated[:, -1], np.roll(view, 2, axis=0))

    n = len(scenes)
    section = Section(
        "turn",
        "A whole turn on the spot",
        f"{n} held-out starts, standing, with {probe.least_view:g} {place.unit} of view or more; {probe.frames} "
        f"frames of turning, half of "
        f"them each way; the real world is then back where it was. Returned: at two of three quarters the heading "
        f"read off the frame is "
        f"within {probe.degrees:g}° of the real one (so it did turn), and in the end the place read is within "
        f"{probe.radius:g} {place.unit} "
        f"of the start and the heading within {probe.degrees:g}°.",
    )
    section.figures.extend(
        [
            Figure(
                "turn.returned",
                "whole turns that return to the room they left",
                float(returned.mean()),
                "%",
                metrics.wilson(int(returned.sum()), n),
                f"the real view after encode-decode, read by the same net: {100 * ceiling.mean():.0f} %; another try's "
                f"start: {100 * chance.mean():.0f} %",
            ),
            Figure(
                "turn.turned",
                "turned as the real one does",
                float(turned.mean()),
                "%",
                metrics.wilson(int(turned.sum()), n),
            ),
            Figure(
                "turn.recognised",
                f"nearest of the {n} starts by picture is in the same room",
                float(recognised.mean()),
                "%",
                metrics.wilson(int(recognised.sum()), n),
            ),
            Figure(
                "turn.psnr",
                "PSNR of the last frame to the start",
                float(psnr.mean()),
                "dB",
                metrics.interval(psnr),
                f"to another start {other.mean():.1f} dB",
            ),
        ]
    )
    error = group_error(place, names, end, start)
    rows = [
        (f"{q:.0%}", float(np.quantile(error, q)), float(np.quantile(group_error(heading, names, end, start), q)))
        for q in (0.25, 0.5, 0.75, 0.9)
    ]
    section.tables.append(
        Table(
            "Error in the end, by quantile of the tries", ("quantile", f"place, {place.unit}", "heading, degrees"), rows
        )
    )
    frames = np.arange(1, probe.frames + 1)
    by_frame = group_error(heading, names, read(generated), _turned(start, names, heading, probe, frames))
    section.curves.append(
        Curves(
            "Heading while turning",
            "frames",
            "error, degrees",
            {"median of tries": (frames, np.median(by_frame, axis=0))},
        )
    )
    at = np.linspace(0, probe.frames, 11).round().astype(int)[1:]
    for name, wanted in (("returned", returned), ("not returned", ~returned)):
        for scene in np.flatnonzero(wanted)[:2]:
            strip = np.concatenate([view[scene][None], generated[scene, at - 1]])
            section.strips.append(
                Strip(f"A whole turn, {name} (try {scene + 1})", {"generated": strip}, ("real start", *map(str, at)))
            )
    return section


def _turned(
    start: np.ndarray, names: Sequence[str], heading: StateGroup, probe: TurnProbe, frames: np.ndarray
) -> np.ndarray:
    """The real state after so many frames of turning, `[N, S]`, `[k]` -> `[N, k, S]`; odd tries turn the other way."""
    sin, cos = (names.index(component) for component in heading.components)
    way = np.where(np.arange(len(start)) % 2 == 0, 1, -1)
    angle = np.arctan2(start[:, sin], start[:, cos])[:, None] + way[:, None] * frames * 2 * np.pi / probe.frames
    state = np.repeat(start[:, None], len(frames), axis=1)
    state[..., sin], state[..., cos] = np.sin(angle), np.cos(angle)
    return state
