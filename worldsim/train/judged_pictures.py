"""Pictures that an imaginer makes of prompts, each with the verdict of somebody who can read its world exactly: what
the two towers learn from to choose the best of several. Knows no world and no loss.

P prompts, E pictures of each, C channels, h x w latents.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from worldsim import atomic
from worldsim.errors import WorldsimError
from worldsim.progress import ProgressBar
from worldsim.runtime.imagine import Imaginer, imagine_pictures
from worldsim.safe_read import read_safetensors, reading

SIZE = (64, 64)  # (height, width) of the pictures
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
        latents: half precision `[P, E, C, h, w]`.
        grades: share of what was asked that is there, float32 `[P, E]`, 0 to 1.
    """

    texts: list[str]
    latents: Tensor
    grades: Tensor


def judged_pictures(
    model: Imaginer, ask: Callable[[int], Prompt], prompts: int, folder: Path, key: str
) -> JudgedPictures:
    """Pictures of `prompts` prompts and some more, those that were made already read from `folder`.

    Args:
        model: what makes them, by as many passes and as much guidance as it is made for.
        ask: number -> prompt; the same number gives the same.
        key: names the model; what another one made is made anew.
    """
    shards = []
    with ProgressBar("pictures, judged", -(-prompts // SHARD) * SHARD) as bar:
        for first in range(0, prompts, SHARD):
            path = folder / f"judged-{first // SHARD:05}.safetensors"
            tensors, found = read_safetensors(path, WAY_OUT, "pt") if path.exists() else ({}, {})
            if found.get("imaginer") != key:
                made = make_and_judge(model, [ask(n) for n in range(first, first + SHARD)], first)
                tensors = {"latents": made.latents, "grades": made.grades}
                found = {"imaginer": key, "texts": json.dumps(made.texts)}
                atomic.write_bytes(path, safetensors.torch.save(tensors, found))
            with reading(path, WAY_OUT):
                shards.append(JudgedPictures(json.loads(found["texts"]), tensors["latents"], tensors["grades"]))
            bar.update(first + SHARD)
    return JudgedPictures(
        [text for shard in shards for text in shard.texts],
        torch.cat([shard.latents for shard in shards]),
        torch.cat([shard.grades for shard in shards]),
    )


def make_and_judge(model: Imaginer, prompts: list[Prompt], seed: int) -> JudgedPictures:
    """`EACH` pictures of each prompt; without the prompts whose pictures nobody can judge.

    Raises:
        WorldsimError: if none are left.
    """
    texts, latents, grades = [], [], []
    for i, prompt in enumerate(prompts):
        if prompt.seen(np.zeros((*SIZE, 3), np.uint8)):  # somebody can tell
            z, frames = imagine_pictures(model, prompt.text, SIZE, EACH, seed + i)
            seen = [list(prompt.seen(frame).values()) for frame in frames]
            texts.append(prompt.text)
            latents.append(z.half().cpu())
            grades.append(torch.tensor(np.mean(seen, 1), dtype=torch.float32))
    if not texts:
        raise WorldsimError("nobody can judge pictures of any of these prompts; ask for more: --prompts")
    return JudgedPictures(texts, torch.stack(latents), torch.stack(grades))
