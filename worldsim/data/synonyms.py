"""Says a caption in other words that mean the same, or makes it wrong by one. The words are a world's.

    Synonyms({"ball": ("sphere",)}, (" with ",)).vary("a red ball and a cone", rng)     "a cone with a red sphere"

Knows no world, and no clips.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

AS_RECORDED = 0.5  # share of the captions that stay as they are
OTHERWISE = 0.5  # of the others, how often something is said in other words
FRONTED = 0.3  # of the others, how often the setting comes first, where there is one
BARE = 0.15  # of the others, how many lose their articles

_SMALL = r"(?:by|in|at|of|is|are|to|on|with|and|the|left|right|here)\b"
_THING = rf"(?:an?|one|two|three|four|five|six|many)(?: (?!{_SMALL})\w+){{1,3}}"
_LIST = re.compile(rf"(?<![\w'])({_THING}(?:, {_THING})*) and ({_THING})(?=$|[,;.:]| (?:here|by|in|at)\b)")

_SETTING = re.compile(r"^([^.;:]+), ((?:in|at|by|drawn) [^,.;:]+)$")


@dataclasses.dataclass(frozen=True, eq=False)
class Synonyms:
    """Words of one world that mean the same, and words that exclude each other.

    Attributes:
        phrases: lower-case words -> what may be said instead. Where several begin at a word, the longest counts.
        joins: what may stand between two things that are listed, besides " and ".
        contrasts: groups of lower-case words; where one is true, the others of its group are not.
    """

    phrases: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    joins: Sequence[str] = ()
    contrasts: Sequence[Sequence[str]] = ()

    def vary(self, text: str, rng: np.random.Generator) -> str:
        """The same in other words, in lower case, or as it is; the generator decides.

        One phrase is said in one way throughout a text. Things that are only listed come in any order, and when or how
        it all is ("at night") may come first.
        """
        if rng.random() < AS_RECORDED:
            return text
        text = _LIST.sub(lambda found: self._listed(found, rng), text.lower())
        if rng.random() < FRONTED:
            text = _SETTING.sub(r"\2, \1", text)
        if self.phrases:
            ways: dict[str, str] = {}
            text = self._pattern.sub(lambda found: self._other(found[0], ways, rng), text)
        return re.sub(r"\b(?:an?|the) ", "", text) if rng.random() < BARE else text

    def contradict(self, text: str, rng: np.random.Generator) -> str:
        """The same, in lower case, with one word exchanged for one of its group throughout; as it is if it has none."""
        found = {word: group for group in self.contrasts for word in group if _whole(word).search(text.lower())}
        if not found:
            return text
        word = list(found)[int(rng.integers(len(found)))]
        others = [other for other in found[word] if other != word]
        return _whole(word).sub(others[int(rng.integers(len(others)))], text.lower())

    @property
    def words(self) -> tuple[str, ...]:
        """All that `vary` may put into a text, which a vocabulary needs to hold."""
        return (*(way for ways in self.phrases.values() for way in ways), *self.joins)

    @property
    def key(self) -> str:
        """Names what decides how captions are varied."""
        return json.dumps([dict(self.phrases), list(self.joins)], sort_keys=True)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.phrases, key=len, reverse=True)
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b(?!')")

    def _other(self, phrase: str, ways: dict[str, str], rng: np.random.Generator) -> str:
        if phrase not in ways:
            others = self.phrases[phrase]
            ways[phrase] = others[int(rng.integers(len(others)))] if rng.random() < OTHERWISE else phrase
        return ways[phrase]

    def _listed(self, found: re.Match[str], rng: np.random.Generator) -> str:
        things = [*found[1].split(", "), found[2]]
        things = [things[i] for i in rng.permutation(len(things))]
        joins = (" and ", *self.joins) if len(things) == 2 else (" and ",)
        return f"{', '.join(things[:-1])}{joins[int(rng.integers(len(joins)))]}{things[-1]}"


def merged(several: Sequence[Synonyms]) -> Synonyms:
    """Those of several worlds as one."""
    phrases: dict[str, tuple[str, ...]] = {}
    for one in several:
        for phrase, ways in one.phrases.items():
            phrases[phrase] = tuple(dict.fromkeys((*phrases.get(phrase, ()), *ways)))
    joins = tuple(dict.fromkeys(join for one in several for join in one.joins))
    return Synonyms(phrases, joins, tuple(group for one in several for group in one.contrasts))


@functools.cache
def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word)}\b")


AS_RECORDED_ONLY = Synonyms()
