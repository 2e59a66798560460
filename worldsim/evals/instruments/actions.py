"""Action following: do generated frames depend on the actions, and can the action be read off them? Knows no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from worldsim.evals import metrics
from worldsim.evals.core import ProgressCallback, Simulator, no_progress, rollout
from worldsim.evals.scenes import Scenes
from worldsim.evals.section import Figure, Section, Table, mean_figure

HORIZONS = (1, 4, 16)

ReadActions = Callable[[np.ndarray], np.ndarray]  # frames [N, n, H, W, 3] -> actions [N, n - 3], of frames 1 … n - 3
Part = tuple[list[Figure], Table]  # of the section


def other_actions(scenes: Scenes, actions: int, horizon: int, seed: int) -> dict[str, np.ndarray]:
    """Counterfactual actions: random ones, and the true ones of another scene, each int64 `[N, horizon]`."""
    rng = np.random.default_rng(seed)
    true = scenes.future_actions[:, :horizon]
    return {"random": rng.integers(actions, size=true.shape), "permuted": np.roll(true, 1, axis=0)}


def following(
    simulator: Simulator,
    scenes: Scenes,
    free: np.ndarray,
    actions: int,
    seed: int,
    on_progress: ProgressCallback = no_progress,
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
        frames = rollout(simulator, *scenes.past, future, seed, on_progress)
        other = metrics.psnr(frames[:, at], scenes.truth[:, at])
        rows.append((name, *(float(v) for v in other.mean(0))))
        for i, h in enumerate(horizons):
            loss = true[:, i] - other[:, i]
            label = f"ΔPSNR at {h}, true over {name} actions"
            figures.append(mean_figure(f"actions.delta_psnr_{name}_{h}", label, loss, "dB"))
    return figures, Table("PSNR with these actions, dB, at horizon", ("actions", *map(str, horizons)), rows)


def agreement(
    read: ReadActions,
    names: Sequence[str],
    real: tuple[np.ndarray, np.ndarray],
    same_policy: tuple[np.ndarray, np.ndarray] | None,
    generated: tuple[np.ndarray, np.ndarray],
) -> Part:
    """Share of frames that an inverse-dynamics net reads as the action given.

    Args:
        names: of the actions.
        real: held-out frames in a row uint8 `[N, n, H, W, 3]` and the actions taken on seeing them `[N, >= n - 1]`.
        same_policy: the same of the real world under the policy that also acted in the generated one, which makes it
            the ceiling; None if there is none, and the held-out frames are.
        generated: the same of the generated world.
    """
    sets = {"real, held-out": real, "real, same policy": same_policy, "generated": generated}
    correct: dict[str, np.ndarray] = {}
    rows: list[tuple[str, ...]] = []
    for label, pair in sets.items():
        if pair is None:
            continue
        frames, actions = pair
        given = actions[:, 1 : frames.shape[1] - 2]
        correct[label] = read(frames) == given  # [N, n - 3]
        by_action = [
            float(correct[label][given == a].mean()) if (given == a).any() else float("nan") for a in range(len(names))
        ]
        shares = (correct[label].mean(), *by_action)
        rows.append((label, *(f"{100 * v:.1f}" if np.isfinite(v) else "-" for v in shares)))
    held_out, value = float(correct["real, held-out"].mean()), correct["generated"].mean(1)
    ceiling = float(correct.get("real, same policy", correct["real, held-out"]).mean())
    reference = f"real frames under the same policy {100 * ceiling:.1f} %, of the recording {100 * held_out:.1f} %"
    agreement = mean_figure("actions.agreement", "actions read as given", value, "%", reference)
    share = agreement.value / max(ceiling, 1e-9)
    figures = [
        agreement,
        Figure("actions.agreement_ceiling", "the same on real frames under the same policy", ceiling, "%"),
        Figure("actions.agreement_held_out", "the same on held-out real frames", held_out, "%"),
        Figure("actions.agreement_of_ceiling", "agreement as a share of its ceiling", share, "%"),
    ]
    return figures, Table("Actions read as given, %", ("frames", "all", *names), rows)


def action_section(parts: Sequence[Part], scenes: int, played: tuple[int, int]) -> Section:
    """The section of both instruments."""
    return Section(
        "actions",
        "Action following",
        f"ΔPSNR over {scenes} held-out scenes: with the true actions, minus with random ones or those of another "
        f"scene. Agreement over {played[0]} free runs of {played[1]} frames: an inverse-dynamics net trained on real "
        "frames reads the action off four frames in a row.",
        figures=[figure for figures, _ in parts for figure in figures],
        tables=[table for _, table in parts],
    )
