"""Pictures that an imaginer makes of prompts, each with the verdict of somebody who can read its world exactly: what
the two towers learn from to choose the best of several. Knows no world and no loss.

P prompts, E pictures of each, S tokens, V numbers of a token, C channels, h x w latents.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from worldsim import atomic
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_frames
from worldsim.models.flow import advance
from worldsim.models.video_dit import Tokens, places, to_latents
from worldsim.progress import ProgressBar
from worldsim.runtime.imagine import Imaginer
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
            z, frames = make_pictures(model, prompt.text, EACH, seed + i)
            seen = [list(prompt.seen(frame).values()) for frame in frames]
            texts.append(prompt.text)
            latents.append(z.half().cpu())
            grades.append(torch.tensor(np.mean(seen, 1), dtype=torch.float32))
    if not texts:
        raise WorldsimError("nobody can judge pictures of any of these prompts; ask for more: --prompts")
    return JudgedPictures(texts, torch.stack(latents), torch.stack(grades))


@torch.no_grad()
def make_pictures(model: Imaginer, text: str, count: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """Several pictures of one prompt at once: latents `[count, C, h, w]`, and uint8 frames `[count, H, W, 3]`."""
    rows, columns = model.cell
    extent = (1, SIZE[0] // rows, SIZE[1] // columns)
    guidance = model.defaults.guidance
    place, size = (x.to(model.device).expand(count, -1, -1) for x in places(extent))
    told, untold = (model.dit.text.tokens([t]).to(model.device).expand(count, -1)[:, None] for t in (text, ""))
    noisy = torch.randn(count, place.shape[1], model.dit.config.token_width, generator=_generator(seed))
    noisy = noisy.to(model.device)
    levels = np.arange(model.defaults.steps + 1) / model.defaults.steps
    with mixed_precision(model.device):
        for tau, following in itertools.pairwise(levels):
            level = noisy.new_full(noisy.shape[:2], tau)
            tokens = Tokens(noisy, place, size, level, torch.zeros_like(level, dtype=torch.bool))
            clean = model.dit(tokens, told)
            if guidance != 1:
                nothing_told = model.dit(tokens, untold)
                clean = nothing_told + guidance * (clean - nothing_told)
            noisy = advance(noisy, clean, float(tau), float(following))
        latents = to_latents(noisy, extent, model.dit.config.patch_size)
        frames = to_frames(model.autoencoder.decode(latents)[:, 0])
    return latents[:, 0], frames.cpu().numpy()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
