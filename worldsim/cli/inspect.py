"""`worldsim inspect`: what is in a recording, in numbers and in one picture. Knows no model."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import cv2
import numpy as np
import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.cli.record import state_shares
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.png import encode_png
from worldsim.progress import ProgressBar
from worldsim.terminal import bar, console, printable

SAMPLE = 40_000  # frames looked at for duplicates, as whole episodes
SAME = 8  # levels: a frame that differs nowhere by more from the one before is a near-duplicate
SHEET = (10, 12)  # rows and columns of the contact sheet
SHEET_WIDTH = 1536  # pixels, about


@dataclasses.dataclass(frozen=True)
class InspectConfig:
    """Show what is in a recording: worldsim inspect recordings/doom-maze

    Attributes:
        recording: its folder.
        sheet: where the contact sheet is written; RECORDING.png, beside the recording, if not given.
        verify: read every frame and check it against its checksum first.
    """

    recording: tyro.conf.Positional[Path]
    sheet: Path | None = None
    verify: bool = False


def inspect(config: InspectConfig) -> None:
    """Print the counts, actions, lengths and near-duplicates of a recording, and write its contact sheet.

    Raises:
        WorldsimError: if there is no whole recording, it has no episode yet, a frame that is read is damaged, or the
            sheet can't be written.
    """
    recording = Recording(config.recording)
    if not len(recording):
        raise WorldsimError(
            f"{config.recording} has no whole episode yet. Go on recording: worldsim record {recording.spec.name}"
        )
    out = console()
    if config.verify:
        with ProgressBar("verifying", len(recording)) as progress:
            for done in recording.verify():
                progress.update(done)
        out.print(f"all {len(recording):,} frames are as they were written")
    out.print(_facts(recording))
    out.print(_actions(recording))
    place = config.recording.absolute()
    sheet = config.sheet or place.with_name(f"{place.name}.png")
    atomic.write_bytes(sheet, encode_png(contact_sheet(recording)), "Give --sheet.")
    out.print(printable(f"contact sheet: {sheet}"), soft_wrap=True)


def near_duplicates(recording: Recording, sample: int = SAMPLE) -> tuple[float, int]:
    """The share of frames that hardly differ from the one before, and how many frames that was measured on."""
    episodes = recording.episodes()
    share = min(1.0, sample / len(recording))
    chosen = np.unique(np.linspace(0, len(episodes) - 1, max(1, round(len(episodes) * share))).astype(int))
    same = pairs = 0
    for index in chosen:
        start, end = episodes[index]
        frames = np.asarray(recording.frames[start:end])
        for before, after in itertools.pairwise(frames):
            same += int(cv2.absdiff(before, after).max() <= SAME)
        pairs += len(frames) - 1
    return same / max(pairs, 1), pairs


def contact_sheet(recording: Recording) -> np.ndarray:
    """Frames spread evenly over the recording, in order, as one picture: uint8 RGB `[h, w, 3]`."""
    rows, columns = SHEET
    picks = np.linspace(0, len(recording) - 1, rows * columns).astype(int)
    scale = max(1, round(SHEET_WIDTH / columns / recording.spec.width))
    frames = np.stack([np.asarray(recording.frames[i]) for i in picks]).repeat(scale, 1).repeat(scale, 2)
    return np.concatenate([np.concatenate(list(row), 1) for row in frames.reshape(rows, columns, *frames.shape[1:])])


def _facts(recording: Recording) -> Table:
    spec, lengths = recording.spec, np.diff([0, *recording.ends])
    held_out = sum(end - start for start, end in recording.episodes("held-out"))
    rewards = np.asarray(recording.rewards[: len(recording)])
    same, pairs = near_duplicates(recording)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts: dict[str, str] = {
        "world": f"{spec.name}, {spec.width}x{spec.height} pixels, {spec.fps:g} frames a second, seed {recording.seed}",
        "frames": f"{len(recording):,} ({len(recording) / spec.fps / 60:.0f} minutes of play), held out: {held_out:,}",
        "episodes": f"{len(lengths):,}, held out: {len(recording.episodes('held-out')):,}",
        "episode length": f"{lengths.min():,} to {lengths.max():,}, median {np.median(lengths):,.0f}",
        "ended by the game": f"{int(np.asarray(recording.terminated[: len(recording)]).sum()):,} episodes",
        "rewards": f"{rewards.sum():,.6g} in all, on {np.count_nonzero(rewards) / len(rewards):.2%} of frames",
        "state": ", ".join(spec.state_names) or "none",
        "hidden layer": "no" if recording.hidden_layer is None else "yes",
        "near-duplicates": f"{same:.1%} of frames: at most {SAME} levels from the one before anywhere ({pairs:,} seen)",
        **{what: f"{share:.1%} of frames" for what, share in state_shares(recording).items()},
        **{name: str(recording.origin[name]) for name in ("source", "licence", "recorder") if name in recording.origin},
    }
    for name, value in facts.items():
        table.add_row(printable(name), printable(value))
    return table


def _actions(recording: Recording) -> Table:
    actions = np.asarray(recording.actions[: len(recording)])
    counts = np.bincount(actions[actions >= 0], minlength=len(recording.spec.actions))
    table = Table("action", "count", "share", "", box=None, padding=(0, 2, 0, 0))
    for action, count in zip(recording.spec.actions, counts, strict=True):
        share = count / max(counts.sum(), 1)
        table.add_row(action.name, f"{count:,}", f"{share:.1%}", bar(share))
    return table
