"""Words of a closed vocabulary <-> tokens. Needs no torch, so that prompts are read where only ONNX Runtime is.

B texts, K tokens of the longest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

PAD, BEGIN, UNKNOWN, FIRST = 0, 1, 2, 3  # tokens that are no words; the first of the words
MOST_WORDS = 96  # of a text; what comes after is left out


def split_words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def named(world: str, text: str) -> str:
    """A prompt that names the world that it is of."""
    return f"{world}: {text}"


class Vocabulary:
    """Knows its words; any other is one token, and can be said.

    Args:
        words: in the order of their tokens.
    """

    def __init__(self, words: Sequence[str]):
        self._tokens = {word: FIRST + i for i, word in enumerate(words)}

    def unknown(self, text: str) -> list[str]:
        """Words of a text that it doesn't know, each once."""
        return list(dict.fromkeys(word for word in split_words(text) if word not in self._tokens))

    def in_world(self, world: str, text: str) -> str:
        """A prompt that names its world, if it knows that name: it then learned from several worlds."""
        return named(world, text) if world and text.strip() and not self.unknown(world) else text

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> tokens int64 `[B, K]`, as many as the longest needs, padded at the end."""
        rows = [[BEGIN, *(self._tokens.get(w, UNKNOWN) for w in split_words(t)[:MOST_WORDS])] for t in texts]
        longest = max(map(len, rows))
        return np.array([row + [PAD] * (longest - len(row)) for row in rows], np.int64)
