"""Import: sources -> a recording, one clip an episode, resumable, with a record of what was taken and what was left.

Beside the recording NAME lie NAME.import.json, written anew every few seconds, and NAME.png, its contact sheet. The
clips of one source have its number as their seed: so a killed import goes on after the last clip that is whole.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim import atomic
from worldsim.data.importing.clips import Clip, Leftovers, clips_of
from worldsim.data.importing.decode import NoVideo
from worldsim.data.importing.shape import Fit, Shape
from worldsim.data.importing.sheet import ContactSheet
from worldsim.data.importing.sources import Source, find_sources
from worldsim.data.recording import HELD_OUT, Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.safe_read import read_json
from worldsim.spec import SPARE_KEYS, Action, WorldSpec, slug

MOST_FPS = 15.0  # that a recording gets, where none is asked for
NOTE_EVERY = 5.0  # seconds
EPISODES = 40  # at least about, that long videos are cut into: one in ten is held out
CLIP_FRAMES = (24, 512)  # fewest and most frames that a long shot is cut into
USUAL_KEYS = {
    **{side: f"Arrow{side.title()}" for side in ("left", "right", "up", "down")},
    "jump": "Space",
    "fire": "ControlLeft",
}
RESTS = ("noop", "no-op", "none", "stay", "rest", "stand", "idle", "nothing")
WITHOUT_ACTIONS = "unknown"  # the one action of a recording whose actions nobody knows


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """How videos become a recording.

    Attributes:
        height, width: of its frames.
        fps: frames a second; 0 for the videos' own, 15 at most.
        fit: see `worldsim.data.importing.shape.Shape`.
        camera: of a LeRobot dataset.
        clip_frames: cut longer shots; 0 for a length that gives enough episodes.
        licence: of the videos, for the record.
    """

    height: int = 64
    width: int = 64
    fps: float = 0.0
    fit: Fit = "crop"
    camera: str = ""
    clip_frames: int = 0
    licence: str = "unknown: that of the videos"


@dataclasses.dataclass
class SourceReport:
    """What became of one source: frames and clips taken, frames left by reason."""

    name: str
    frames: int = 0
    clips: int = 0
    left: dict[str, int] = dataclasses.field(default_factory=dict)
    cuts: int = 0
    bars: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class ImportReport:
    """What an import took and left.

    Attributes:
        sources: in order. files: that were no source: name -> why.
        done: whether the import is over.
    """

    sources: list[SourceReport] = dataclasses.field(default_factory=list)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    done: bool = False

    @property
    def frames(self) -> int:
        """Frames taken."""
        return sum(source.frames for source in self.sources)

    @property
    def left(self) -> collections.Counter[str]:
        """Frames left, by reason."""
        total: collections.Counter[str] = collections.Counter()
        for source in self.sources:
            total.update(source.left)
        return total

    def lines(self) -> list[str]:
        """For people."""
        clips = sum(source.clips for source in self.sources)
        taken = sum(source.clips > 0 for source in self.sources)
        text = [f"took {self.frames:,} frames in {clips:,} clips, of {taken:,} of {len(self.sources):,} videos"]
        text += [f"left {count:,} frames: {reason}" for reason, count in self.left.most_common()]
        cuts, barred = sum(s.cuts for s in self.sources), sum(s.bars for s in self.sources)
        text += [f"{cuts:,} cuts; no clip goes across one"] if cuts else []
        text += [f"black bars were cut off {barred:,} videos"] if barred else []
        text += [f"{source.name}: {note}" for source in self.sources for note in source.notes]
        return text + [f"{name}: {why}" for name, why in self.files.items()]


def report_path(recording: Path) -> Path:
    """Where the report of an import lies."""
    return recording.with_name(f"{recording.name}.import.json")


def sheet_path(recording: Path) -> Path:
    """Where the contact sheet of an import lies."""
    return recording.with_name(f"{recording.name}.png")


def import_videos(places: Sequence[Path], out: Path, settings: ImportSettings) -> ImportReport:
    """Import all videos of some files and folders into the recording `out`; the same call goes on with one that was
    stopped, and does nothing with one that is done.

    Raises:
        WorldsimError: if there is no video, none that moves, `out` is another recording or can't be written, a table of
            actions doesn't fit its video, or the disk is full.
    """
    sources, files = find_sources(places, settings.camera)
    fps = settings.fps or min(MOST_FPS, _usual_rate(sources))
    spec = spec_of(sources, slug(out.name), settings, fps)
    longest = settings.clip_frames or _clip_frames(sources, fps)
    origin = {
        "source": ", ".join(str(place) for place in places),
        "licence": settings.licence,
        "import": json.loads(json.dumps({**dataclasses.asdict(settings), "clips": longest})),
        "actions": "as named beside the videos" if sources[0].actions else "unknown",
    }
    report = ImportReport(files=files)
    with RecordingWriter(out, spec, 0, origin) as writer:
        report = _resumed(out, sources, report)
        if report.done:
            return report
        written = collections.Counter(Recording(out).seeds.tolist()) if writer.episodes else collections.Counter()
        sheet = ContactSheet(spec.height, spec.width)
        shape = Shape(spec.height, spec.width, settings.fit)
        noted = time.monotonic()
        with ProgressBar("importing", len(sources), len(report.sources)) as bar:
            for number in range(len(report.sources), len(sources)):
                clips = clips_of(sources[number], shape, fps, longest, left := Leftovers())
                found = _take(clips, left, sources[number], number, spec, writer, written[number], sheet)
                report.sources.append(found)
                if time.monotonic() - noted > NOTE_EVERY:
                    _write(out, report)
                    noted = time.monotonic()
                bar.update(number + 1, f"{writer.frames:,} frames")
    if not report.frames:
        shutil.rmtree(out)
        report_path(out).unlink(missing_ok=True)
        raise WorldsimError(_nothing(report))
    sheet.take(Recording(out), [source.name for source in sources])
    atomic.write_bytes(sheet_path(out), sheet.png())
    report.done = True
    _write(out, report)
    return report


def _take(
    clips: Iterator[Clip],
    left: Leftovers,
    source: Source,
    number: int,
    spec: WorldSpec,
    writer: RecordingWriter,
    written: int,
    sheet: ContactSheet,
) -> SourceReport:
    """Append the clips of a source, but for those `written` before."""
    found = SourceReport(source.name)
    names = [action.name for action in spec.actions]
    try:
        for clip in clips:
            found.clips += 1
            found.frames += len(clip.frames)
            if found.clips > written:
                writer.append(_episode(clip, names), number)
    except NoVideo as error:
        left.notes.append(str(error))
    if not found.clips and not left.notes:
        left.notes.append("nothing moves in it" if left.frames["still"] else "shorter than a clip")
    sheet.leave(left.thumbnails)
    found.left, found.cuts, found.bars, found.notes = dict(left.frames), left.cuts, bool(left.bars), left.notes
    return found


def spec_of(sources: Sequence[Source], name: str, settings: ImportSettings, fps: float) -> WorldSpec:
    """The world of what is imported: with the actions that the sources name, or the one action of those that name none.
    An action `jump-right` is chosen by the buttons of `jump` and `right`, where there are both.

    Raises:
        WorldsimError: if there are more actions than keys.
    """
    names = sorted({action for source in sources for action in source.actions[:-1]}, key=_by_number)
    rest = next((action for action in names if action.lower() in RESTS), names[0] if names else WITHOUT_ACTIONS)
    pressed = [action for action in names if action != rest]
    parts = {action: tuple(part for part in action.split("-")) for action in pressed}
    buttons = {action: parts[action] if set(parts[action]) < set(pressed) else (action,) for action in pressed}
    single = [action for action in pressed if buttons[action] == (action,)]
    if len(single) > len(SPARE_KEYS):
        raise WorldsimError(f"{len(names)} different actions are named, more than there are keys; put some together")
    spare = iter(SPARE_KEYS)
    keys = {action: (USUAL_KEYS.get(action.lower()) or next(spare),) for action in single}
    return WorldSpec(
        name=name,
        height=settings.height,
        width=settings.width,
        fps=fps,
        frame_skip=1,
        actions=(Action(rest), *(Action(action, buttons[action]) for action in pressed)),
        keys=keys,
        title=name,
    )


def without_actions(recording: Recording) -> bool:
    """Whether nobody knows the actions of a recording."""
    return len(recording.spec.actions) == 1


def _episode(clip: Clip, names: list[str]) -> Episode:
    n = len(clip.frames)
    actions = np.zeros(n, np.int16)
    actions[: n - 1] = [names.index(action) for action in clip.actions] if clip.actions else 0
    actions[-1] = -1
    return Episode(clip.frames, actions, np.zeros(n, np.float32), np.zeros(n, bool), np.zeros((n, 0), np.float32))


def _usual_rate(sources: Sequence[Source]) -> float:
    rates = []
    for source in sources[:64]:
        try:
            rates.append(source.rate())
        except NoVideo:  # it will be said of that file, when it is read
            continue
    return round(float(np.median(rates)), 3) if rates else MOST_FPS


def _clip_frames(sources: Sequence[Source], fps: float) -> int:
    """How many frames a clip may have, so that there are enough of them: it depends on all sources together."""
    seconds = 0.0
    fewest, most = CLIP_FRAMES
    with ProgressBar("lengths of videos", len(sources)) as bar:
        for number, source in enumerate(sources):
            with contextlib.suppress(NoVideo):
                seconds += source.length(fps)
            if seconds * fps > EPISODES * most:  # no more of them could make clips longer
                break
            bar.update(number + 1)
    enough = seconds * fps / EPISODES if seconds * fps > EPISODES * 2 * fewest else seconds * fps / (HELD_OUT + 1)
    return int(np.clip(enough, fewest, most))


def _resumed(out: Path, sources: Sequence[Source], report: ImportReport) -> ImportReport:
    """The report of an import that was stopped, or a new one."""
    path = report_path(out)
    if not path.exists():
        return report
    way_out = f"Remove it and {out}, and import again."
    content = read_json(path, way_out)
    try:
        before = [SourceReport(**facts) for facts in content["sources"]]
        report.done = content["done"] is True
    except (KeyError, TypeError) as error:
        raise WorldsimError(f"{path} is no report of an import. {way_out}") from error
    if [source.name for source in before] != [source.name for source in sources[: len(before)]]:
        raise WorldsimError(f"{out} was begun from other videos. Give another --out, or remove it and {path}.")
    report.sources = before
    return report


def _write(out: Path, report: ImportReport) -> None:
    content: dict[str, Any] = dataclasses.asdict(report)
    atomic.write_text(report_path(out), json.dumps(content, indent=1) + "\n")


def _nothing(report: ImportReport) -> str:
    left = report.left
    if left["still"] > left["in clips too short"]:
        return "nothing moves in these videos, so there is nothing to learn; give others"
    notes = "; ".join(f"{source.name}: {note}" for source in report.sources[:3] for note in source.notes)
    return f"nothing could be taken of these videos ({notes}); give longer ones, or another --fps"


def _by_number(name: str) -> tuple[bool, float, str]:
    number = name.replace(".", "", 1).lstrip("-").isdigit()
    return (not number, float(name) if number else 0.0, name)
