"""Pictures that an imaginer makes of prompts, each with the verdict of somebody who can read its world exactly: what
the reward model learns from. Knows no world and no loss.

P prompts, E pictures of each, H x W pixels.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.numpy

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.runtime.imagine import Imaginer, imagine_pictures
from worldsim.safe_read import read_safetensors, reading

SIZE = (64, 64)  # (height, width) of the pictures, if no other is asked for
SHARD = 64  # prompts
EACH = 8  # pictures of a prompt
WAY_OUT = "Remove it, and train again."


class Prompt(Protocol):
    """A prompt, and who can tell what of it a picture shows."""

    text: str

    def seen(self, frame: np.ndarray) -> Mapping[str, bool]:
        """What was asked, each by its name -> whether a frame uint8 `[H, W, 3]` shows it; nothing where nobody can
        tell."""


@dataclasses.dataclass(frozen=True, eq=False)
class JudgedPictures:
    """Pictures of prompts, and how much of what was asked each shows.

    Attributes:
        texts: the P prompts.
        frames: uint8 RGB `[P, E, H, W, 3]`.
        grades: share of what was asked that is there, float32 `[P, E]`, 0 to 1.
        digest: names them.
    """

    texts: list[str]
    frames: np.ndarray
    grades: np.ndarray
    digest: str = ""


def judged_pictures(
    model: Imaginer,
    ask: Callable[[int], Prompt],
    prompts: int,
    folder: Path,
    key: str,
    size: tuple[int, int] = SIZE,
) -> JudgedPictures:
    """Pictures of `prompts` prompts, rounded up to whole files, less those that nobody can judge. Those that were made
    already are read from `folder`.

    Args:
        model: what makes them, by as many passes and as much guidance as it is made for.
        ask: number -> prompt; the same number gives the same.
        key: names the model; what another one made is made anew.
        size: (height, width) of the pictures.

    Raises:
        WorldsimError: if nobody can judge any, or the disk is full.
    """
    shards = []
    with ProgressBar("pictures, judged", -(-prompts // SHARD) * SHARD) as bar:
        for first in range(0, prompts, SHARD):
            path = folder / f"judged-{first // SHARD:05}.safetensors"
            tensors, found = read_safetensors(path, WAY_OUT) if path.exists() else ({}, {})
            if found.get("imaginer") != key:
                made = make_and_judge(model, [ask(n) for n in range(first, first + SHARD)], first, size)
                tensors = {"frames": made.frames, "grades": made.grades}
                found = {"imaginer": key, "texts": json.dumps(made.texts)}
                atomic.write_bytes(path, safetensors.numpy.save(tensors, found))
            with reading(path, WAY_OUT):
                shards.append(JudgedPictures(json.loads(found["texts"]), tensors["frames"], tensors["grades"]))
            bar.update(first + SHARD)
    texts = [text for shard in shards for text in shard.texts]
    if not texts:
        raise WorldsimError("nobody can judge pictures of any of these prompts; ask for more: --prompts")
    frames, grades = (np.concatenate(parts) for parts in zip(*((s.frames, s.grades) for s in shards), strict=True))
    return JudgedPictures(texts, frames, grades, f"{key}-{prompts}")


def make_and_judge(model: Imaginer, prompts: list[Prompt], seed: int, size: tuple[int, int]) -> JudgedPictures:
    """`EACH` pictures of each prompt; without the prompts whose pictures nobody can judge."""
    texts, frames, grades = [], [], []
    for i, prompt in enumerate(prompts):
        if prompt.seen(np.zeros((*size, 3), np.uint8)):  # somebody can tell
            made = imagine_pictures(model, prompt.text, size, EACH, seed + i)
            texts.append(prompt.text)
            frames.append(made)
            grades.append([np.mean(list(prompt.seen(frame).values())) for frame in made])
    shape = (len(texts), EACH)
    return JudgedPictures(
        texts, np.array(frames, np.uint8).reshape(*shape, *size, 3), np.array(grades, np.float32).reshape(shape)
    )
