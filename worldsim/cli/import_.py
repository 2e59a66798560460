"""`worldsim import`: videos, folders of pictures and LeRobot datasets become a recording. Only parses and prints."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import tyro

from worldsim.cli.record import learnable_size
from worldsim.data.importing.importer import ImportSettings, import_videos, report_path, sheet_path
from worldsim.data.importing.shape import Fit
from worldsim.errors import WorldsimError
from worldsim.terminal import console, printable


@dataclasses.dataclass(frozen=True)
class ImportConfig:
    """Make a recording of videos: worldsim import clips/ --out recordings/my-game --size 64x64

    Attributes:
        videos: video files, folders of them or of numbered pictures, or LeRobot datasets.
        out: folder of the recording; one that was stopped is continued.
        size: frame size as WIDTHxHEIGHT, multiples of 8.
        fps: frames a second; the videos' own, 15 at most, if 0.
        fit: crop keeps proportions and cuts off what stands out at the sides; stretch keeps everything.
        camera: which camera of a LeRobot dataset; the first if not given.
        clip_frames: longest clip; chosen so that there are enough clips if 0.
        licence: of the videos, for the record.
    """

    videos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    out: Path
    size: str = "64x64"
    fps: float = 0.0
    fit: Fit = "crop"
    camera: str = ""
    clip_frames: int = 0
    licence: str = "unknown: that of the videos"

    def settings(self) -> ImportSettings:
        """What they ask for.

        Raises:
            WorldsimError: for a size that nothing can be learned at, or a number that is none.
        """
        sides = learnable_size(self.size)
        if not sides:
            raise WorldsimError("--size is WIDTHxHEIGHT, as in 64x64")
        if not (0 <= self.fps <= 240 and math.isfinite(self.fps)):
            raise WorldsimError(f"--fps {self.fps:g}: give 1 to 240, or 0 for the videos' own")
        if self.clip_frames and self.clip_frames < 16:
            raise WorldsimError(f"--clip-frames {self.clip_frames}: give 16 or more, or 0")
        rest = self.fps, self.fit, self.camera, self.clip_frames, self.licence
        return ImportSettings(sides["height"], sides["width"], *rest)


def import_(config: ImportConfig) -> None:
    """Import, and print what was taken and what was left.

    Raises:
        WorldsimError: as `worldsim.data.importing.importer.import_videos`.
    """
    if not config.videos:
        raise WorldsimError("which videos? worldsim import clips/ --out recordings/NAME")
    report = import_videos(config.videos, config.out, config.settings())
    out = console()
    for line in report.lines():
        out.print(printable(line), soft_wrap=True)
    out.print(printable(f"recording: {config.out}    contact sheet: {sheet_path(config.out)}"), soft_wrap=True)
    out.print(printable(f"report: {report_path(config.out)}"), soft_wrap=True)
