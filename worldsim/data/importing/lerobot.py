"""LeRobot datasets, versions 2 and 3: which file, and which seconds of it, each episode's video is in.

Version 2 has one file an episode; version 3 several episodes in a file, and a table in `meta/episodes` says where each
is. Their actions are vectors of numbers, not keys, and are not read.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from worldsim.errors import WorldsimError, require
from worldsim.safe_read import read_json, reading

INFO = "meta/info.json"
WAY_OUT = "Fetch the dataset again."


@dataclasses.dataclass(frozen=True)
class EpisodeVideo:
    """An episode: from `start` to `end` seconds of the file at `path`."""

    path: Path
    name: str
    start: float = 0.0
    end: float = float("inf")


def episodes(folder: Path, camera: str = "") -> list[EpisodeVideo]:
    """The episodes of the dataset in a folder, as one of its cameras saw them; the first if none is named.

    Raises:
        WorldsimError: if it has no such camera, is damaged, or of another version.
    """
    info = read_json(folder / INFO, WAY_OUT)
    with reading(folder / INFO, WAY_OUT):
        cameras = [name for name, facts in info["features"].items() if facts.get("dtype") == "video"]
        chosen = camera or next(iter(cameras), "")
        if chosen not in cameras:
            raise WorldsimError(f"{folder} has no camera {camera!r}; it has {', '.join(cameras) or 'none with video'}")
        template, version = str(info["video_path"]), str(info.get("codebase_version", "v2.0"))
        if version.startswith("v3"):
            found = _version_3(folder, chosen, template)
        else:
            size = int(info.get("chunks_size", 1000))
            found = [
                EpisodeVideo(_fill(folder, template, chosen, n // size, n), f"episode {n}")
                for n in range(int(info["total_episodes"]))
            ]
        for episode in found:
            if not episode.path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{episode.path} is not in it")
        return found


def _version_3(folder: Path, camera: str, template: str) -> list[EpisodeVideo]:
    parquet = require("pyarrow.parquet", "eval")
    prefix = f"videos/{camera}/"
    columns = [prefix + part for part in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")]
    found = []
    for table in sorted((folder / "meta" / "episodes").rglob("*.parquet")):
        rows: list[dict[str, Any]] = parquet.read_table(table, columns=["episode_index", *columns]).to_pylist()
        for row in rows:
            chunk, file, start, end = (row[name] for name in columns)
            path = _fill(folder, template, camera, int(chunk), int(file))
            found.append(EpisodeVideo(path, f"episode {row['episode_index']}", float(start), float(end)))
    return found


def _fill(folder: Path, template: str, camera: str, chunk: int, number: int) -> Path:
    """The path that a dataset's template gives: of an episode in version 2, of a file in version 3."""
    values = {"video_key": camera, "episode_chunk": chunk, "episode_index": number}
    return folder / template.format(**values, chunk_index=chunk, file_index=number)
