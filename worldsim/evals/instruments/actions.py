"""Action following: does it matter which key is pressed, and can the key be read off what is shown? Knows no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import Simulator, Tick, rollout, silent
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Figure, Section, Table

HORIZONS = (1, 4, 16)

ReadActions = Callable[[np.ndarray], np.ndarray]  # frames [N, n, H, W, 3] -> actions [N, n - 3], of frames 1 … n - 3
Part = tuple[list[Figure], Table]  # of the section


def other_actions(scenes: Scenes, actions: int, horizon: int, seed: int) -> dict[str, np.ndarray]:
    """Futures that were not: random actions, and the true ones of another scene, each int64 `[N, horizon]`."""
    rng = np.random.default_rng(seed)
    true = scenes.future_actions[:, :horizon]
    return {"random": rng.integers(actions, size=true.shape), "permuted": np.roll(true, 1, axis=0)}


def following(
    simulator: Simulator, scenes: Scenes, free: np.ndarray, actions: int, seed: int, tick: Tick = silent
) -> Part:
    """PSNR with the true actions minus PSNR with others, over horizon (Genie, Bruce et al. 2024, section 3).

    Args:
        free: frames of the scenes generated with the true actions and the same seed, uint8 `[N, n, H, W, 3]`.
        actions: how many there are.
    """
    horizons = [h for h in HORIZONS if h <= free.shape[1]]
    at = np.array(horizons) - 1
    true = metrics.psnr(free[:, at], scenes.truth[:, at])
    figures, rows = [], [("true", *(float(v) for v in true.mean(0)))]
    for name, future in other_actions(scenes, actions, max(horizons), seed).items():
        frames = rollout(simulator, *scenes.past, future, seed, tick)
        other = metrics.psnr(frames[:, at], scenes.truth[:, at])
        rows.append((name, *(float(v) for v in other.mean(0))))
        for i, h in enumerate(horizons):
            loss = true[:, i] - other[:, i]
            label = f"ΔPSNR at {h}, true over {name} actions"
            figures.append(
                Figure(f"actions.delta_psnr_{name}_{h}", label, float(loss.mean()), "dB", metrics.interval(loss))
            )
    return figures, Table("PSNR with these actions, dB, at horizon", ("actions", *map(str, horizons)), rows)


def agreement(
    read: ReadActions,
    names: Sequence[str],
    real: tuple[np.ndarray, np.ndarray],
    same_play: tuple[np.ndarray, np.ndarray] | None,
    generated: tuple[np.ndarray, np.ndarray],
) -> Part:
    """Share of frames that an inverse-dynamics net reads as the action given.

    Args:
        names: of the actions.
        real: held-out frames in a row uint8 `[N, n, H, W, 3]` and the actions taken on seeing them `[N, >= n - 1]`.
        same_play: the same of the real world under the policy that also played the generated one, which makes it the
            ceiling; None if there is no such play, and the held-out frames are.
        generated: the same of the generated world.
    """
    sets = {"real, held-out": real, "real, same player": same_play, "generated": generated}
    right: dict[str, np.ndarray] = {}
    rows: list[tuple[str, ...]] = []
    for label, pair in sets.items():
        if pair is None:
            continue
        frames, actions = pair
        given = actions[:, 1 : frames.shape[1] - 2]
        right[label] = read(frames) == given  # [N, n - 3]
        by_action = [
            float(right[label][given == a].mean()) if (given == a).any() else float("nan") for a in range(len(names))
        ]
        shares = (right[label].mean(), *by_action)
        rows.append((label, *(f"{100 * v:.1f}" if np.isfinite(v) else "-" for v in shares)))
    held_out, value = float(right["real, held-out"].mean()), right["generated"].mean(1)
    ceiling = float(right.get("real, same player", right["real, held-out"]).mean())
    mean = float(value.mean())
    reference = f"real frames of the same player {100 * ceiling:.1f} %, of the recording {100 * held_out:.1f} %"
    figures = [
        Figure("actions.agreement", "read as the action given", mean, "%", metrics.interval(value), reference),
        Figure("actions.agreement_ceiling", "the same on real frames of the same player", ceiling, "%"),
        Figure("actions.agreement_held_out", "the same on held-out real frames", held_out, "%"),
        Figure("actions.agreement_of_ceiling", "agreement as a share of its ceiling", mean / max(ceiling, 1e-9), "%"),
    ]
    return figures, Table("Read as the action given, %", ("frames", "all", *names), rows)


def action_section(parts: Sequence[Part], scenes: int, played: tuple[int, int]) -> Section:
    """The section of both instruments."""
    return Section(
        "actions",
        "Action following",
        f"ΔPSNR over {scenes} held-out scenes: the true actions against random ones and against those of another "
        f"scene. Agreement over "
        f"{played[0]} free runs of {played[1]} frames: a net trained on real frames reads the action off four "
        f"frames in a row.",
        figures=[figure for figures, _ in parts for figure in figures],
        tables=[table for _, table in parts],
    )
