"""Clips in words: short pieces of play at many sizes, with captions of the whole and of single moments. Knows no world.

A folder of shards, each of one bucket (length and size), and a manifest that is written last: a killed recorder goes on
with the shards that are missing. Clips of a tenth of the groups, and of some sizes, are never trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.artifact import ArtifactKind
from worldsim.data.captions import Captions, read_captions
from worldsim.data.clip_shards import WAY_OUT, Bucket, Clip, Shard, shard_name
from worldsim.data.synonyms import AS_RECORDED_ONLY, Synonyms, merged
from worldsim.models.words import named
from worldsim.safe_read import reading

CLIP_FRAMES = 17  # of a recorded clip: 4 k + 1, as the video autoencoder wants it
MOMENT = 4  # every so many frames has captions of its own
SHARD = 64  # clips
HELD_OUT = 10  # one group in so many is never trained on
NAMED = 0.5  # share of the captions that name their world, if there are several
KIND = ArtifactKind("a set of captioned clips", "clips.json", 1, "worldsim record clips", WAY_OUT)

Explorer = Callable[[np.ndarray, dict[str, Any]], int]


@dataclasses.dataclass(frozen=True)
class ClipSource:
    """How a world makes clips.

    Attributes:
        sizes: (height, width) of clips to learn from; what stands twice is recorded twice as often.
        unseen: sizes of a few clips that are only judged on.
        make: (seed, height, width, what makes an explorer of a random generator) -> the clips of one group.
        looks: of each look, what captions say of it, in lower case.
    """

    sizes: tuple[tuple[int, int], ...]
    unseen: tuple[tuple[int, int], ...]
    make: Callable[[int, int, int, Callable[[np.random.Generator], Explorer]], list[Clip]]
    looks: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def size(self, shard: int) -> tuple[int, int]:
        """(height, width) of the clips of a shard."""
        seen = shard - len(self.unseen)
        return self.unseen[shard] if seen < 0 else self.sizes[seen % len(self.sizes)]


def write_manifest(folder: Path, shards: int, facts: dict[str, Any]) -> None:
    """Say that the set is whole: its first `shards` shards."""
    (folder / KIND.manifest).unlink(missing_ok=True)  # it lists all files but itself
    KIND.write_manifest(folder, {"shards": shards, **facts})


class CaptionedClips:
    """A set of clips in words, checked as a whole when it is opened and unpacked clip by clip.

    Args:
        path: folder that `worldsim record clips` wrote.
        synonyms: of the world's words.
        retold: captions to take in place of the recorded ones, of a file that `worldsim caption` wrote.

    Attributes:
        path: of the folder. facts: what the manifest says. synonyms: as given. worlds: that they show.
        digest: names the content. retold: names the captions, if they are others than the recorded ones, as a setting
            of trainings.

    Raises:
        WorldsimError: if it is missing, cut, changed, or of another version, or if the captions are of another set.
    """

    def __init__(self, path: Path, synonyms: Synonyms = AS_RECORDED_ONLY, retold: Path | None = None):
        self.path, self.synonyms = path, synonyms
        self.facts = KIND.read_manifest(path)
        self.worlds: tuple[str, ...] = (str(self.facts.get("world", "")),)
        self.digest: str = self.facts["digest"]
        KIND.check_files(path, self.facts["files"])
        self._shards = []
        with reading(path, WAY_OUT):
            unseen = {tuple(size) for size in self.facts["unseen"]}
            for shard in range(int(self.facts["shards"])):
                self._shards.append(Shard(path / shard_name(shard)))
        counts = [len(shard) for shard in self._shards]
        self._first = np.cumsum([0, *counts])
        self._held_out = np.concatenate(
            [(s.groups % HELD_OUT == HELD_OUT - 1) | (s.bucket[1:] in unseen) for s in self._shards]
            or [np.zeros(0, bool)]
        )
        self.unseen = unseen
        self._captions: list[Captions] | None = None
        self.retold: dict[str, str] = {}
        if retold is not None:
            moments = [1 + (self.bucket(number)[0] - 1) // MOMENT for number in range(len(self))]
            self._captions = read_captions(retold, self.digest, moments)
            self.retold["captions"] = hashlib.sha256(retold.read_bytes()).hexdigest()

    def __len__(self) -> int:
        return int(self._first[-1])

    def locate(self, number: int) -> tuple[int, int]:
        """(shard, place in it) of a clip."""
        shard = int(np.searchsorted(self._first, number, "right")) - 1
        return shard, number - int(self._first[shard])

    def bucket(self, number: int) -> Bucket:
        """(frames, height, width) of a clip."""
        return self._shards[self.locate(number)[0]].bucket

    def clip(self, number: int) -> Clip:
        """A clip, unpacked."""
        shard, place = self.locate(number)
        story, moments = self.words(number)
        return dataclasses.replace(self._shards[shard].clip(place), story=story, moments=moments)

    def words(self, number: int) -> Captions:
        """Story and moments of a clip, without its frames."""
        if self._captions is not None:
            return self._captions[number]
        shard, place = self.locate(number)
        return self._shards[shard].words(place)

    def label(self, number: int) -> tuple[str, int]:
        """(look, group) of a clip, without its frames."""
        shard, place = self.locate(number)
        return self._shards[shard].label(place)

    def paired(self, number: int) -> list[int]:
        """The clips that show the same as this one in other looks; a group is in one shard."""
        shard, place = self.locate(number)
        look, group = self.label(number)
        same = number - place + np.flatnonzero(self._shards[shard].groups == group)
        return [int(n) for n in same if self.label(int(n))[0] != look]

    def buckets(self, held_out: bool) -> dict[Bucket, np.ndarray]:
        """Numbers of the clips to learn from, or of those that are held out, by bucket."""
        found: dict[Bucket, list[int]] = {}
        for number in np.flatnonzero(self._held_out == held_out):
            found.setdefault(self.bucket(int(number)), []).append(int(number))
        return {bucket: np.array(numbers) for bucket, numbers in found.items()}

    def world(self, number: int) -> str:
        """The world that a clip shows."""
        return self.worlds[0]

    def tell(self, number: int, text: str, rng: np.random.Generator) -> str:
        """A caption of a clip as it may be told: in other words that mean the same, or as it is."""
        return self.synonyms.vary(text, rng)

    @property
    def more_words(self) -> tuple[str, ...]:
        """What may be told beside the words of `captions`."""
        return self.synonyms.words

    def captions(self) -> list[str]:
        """Every caption of the clips to learn from."""
        found = []
        for number in np.flatnonzero(~self._held_out):
            story, moments = self.words(int(number))
            found += [*story, *(text for texts in moments for text in texts)]
        return found


class JoinedClips(CaptionedClips):
    """Sets of clips of several worlds as one: their numbers go on from set to set, and what is told may begin with the
    world's name.

    Args:
        sets: of worlds that differ, without other captions than the recorded ones.
    """

    def __init__(self, sets: Sequence[CaptionedClips]):
        self.path, self.unseen, self._captions, self.retold = sets[0].path, set(), None, {}
        self.worlds = tuple(world for clips in sets for world in clips.worlds)
        self.facts = {"world": ", ".join(self.worlds)}
        self.digest = hashlib.sha256("".join(clips.digest for clips in sets).encode()).hexdigest()
        self.synonyms = merged([clips.synonyms for clips in sets])
        self._shards = [shard for clips in sets for shard in clips._shards]
        self._first = np.cumsum([0, *map(len, self._shards)])
        self._held_out = np.concatenate([clips._held_out for clips in sets])
        self._ends = np.cumsum([len(clips) for clips in sets])

    def world(self, number: int) -> str:
        """The world that a clip shows."""
        return self.worlds[int(np.searchsorted(self._ends, number, "right"))]

    def tell(self, number: int, text: str, rng: np.random.Generator) -> str:
        """A caption of a clip as it may be told; half of them name their world first."""
        told = self.synonyms.vary(text, rng)
        return named(self.world(number), told) if rng.random() < NAMED else told

    @property
    def more_words(self) -> tuple[str, ...]:
        """What may be told beside the words of `captions`."""
        return (*self.synonyms.words, *self.worlds)
