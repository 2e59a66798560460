"""State: where things are in generated frames, read by a net trained on real ones, against where they really were."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Codec
from worldsim.evals.instruments.fidelity import HORIZONS
from worldsim.evals.probes import StateGroup
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Curves, Figure, Section, Table

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

    The error is the median of three frames in a row, so that one misreading ends nothing.
    """
    padded = np.pad(error, ((0, 0), (1, 1)), mode="edge")
    smooth = np.median([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=0)
    lost = smooth > radius
    return np.where(lost.any(1), lost.argmax(1), error.shape[1])


def state_error(
    groups: Sequence[StateGroup], names: Sequence[str], read: ReadState, scenes: Scenes, free: np.ndarray, codec: Codec
) -> Section:
    """Error over horizon of each group, with the net's own error on real frames as the floor.

    Args:
        names: of the state's components.
        free: free-running frames of the scenes, uint8 `[N, n, H, W, 3]`.
    """
    n = free.shape[1]
    horizons = [h for h in HORIZONS if h <= n]
    at = np.array(horizons) - 1
    section = Section(
        "state",
        "State over horizon",
        f"The {len(scenes)} scenes of fidelity, free-running; a net trained on real frames of the train split "
        f"reads the state; held "
        "against the exact state of the real world under the same actions. Its error on held-out real frames is "
        "the floor.",
    )
    generated, real = read(free), read(scenes.truth)
    some = np.unique(np.linspace(0, n - 1, 16).round().astype(int))
    decoded = read(codec(scenes.truth[:, some]))
    start = np.broadcast_to(scenes.state[:, scenes.context - 1, None], scenes.true_state.shape)
    for group in groups:
        error = group_error(group, names, generated, scenes.true_state)
        floor = group_error(group, names, real, scenes.true_state)
        floor_decoded = group_error(group, names, decoded, scenes.true_state[:, some])
        frozen = group_error(group, names, start, scenes.true_state)
        reference = f"floor on real frames {floor.mean():.2f}, after encode-decode {floor_decoded.mean():.2f}"
        for i, h in zip(at, horizons, strict=True):
            label = f"{group.name}: error at {h}"
            section.figures.append(
                Figure(
                    f"state.{group.name}_{h}",
                    label,
                    float(error[:, i].mean()),
                    group.unit,
                    metrics.interval(error[:, i]),
                    reference,
                )
            )
        if group.radius:
            kept, ceiling = frames_kept(error, group.radius), frames_kept(floor, group.radius)
            label = f"{group.name}: frames within {group.radius:g} {group.unit} (median of scenes)"
            section.figures.append(
                Figure(
                    f"state.{group.name}_kept",
                    label,
                    float(np.median(kept)),
                    "",
                    _median_interval(kept),
                    f"real frames read: {np.median(ceiling):.0f} of {n}; frozen: "
                    f"{np.median(frames_kept(frozen, group.radius)):.0f}",
                )
            )
        rows = [
            (name, *(float(e[:, i].mean()) for i in at))
            for name, e in (("generated", error), ("real frames read (floor)", floor), ("frozen at the start", frozen))
        ]
        section.tables.append(
            Table(
                f"{group.name}: mean error, {group.unit or 'as recorded'}, at horizon", ("", *map(str, horizons)), rows
            )
        )
        frames = np.arange(1, n + 1)
        lines = {name: (frames, e.mean(0)) for name, e in (("generated", error), ("floor", floor), ("frozen", frozen))}
        section.curves.append(
            Curves(f"Error of the {group.name}", "frames", group.unit or "as recorded", lines, log_x=True)
        )
    return section


def _median_interval(values: np.ndarray, draws: int = 1000) -> tuple[float, float]:
    picks = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), [0.025, 0.975])
    return float(low), float(high)
