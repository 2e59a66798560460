"""`worldsim find`: the frames of a recording that words fit best. Knows files and flags, no network."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.png import encode_png
from worldsim.progress import ProgressBar
from worldsim.terminal import console, printable

if TYPE_CHECKING:
    from worldsim.runtime.clip_score import ClipScorer

ROWS = 256  # frames read at once
COLUMNS = 4  # of the contact sheet
SIDE = 256  # pixels, about, of a frame in it
CELL = 16  # pixels: sides of what the networks see are multiples of it


@dataclasses.dataclass(frozen=True)
class FindConfig:
    """Find frames by words: worldsim find recordings/toybox --model runs/imagine --prompt "a red ball, at night"

    Attributes:
        recording: its folder.
        prompt: plain words.
        model: folder of the run that trained the towers (worldsim train clip).
        count: frames that are shown, the best first.
        every: one frame in so many is looked at.
        apart: frames between two that are shown of one episode, at least.
        sheet: where the contact sheet is written; RECORDING-found.png, beside the recording, if not given.
        device: auto, cpu, cuda, cuda:1 or mps.
    """

    recording: tyro.conf.Positional[Path]
    prompt: str
    model: Path = Path("runs/imagine")
    count: int = 12
    every: int = 4
    apart: int = 60
    sheet: Path | None = None
    device: str = "auto"


def find(config: FindConfig) -> None:
    """Print episode, frame and fit of the best frames, and write them as a contact sheet.

    Raises:
        WorldsimError: for a prompt or number that can't be used, and towers or a recording that aren't there.
    """
    if not config.prompt.strip():
        raise WorldsimError("nothing to look for: give --prompt WORDS")
    for flag in ("count", "every", "apart"):
        if getattr(config, flag) < 1:
            raise WorldsimError(f"--{flag} {getattr(config, flag)}: give 1 or more")
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.device import choose_device
    from worldsim.runtime.clip_score import ClipScorer
    from worldsim.train.clip_towers import load_clip_scorer

    device, loaded = choose_device(config.device), load_clip_scorer(config.model)
    scorer = ClipScorer(loaded.autoencoder.to(device), loaded.towers.to(device))
    recording = Recording(config.recording)
    if unknown := scorer.towers.text.unknown(config.prompt):
        print(printable(f"words that it doesn't know, and reads as something unknown: {', '.join(unknown[:20])}"))
    looked = np.arange(0, len(recording), config.every)
    found = choose(looked, fits(scorer, recording, looked, config.prompt), recording.ends, config.count, config.apart)
    table = Table("episode", "frame", "fit", box=None, padding=(0, 2, 0, 0))
    for at, fit in found:
        episode = int(np.searchsorted(recording.ends, at, "right"))
        table.add_row(f"{episode:,}", f"{at - ([0, *recording.ends][episode]):,}", f"{fit:.3f}")
    console().print(table)
    place = config.recording.absolute()
    sheet = config.sheet or place.with_name(f"{place.name}-found.png")
    picture = contact_sheet([np.asarray(recording.frames[at]) for at, _ in found])
    atomic.write_bytes(sheet, encode_png(picture), "Give --sheet.")
    console().print(printable(f"contact sheet, the best first: {sheet}"), soft_wrap=True)


def fits(scorer: ClipScorer, recording: Recording, looked: np.ndarray, prompt: str) -> np.ndarray:
    """Cosine of the prompt and each frame that is looked at, float `[n]`.

    Raises:
        WorldsimError: if there is no frame yet.
    """
    from worldsim.runtime.request import LEAST_SIDE, fit

    if not len(looked):
        raise WorldsimError(f"{recording.path} has no whole episode yet; record more")
    spec = recording.spec
    size = max(spec.height // CELL * CELL, LEAST_SIDE), max(spec.width // CELL * CELL, LEAST_SIDE)
    text, found = scorer.texts([prompt])[0], []
    with ProgressBar("frames", len(looked)) as bar:
        for i in range(0, len(looked), ROWS):
            part = looked[i : i + ROWS]
            frames = np.asarray(recording.frames[int(part[0]) : int(part[-1]) + 1])[part - part[0]]
            found.append((scorer.pictures(fit(frames, size)) @ text).cpu().numpy())
            bar.update(i + len(part))
    return np.concatenate(found)


def choose(looked: np.ndarray, fit: np.ndarray, ends: np.ndarray, count: int, apart: int) -> list[tuple[int, float]]:
    """(frame, fit) of the best, the best first; two of one episode are at least `apart` frames from each other.

    Args:
        looked: frames of a recording `[n]`. fit: of each. ends: exclusive ends of its episodes.
    """
    chosen: list[tuple[int, float]] = []
    episodes = np.searchsorted(ends, looked, "right")
    free = np.ones(len(looked), bool)
    for i in np.argsort(-fit, kind="stable"):
        if len(chosen) == count:
            break
        if free[i]:
            chosen.append((int(looked[i]), float(fit[i])))
            free &= (episodes != episodes[i]) | (np.abs(looked - looked[i]) >= apart)
    return chosen


def contact_sheet(frames: list[np.ndarray]) -> np.ndarray:
    """Frames of one size in rows, as one picture: uint8 RGB `[h, w, 3]`."""
    scale = max(1, round(SIDE / max(frames[0].shape[:2])))
    tiles = [np.pad(frame.repeat(scale, 0).repeat(scale, 1), ((0, 4), (0, 4), (0, 0))) for frame in frames]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % min(COLUMNS, len(tiles)))
    columns = min(COLUMNS, len(tiles))
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])
