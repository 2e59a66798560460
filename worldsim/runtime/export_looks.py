"""Export of looks: a trained restyler -> a graph, weights and a manifest, checked against torch. Knows no training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from worldsim.errors import WorldsimError
from worldsim.models.restyle import FACTOR, Restyle, Restyler
from worldsim.runtime.export import GraphSource, export_graph
from worldsim.runtime.looks import LOOKS, Looks, write_looks

TOLERANCE = 1.0  # levels of 255 between ONNX Runtime and torch: one rounding


def export_looks(
    out: Path, restyler: Restyler, world: str, native: str, phrases: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> int:
    """Write the looks of a world, whole or not at all.

    Args:
        out: the folder; older looks there are replaced.
        restyler: trained; not changed.
        world: its name. native: the look that it shows by itself.
        phrases: how a text asks for each look, in lower case.

    Returns:
        Bytes of all files.

    Raises:
        WorldsimError: if the graph differs from torch, or `out` can't be written.
    """
    stored = {name: weight.half().cpu().contiguous().numpy() for name, weight in restyler.state_dict().items()}
    rounded = copy.deepcopy(restyler).cpu().eval()
    rounded.load_state_dict({name: torch.from_numpy(weight).float() for name, weight in stored.items()})
    module = Restyle(rounded)
    named = {f"restyler.{name}": weight for name, weight in stored.items()}
    with LOOKS.staging(out) as folder:
        looks = native, *restyler.config.looks
        told = {look: phrases[look] for look in looks if look in phrases}
        write_looks(folder, world, looks, told, export_graph(_source(module), named.keys()), named)
        far = _difference(module, Looks(folder))
        if far > TOLERANCE:
            raise WorldsimError(
                f"the exported looks differ from torch by {far:g} levels; nothing written. Update torch"
            )
    return sum(path.stat().st_size for path in out.iterdir() if path.is_file())


def _source(module: Restyle) -> GraphSource:
    """Any number of frames of any size in whole cells."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    rows, columns = (torch.export.Dim(name, min=2, max=1024) for name in ("rows", "columns"))
    frames = torch.zeros(2, 8 * FACTOR, 12 * FACTOR, 3, dtype=torch.uint8)
    dynamic = ({0: batch, 1: FACTOR * rows, 2: FACTOR * columns}, {0: batch})
    return GraphSource(module, (frames, torch.zeros(2, dtype=torch.int64)), dynamic, ["frames", "look"], ["drawn"])


def _difference(module: Restyle, looks: Looks) -> float:
    """Largest difference of a pixel, over all looks and two sizes."""
    rng, worst = np.random.default_rng(0), 0
    for height, width in ((24, 40), (64, 64)):
        frames = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        for i, look in enumerate(looks.names[1:]):
            with torch.no_grad():
                expected = module(torch.from_numpy(frames), torch.full((2,), i)).numpy()
            worst = max(worst, int(np.abs(expected.astype(int) - looks.draw(frames, look)).max()))
    return float(worst)
