"""Latent actions: do codes stand for the actions that were taken, everywhere alike? Knows no model; true actions judge
only.

n steps, C codes, A actions.
"""

from __future__ import annotations

import cv2
import numpy as np

from worldsim.evals.section import Figure, Section, Table, mean_figure
from worldsim.evals.statistics import wilson

LABELS = (50, 200, 1000)  # labelled steps that codes are mapped by
DRAWS = 20  # of each
PLACES = 4  # clusters of frames
THUMBNAIL = (8, 6)  # pixels that a place is told by
FEWEST = 10  # steps of a code at a place


def contingency(codes: np.ndarray, actions: np.ndarray, count: int, most: int) -> np.ndarray:
    """How often each of `count` codes was read where each of `most` actions was taken: int64 `[C, A]`."""
    table = np.zeros((count, most), np.int64)
    np.add.at(table, (codes, actions), 1)
    return table


def purity(table: np.ndarray) -> float:
    """Share of the steps that took the most frequent action of their code, of a contingency table `[C, A]`."""
    return float(table.max(1).sum() / max(table.sum(), 1))


def mutual_information(table: np.ndarray) -> tuple[float, float]:
    """Bits that a code tells of the action, and that the action has."""
    joint = table / max(table.sum(), 1)
    code, action = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True)
    known = joint > 0
    bits = float((joint[known] * np.log2(joint[known] / (code * action)[known])).sum())
    share = action[action > 0]
    return bits, float(-(share * np.log2(share)).sum())


def mapped_agreement(
    train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], count: int, most: int, labels: int
) -> np.ndarray:
    """Share of held-out steps whose code was given their action by a majority vote of some labelled steps, `[DRAWS]`.

    Args:
        train, held_out: codes and actions, each int `[n]`; labelled steps are drawn from the first.
    """
    codes, actions = train
    shares = []
    for draw in range(DRAWS):
        chosen = np.random.default_rng(draw).permutation(len(codes))[:labels]
        table = contingency(codes[chosen], actions[chosen], count, most)
        usual = np.bincount(actions[chosen], minlength=most).argmax()
        action_of = np.where(table.any(1), table.argmax(1), usual)
        shares.append((action_of[held_out[0]] == held_out[1]).mean())
    return np.array(shares)


def consistency(codes: np.ndarray, actions: np.ndarray, places: np.ndarray, count: int, most: int) -> float:
    """How alike the actions behind a code are at different places: 1 minus the distance in total variation between
    those at one place and those everywhere, weighted by how often both are; 1 if they are the same."""
    everywhere = contingency(codes, actions, count, most)
    alike = weight = 0.0
    for place in np.unique(places):
        here = contingency(codes[places == place], actions[places == place], count, most)
        for code in np.flatnonzero(here.sum(1) >= FEWEST):
            n = here[code].sum()
            distance = np.abs(here[code] / n - everywhere[code] / everywhere[code].sum()).sum() / 2
            alike, weight = alike + n * (1 - distance), weight + n
    return alike / weight if weight else float("nan")


def find_places(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frames uint8 `[n, H, W, 3]` put into a few groups by what they look like: int64 `[n]`."""
    small = np.stack([cv2.resize(f, THUMBNAIL, interpolation=cv2.INTER_AREA).ravel() for f in frames])
    cv2.setRNGSeed(seed)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    labels = cv2.kmeans(small.astype(np.float32), min(PLACES, len(small)), None, stop, 3, cv2.KMEANS_PP_CENTERS)[1]  # type: ignore[call-overload]
    return np.asarray(labels).ravel().astype(np.int64)


def code_section(
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    places: np.ndarray,
    names: tuple[tuple[str, ...], tuple[str, ...]],
) -> Section:
    """The section on codes beside true actions.

    Args:
        train, held_out: codes and actions of the steps of each split, int `[n]`.
        places: group of each held-out step, see `find_places`.
        names: of the codes, and of the actions.
    """
    count, most = len(names[0]), len(names[1])
    table = contingency(*held_out, count, most)
    bits, entropy = mutual_information(table)
    usual = float(np.bincount(held_out[1], minlength=most).max() / len(held_out[1]))
    reference = f"always the most frequent action {100 * usual:.1f} %"
    share = purity(table)
    figures = [
        Figure(
            "codes.purity",
            "steps with the most frequent action of their code",
            share,
            "%",
            wilson(share * table.sum(), int(table.sum())),
            reference,
            int(table.sum()),
        ),
        Figure(
            "codes.bits", "mutual information of code and action", bits, "bit", reference=f"action {entropy:.2f} bit"
        ),
        Figure("codes.information", "share of the action's information in the code", bits / max(entropy, 1e-9), "%"),
        Figure(
            "codes.consistency",
            "same actions behind a code at other places",
            consistency(*held_out, places, count, most),
            "%",
        ),
    ]
    for labels in LABELS:
        shares = mapped_agreement(train, held_out, count, most, labels)
        label = f"steps whose action a vote of {labels} labels names"
        figures.append(mean_figure(f"codes.agreement_{labels}", label, shares, "%", reference))
    rows = [
        (code, *(f"{100 * n / max(row.sum(), 1):.0f}" for n in row), f"{100 * row.sum() / max(table.sum(), 1):.1f}")
        for code, row in zip(names[0], table, strict=True)
    ]
    return Section(
        "codes",
        "Codes and actions",
        f"{int(table.sum()):,} held-out steps. Codes were learned without actions; true actions judge only. Votes are "
        f"means of {DRAWS} draws of labelled steps. Places are {PLACES} groups of frames that look alike.",
        figures,
        [Table("Actions behind each code, %", ("code", *names[1], "share of steps"), rows)],
    )
