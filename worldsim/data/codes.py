"""Codes as actions: what the picture does after each, the keys that fit that, and the codes that labels name.

Knows nothing of the model that reads codes off frames.

N frames, C codes, A real actions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import cv2
import numpy as np

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.spec import SPARE_KEYS, Action, WorldSpec

SAMPLES = 64  # changes of each code that are looked at
OUTLINE = 60  # gradient of a pixel on an outline, at least, levels
CAMERA = 0.5  # share of the outlines that move, from which on the camera is what moves
STRONG = 0.25  # of the strongest motion of all codes; less has no direction
DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}  # x, y
REST = "none"
DOUBT = 8.0  # labelled steps that an action is taken to have had besides, with codes as usual
RARE = 0.02  # share of the labelled steps below which a code stands for no action


@dataclasses.dataclass(frozen=True)
class CodeMotion:
    """What the picture does after each code.

    Attributes:
        counts: int64 `[C]`, how often each was read.
        change: float32 `[C]`, mean absolute change of a pixel, in levels.
        motion: float32 `[C, 2]`, in pixels to the right and down, of what is steered, beyond what it does on average.
        camera: whether it is the camera that moves, so that what is steered goes the other way.
        examples: for each code, frames of which each is followed by the next one in its row: `[C]` of int64 `[n]`.
    """

    counts: np.ndarray
    change: np.ndarray
    motion: np.ndarray
    camera: bool
    examples: list[np.ndarray]


def code_motion(recording: Recording, codes: np.ndarray, count: int, seed: int = 0) -> CodeMotion:
    """Look at some changes of each of `count` codes, int `[N]`, -1 where there is no change."""
    rng = np.random.default_rng(seed)
    counts = np.bincount(codes[codes >= 0], minlength=count)
    change, share = np.zeros(count, np.float32), []
    moved = np.zeros((count, 2), np.float32)
    examples = []
    for code in range(count):
        found = np.flatnonzero(codes == code)
        chosen = np.sort(rng.permutation(found)[:SAMPLES])
        examples.append(rng.permutation(chosen))
        seen = [_motion(*recording.frames[int(i) : int(i) + 2]) for i in chosen]
        if seen:
            change[code] = np.mean([s.change for s in seen])
            moved[code] = np.mean([s.motion for s in seen], axis=0)
            share += [(s.share, len(found) / len(seen)) for s in seen]
    values, weights = np.array(share or [(0.0, 1.0)]).T
    camera = bool((values * weights).sum() / weights.sum() > CAMERA)
    usual = (moved * counts[:, None]).sum(0) / max(counts.sum(), 1)
    relative = np.where(counts[:, None] > 0, moved - usual, 0)
    return CodeMotion(counts, change, -relative if camera else relative, camera, examples)


@dataclasses.dataclass(frozen=True)
class _Seen:
    change: float  # levels
    share: float  # of the pixels on outlines that move: even areas look the same wherever a camera goes
    motion: np.ndarray  # pixels [2]


def _motion(before: np.ndarray, after: np.ndarray) -> _Seen:
    """The mean optical flow (Farnebäck 2003) of what moves, from one frame to the next."""
    difference = cv2.absdiff(before, after)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    flow = cv2.calcOpticalFlowFarneback(grey[0], grey[1], None, 0.5, 3, 9, 3, 5, 1.1, 0)  # type: ignore[call-overload]
    moves = np.hypot(flow[..., 0], flow[..., 1]) > 0.3
    outline = np.hypot(*(cv2.Sobel(grey[0], cv2.CV_32F, dx, 1 - dx) for dx in (0, 1))) > OUTLINE
    share = float(moves[outline].mean()) if outline.any() else 0.0
    motion = flow[moves].mean(0) if moves.any() else np.zeros(2)
    return _Seen(float(difference.mean()), share, np.asarray(motion * min(1.0, 4 * float(moves.mean())), np.float32))


def auto_keys(seen: CodeMotion) -> dict[str, int]:
    """Names of actions -> codes: "none" for the code after which least changes, "left", "right", "up" and "down" for
    those that move most that way, where there are such."""
    used = seen.counts >= 0.002 * seen.counts.sum()
    rest = int(np.where(used, seen.change, np.inf).argmin())
    names, size = {REST: rest}, np.hypot(*seen.motion.T)
    pairs = []
    for code in map(int, np.flatnonzero(used & (np.arange(len(used)) != rest))):
        for name, direction in DIRECTIONS.items():
            along = float(seen.motion[code] @ direction)
            if along > 0.7 * size[code] and size[code] > STRONG * size.max():
                pairs.append((along, name, code))
    for _, name, found in sorted(pairs, reverse=True):
        if name not in names and found not in names.values():
            names[name] = found
    return names


def parse_keys(text: str, count: int) -> dict[str, int]:
    """`"none=0,ArrowLeft=3,KeyD=5"` -> `{"none": 0, "ArrowLeft": 3, "KeyD": 5}`.

    Raises:
        WorldsimError: for a key or a code that there isn't, one that is named twice, or no `none`.
    """
    names: dict[str, int] = {}
    for part in text.split(","):
        key, _, code = (word.strip() for word in part.partition("="))
        if key not in (REST, *SCANCODES) or not code.isdigit() or int(code) >= count or int(code) in names.values():
            raise WorldsimError(
                f"--keys {part!r}: give auto, or a code below {count} for none and for keys, each once, as in "
                "none=0,ArrowLeft=3,ArrowRight=5"
            )
        names[key] = int(code)
    if REST not in names:
        raise WorldsimError("--keys: say which code is played while nothing is pressed, as in none=0")
    return names


def world_of_codes(spec: WorldSpec, count: int, names: Mapping[str, int]) -> WorldSpec:
    """A world whose action i is code i.

    Args:
        names: of some codes: "none", directions or keys -> code; the others are called `code-3`, on digits.
    """
    of = {code: name for name, code in names.items()}
    taken = {name for name in names if name in SCANCODES}
    spare = (key for key in SPARE_KEYS if key not in taken)
    actions, keys = [], {}
    for code in range(count):
        name = of.get(code, f"code-{code}")
        if name == REST:
            actions.append(Action(name))
            continue
        actions.append(Action(name, (name,)))
        keys[name] = (f"Arrow{name.title()}" if name in DIRECTIONS else name if name in SCANCODES else next(spare),)
    return dataclasses.replace(spec, actions=tuple(actions), keys=keys)


def codes_of_actions(codes: np.ndarray, actions: np.ndarray, spec: WorldSpec, count: int) -> np.ndarray:
    """The code that each of a world's actions is played with: the one that was read more often where it was taken than
    elsewhere, by the largest factor. (The most frequent one would often be the same for all: what does not change much
    is frequent after any action.)

    Args:
        codes, actions: int `[n]` of the labelled steps.
        spec: of the actions.

    Returns:
        int64 `[A]`; an action without a label has the code of the no-op, or the most frequent one.
    """
    table = np.zeros((len(spec.actions), count))
    np.add.at(table, (actions, codes), 1)
    usual = table.sum(0) / max(table.sum(), 1)
    seen = table.sum(1, keepdims=True)
    share = (table + DOUBT * usual) / (seen + DOUBT)
    best = np.divide(share, usual, out=np.zeros_like(share), where=usual >= RARE).argmax(1)
    rest = best[spec.noop] if seen[spec.noop] else usual.argmax()
    return np.where(seen[:, 0] > 0, best, rest).astype(np.int64)


def code_sheet(recording: Recording, seen: CodeMotion, spec: WorldSpec, columns: int = 6) -> np.ndarray:
    """Examples of each code, one row a code, each a frame beside the one that followed: uint8 RGB `[h, w, 3]`."""
    h, w = spec.height, spec.width
    scale, margin = max(1, round(72 / min(h, w))), 16
    sheet = np.full((len(spec.actions) * (h * scale + margin), columns * (2 * w * scale + 8), 3), 250, np.uint8)
    for code, action in enumerate(spec.actions):
        top = code * (h * scale + margin)
        share = seen.counts[code] / max(seen.counts.sum(), 1)
        text = f"{code}: {action.name}  {share:.1%}  {seen.motion[code][0]:+.1f} {seen.motion[code][1]:+.1f}"
        cv2.putText(sheet, text, (4, top + 12), cv2.FONT_HERSHEY_PLAIN, 0.9, (40, 40, 40), 1, cv2.LINE_AA)
        for column, first in enumerate(seen.examples[code][:columns]):
            pair = np.concatenate(list(recording.frames[int(first) : int(first) + 2]), axis=1)
            large, left = pair.repeat(scale, 0).repeat(scale, 1), column * (2 * w * scale + 8)
            sheet[top + margin : top + margin + h * scale, left : left + 2 * w * scale] = large
    return sheet
