"""`worldsim minari`: recordings to Minari datasets and back. Only parses and prints; see `worldsim.data.minari`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim.cli.record import learnable_size
from worldsim.data import minari
from worldsim.data.recording import Recording
from worldsim.progress import ProgressBar
from worldsim.terminal import printable


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Make a Minari dataset of a recording: worldsim minari export recordings/doom-maze worldsim/doom-maze-v0

    Attributes:
        recording: its folder.
        dataset: id of the dataset, as minari.load_dataset takes it: NAMESPACE/NAME-vNUMBER.
        author: who is to be asked about it.
    """

    recording: tyro.conf.Positional[Path]
    dataset: tyro.conf.Positional[str]
    author: str = "unknown"


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Make a recording of a Minari dataset: worldsim minari import worldsim/doom-maze-v0 --out recordings/doom-maze

    Attributes:
        dataset: its id; one that is not here is downloaded first by: minari download ID
        out: folder of the recording, which must not be there yet.
        fps: frames a second at which play feels like the original; only for datasets that no recording became.
        size: WIDTHxHEIGHT that pictures are scaled to; their own size if not given.
    """

    dataset: tyro.conf.Positional[str]
    out: Path
    fps: float = 30.0
    size: str = ""


def export_dataset(config: ExportConfig) -> None:
    """Write the dataset, whole or not at all.

    Raises:
        WorldsimError: as `worldsim.data.minari.export_recording`.
    """
    recording = Recording(config.recording)
    with ProgressBar(f"exporting {recording.spec.name}", len(recording)) as bar:
        place = minari.export_recording(recording, config.dataset, config.author, bar.update)
    print(printable(f"{config.dataset}: {len(recording.ends)} episodes of {len(recording)} frames, in {place}"))


def import_dataset(config: ImportConfig) -> None:
    """Write the recording, whole or not at all.

    Raises:
        WorldsimError: as `worldsim.data.minari.Dataset` and `worldsim.data.minari.import_dataset`.
    """
    dataset = minari.Dataset(config.dataset, config.fps, learnable_size(config.size))
    with ProgressBar(f"importing {config.dataset}", dataset.frames) as bar:
        frames, episodes = minari.import_dataset(dataset, config.out, bar.update)
    print(printable(f"{config.out}: {frames} frames in {episodes} episodes"))
