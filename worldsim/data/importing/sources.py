"""What a folder or a list of files holds: video files, folders of pictures and LeRobot datasets, in natural order.

A source may name the action taken on seeing each of its frames, in a table with a header that has a column `action`:
`actions.csv` in a folder of pictures, `NAME.actions.csv` beside the video `NAME.mp4`, one line a frame; what the last
line says is not read.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from worldsim.data.importing import lerobot
from worldsim.data.importing.decode import DamagedFrames, Timed, decode_video, sample_video, video_length, video_rate
from worldsim.data.importing.shape import same_size
from worldsim.errors import WorldsimError
from worldsim.safe_read import read_bytes

VIDEO_SUFFIXES = "3gp asf avi flv gif m2ts m4v mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv y4m"
VIDEOS = frozenset(f".{suffix}" for suffix in VIDEO_SUFFIXES.split(" "))
PICTURES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
TABLE = "actions.csv"
TABLE_BYTES = 1 << 28
PICTURE_BYTES = 1 << 28
PICTURES_A_SECOND = 15.0  # of a folder of pictures, where nothing says how many


@dataclasses.dataclass(frozen=True)
class Source:
    """One video to import.

    Attributes:
        path: of the file, or of the folder of its pictures.
        name: for people, unique among the sources.
        pictures: its frames, if it is a folder; else none.
        actions: names of the actions taken on seeing each frame; none if nobody knows.
        start, end: seconds of the file that belong to it.
    """

    path: Path
    name: str
    pictures: tuple[Path, ...] = ()
    actions: tuple[str, ...] = ()
    start: float = 0.0
    end: float = float("inf")

    def frames(self, fps: float) -> Iterator[Timed]:
        """Its frames and their times; those of a folder come `fps` a second.

        Raises:
            NoVideo: if it is none.
            DamagedFrames: after the last frame that can be read, if there should be more.
        """
        if not self.pictures:
            for now, frame in decode_video(self.path, self.start, self.end):
                yield now - self.start, frame
            return
        for i, path in enumerate(self.pictures):
            yield i / fps, _read_picture(path)

    def sample(self, count: int) -> list[np.ndarray]:
        """Up to `count` of its frames, spread over it."""
        if self.pictures:
            chosen = np.linspace(0, len(self.pictures) - 1, count).astype(int)
            return [_read_picture(self.pictures[i]) for i in np.unique(chosen)]
        return sample_video(self.path, count)

    def rate(self) -> float:
        """About how many frames a second it has."""
        return PICTURES_A_SECOND if self.pictures else video_rate(self.path)

    def length(self, fps: float) -> float:
        """About how many seconds it lasts; 0 where nobody knows."""
        if self.pictures:
            return len(self.pictures) / fps
        return max(0.0, min(self.end, video_length(self.path)) - self.start)


def find_sources(places: Sequence[Path], camera: str = "") -> tuple[list[Source], dict[str, str]]:
    """All sources in some files and folders, folders in folders too, and what was left: name -> why.

    Args:
        places: files and folders.
        camera: which of a LeRobot dataset's cameras; the first if not given.

    Raises:
        WorldsimError: if one of them isn't there, or there is no video in all of them.
    """
    sources: list[Source] = []
    left: dict[str, str] = {}
    for place in places:
        if not place.exists():
            raise WorldsimError(f"no file or folder {place}")
        if place.is_file():
            sources.append(_video(place, place.name))
        else:
            _look_into(place, place, camera, sources, left)
    if not sources:
        names = ", ".join(map(str, places))
        raise WorldsimError(f"no video in {names}: give video files, or folders of them or of numbered pictures")
    labelled = [source for source in sources if source.actions]
    if labelled and len(labelled) < len(sources):
        without = next(source for source in sources if not source.actions)
        raise WorldsimError(f"{labelled[0].name} has actions and {without.name} none. Import them one by one.")
    return sources, left


def _look_into(folder: Path, root: Path, camera: str, sources: list[Source], left: dict[str, str]) -> None:
    if (folder / lerobot.INFO).is_file():
        for episode in lerobot.episodes(folder, camera):
            sources.append(Source(episode.path, episode.name, start=episode.start, end=episode.end))
        return
    entries = sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural)
    pictures = tuple(path for path in entries if path.is_file() and path.suffix.lower() in PICTURES)
    videos = [path for path in entries if path.is_file() and path.suffix.lower() in VIDEOS]
    if pictures and not videos:
        sources.append(_pictures(folder, root, pictures))
    for path in entries:
        if path.is_dir():
            _look_into(path, root, camera, sources, left)
        elif path in videos:
            sources.append(_video(path, str(path.relative_to(root))))
        elif not (path.name.endswith(TABLE) or (path in pictures and not videos)):
            left[str(path.relative_to(root))] = "no video by its name"


def _video(path: Path, name: str) -> Source:
    table = path.with_name(f"{path.stem}.{TABLE}")
    return Source(path, name, actions=_read_actions(table) if table.exists() else ())


def _pictures(folder: Path, root: Path, pictures: tuple[Path, ...]) -> Source:
    same_size([(path.name, _read_picture(path).shape) for path in (pictures[0], pictures[-1])])
    table = folder / TABLE
    actions = _read_actions(table) if table.exists() else ()
    if actions and len(actions) != len(pictures):
        raise WorldsimError(f"{table} has {len(actions)} lines for {len(pictures)} pictures; give one a picture")
    name = "." if folder == root else str(folder.relative_to(root))
    return Source(folder, folder.name if name == "." else name, pictures, actions)


def _read_actions(table: Path) -> tuple[str, ...]:
    text = read_bytes(table, TABLE_BYTES, "Give one line a frame.").decode("utf-8-sig", "replace")
    rows = list(csv.DictReader(text.splitlines()))
    names = tuple(str(row.get("action") or "").strip() for row in rows)
    if not rows or not all(names[:-1]):
        raise WorldsimError(f"{table} needs a header with a column `action`, and a name or number in every line of it")
    return names


def _read_picture(path: Path) -> np.ndarray:
    data = np.frombuffer(read_bytes(path, PICTURE_BYTES, "Remove it."), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise DamagedFrames(f"{path.name} is no picture")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """A key that sorts numbers in names by their value: frame-9 before frame-10."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part.lower()) for part in parts]
