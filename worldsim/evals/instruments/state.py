"""State: where things are in generated frames, read by a net trained on real ones, against where they really were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from worldsim.evals.core import Codec
from worldsim.evals.instruments.fidelity import HORIZONS
from worldsim.evals.probes import StateGroup
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Curves, Figure, Section, Table, mean_figure
from worldsim.evals.statistics import median_interval

ReadState = Callable[[np.ndarray], np.ndarray]  # frames [..., H, W, 3] -> state [..., S]


def group_error(group: StateGroup, names: Sequence[str], state: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Error of a group of components, `[..., S]`, `[..., S]` -> `[...]`, in the group's unit."""
    index = [names.index(component) for component in group.components]
    state, truth = state[..., index].astype(np.float64), truth[..., index].astype(np.float64)
    if group.kind == "angle":
        angle, true_angle = (np.degrees(np.arctan2(s[..., 0], s[..., 1])) for s in (state, truth))
        return np.abs((angle - true_angle + 180) % 360 - 180)
    error = state - truth
    if group.period:
        error = (error + group.period / 2) % group.period - group.period / 2
    if group.kind == "mean":
        return np.abs(error).mean(-1)
    return np.sqrt((error**2).sum(-1))


def frames_kept(error: np.ndarray, radius: float) -> np.ndarray:
    """Frames before the error first leaves the radius, `[N, n]` -> `[N]`; n if it never does.

    The error is the median of three frames in a row, so that a single misreading is ignored.
    """
    padded = np.pad(error, ((0, 0), (1, 1)), mode="edge")
    smooth = np.median([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=0)
    outside = smooth > radius
    return np.where(outside.any(1), outside.argmax(1), error.shape[1])


class GroupErrors(NamedTuple):
    """Errors of one group of state components, each `[N, n]`, `decoded` at some frames only.

    Attributes:
        generated: read off generated frames. frozen: of a state that stays as it was at the start.
        real, decoded: read off the real frames, and off them encoded and decoded: the floors.
    """

    generated: np.ndarray
    frozen: np.ndarray
    real: np.ndarray
    decoded: np.ndarray


def state_error(
    groups: Sequence[StateGroup], names: Sequence[str], read: ReadState, scenes: Scenes, free: np.ndarray, codec: Codec
) -> Section:
    """Error over horizon of each group, with the net's own error on real frames as the floor.

    Args:
        names: of the state's components.
        free: free-running frames of the scenes, uint8 `[N, n, H, W, 3]`.
    """
    n = free.shape[1]
    section = Section(
        "state",
        "State over horizon",
        f"The {len(scenes)} scenes of fidelity, free-running. A net trained on real frames of the train split reads "
        "the state; it is compared with the exact state of the real world under the same actions. The net's error on "
        "held-out real frames is the floor.",
    )
    some = np.unique(np.linspace(0, n - 1, 16).round().astype(int))
    generated, real, decoded = read(free), read(scenes.truth), read(codec(scenes.truth[:, some]))
    start = np.broadcast_to(scenes.state[:, scenes.context - 1, None], scenes.true_state.shape)
    for group in groups:
        truth = scenes.true_state
        errors = GroupErrors(
            group_error(group, names, generated, truth),
            group_error(group, names, start, truth),
            group_error(group, names, real, truth),
            group_error(group, names, decoded, truth[:, some]),
        )
        _add_group(section, group, errors)
    return section


def _add_group(section: Section, group: StateGroup, errors: GroupErrors) -> None:
    n = errors.generated.shape[1]
    horizons = [h for h in HORIZONS if h <= n]
    reference = f"floor on real frames {errors.real.mean():.2f}, after encode-decode {errors.decoded.mean():.2f}"
    for h in horizons:
        key, label = f"state.{group.name}_{h}", f"{group.name}: error at {h}"
        section.figures.append(mean_figure(key, label, errors.generated[:, h - 1], group.unit, reference))
    if group.radius:
        section.figures.append(_kept(group, errors))
    unit = group.unit or "as recorded"
    shown = {"generated": errors.generated, "floor": errors.real, "frozen": errors.frozen}
    rows = [(name, *(float(e[:, h - 1].mean()) for h in horizons)) for name, e in shown.items()]
    section.tables.append(Table(f"{group.name}: mean error, {unit}, at horizon", ("", *map(str, horizons)), rows))
    lines = {name: (np.arange(1, n + 1), e.mean(0)) for name, e in shown.items()}
    section.curves.append(Curves(f"Error of the {group.name}", "frames", unit, lines, log_x=True))


def _kept(group: StateGroup, errors: GroupErrors) -> Figure:
    kept, floor, frozen = (frames_kept(e, group.radius) for e in (errors.generated, errors.real, errors.frozen))
    label = f"{group.name}: frames within {group.radius:g} {group.unit} (median of scenes)"
    n = errors.generated.shape[1]
    reference = f"real frames read: {np.median(floor):.0f} of {n}; frozen: {np.median(frozen):.0f}"
    interval = median_interval(kept)
    return Figure(f"state.{group.name}_kept", label, float(np.median(kept)), "", interval, reference, len(kept))
