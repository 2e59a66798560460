"""`worldsim card`: a world's card from its reports: of `worldsim eval`, `worldsim bench` and, if its memory was
measured, `worldsim eval permanence`. Measures nothing itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import tyro

from worldsim.cli.reporting import report_folder, say_written
from worldsim.errors import WorldsimError
from worldsim.evals.card import UNKNOWN_TRAINING, card_json, card_markdown
from worldsim.evals.files import json_bytes, write_files
from worldsim.evals.report import Report, read_report, strip_file
from worldsim.evals.terminal import wide_console
from worldsim.png import encode_png
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.safe_read import read_json, read_png
from worldsim.viewer.goal import goal_in_card

COMMANDS = {
    "eval": "worldsim eval {} --recording ...",
    "permanence": "worldsim eval permanence --world {}",
    "bench": "worldsim bench {}",
}
STRIPS = (("fidelity", 1), ("drift", 1), ("turn", 0))  # of the evaluation's report, on the card
STRIP_BYTES = 300_000
WIDEST = 1200  # pixels


@dataclasses.dataclass(frozen=True)
class CardConfig:
    """Write a world's card.md and card.json from its reports: worldsim card doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        reports: where `worldsim eval`, `worldsim bench` and `worldsim eval permanence` wrote; `reports/NAME` if not
            given.
        training: a sentence on whether the recipe reproduces the weights; by default what the existing card of the same
            weights states.
    """

    world: tyro.conf.Positional[str]
    reports: Path | None = None
    training: str = ""


def card(config: CardConfig) -> None:
    """Write `card.md`, `card.json` and `strip.png` into the world's folder.

    Raises:
        WorldsimError: if a report is missing, broken or of other weights, or the folder can't be written to.
    """
    bundle = open_world(config.world)
    folder = report_folder(config.reports, bundle.spec.name)
    kinds = ("eval", "permanence", "bench") if (folder / "permanence.json").exists() else ("eval", "bench")
    reports = {kind: _read(folder, kind, bundle, config.world) for kind in kinds}
    training = config.training or _stated_training(bundle)
    picture = _picture([folder / strip_file("eval", name, i) for name, i in STRIPS])
    files = {
        **({"strip.png": picture} if picture else {}),
        "card.json": json_bytes(card_json(bundle, reports, training)),
        "card.md": card_markdown(bundle, reports, training, bool(picture), goal_in_card(bundle.card)).encode(),
    }
    say_written(write_files(bundle.path, files), wide_console())


def _read(folder: Path, kind: str, bundle: Bundle, world: str) -> Report:
    way_out = f"Run: {COMMANDS[kind].format(world)}"
    path = folder / f"{kind}.json"
    report = read_report(path, way_out)
    weights = report.facts["weights"]
    if weights != bundle.digest:
        raise WorldsimError(f"{path} is of other weights ({weights[:12]}, not {bundle.digest[:12]}). {way_out}")
    return report


def _stated_training(bundle: Bundle) -> str:
    """What the existing card states of the same weights."""
    try:
        found = read_json(bundle.path / "card.json", "")
    except WorldsimError:
        return UNKNOWN_TRAINING
    stated = found.get("training") if found.get("weights") == bundle.digest else None
    return stated if isinstance(stated, str) else UNKNOWN_TRAINING


def _picture(files: list[Path]) -> bytes:
    """The strips one below the other as a PNG of at most `STRIP_BYTES`; nothing if there is none."""
    strips = [read_png(path, "Run worldsim eval again.") for path in files if path.exists()]
    if not strips:
        return b""
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 6), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    picture = np.concatenate(padded)
    scale = min(1.0, WIDEST / width)
    while True:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        data = encode_png(small)
        if len(data) <= STRIP_BYTES:
            return data
        scale *= 0.85
