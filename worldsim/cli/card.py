"""`worldsim card`: a world's card from the reports of `worldsim eval`, `worldsim bench` and, if its memory was judged,
`worldsim eval permanence`. Measures nothing itself."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tyro
from rich.console import Console

from worldsim.errors import WorldsimError
from worldsim.evals.section import Figure
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.viewer.goal import goal_in_card

COMMANDS = {
    "eval": "worldsim eval {} --recording ...",
    "permanence": "worldsim eval permanence --world {}",
    "bench": "worldsim bench {}",
}
STRIPS = (("fidelity", 1), ("drift", 1), ("turn", 0))  # of the report, on the card
STRIP_BYTES = 300_000
WIDEST = 1200  # pixels


@dataclasses.dataclass(frozen=True)
class CardConfig:
    """Write a world's card.md from its reports: worldsim card doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        reports: where `worldsim eval`, `worldsim bench` and `worldsim eval permanence` wrote; `reports/NAME` if not
            given.
    """

    world: tyro.conf.Positional[str]
    reports: Path | None = None


@dataclasses.dataclass(frozen=True)
class Weakness:
    """A figure that says something against the world when it is beyond a limit.

    Attributes:
        figure: its key. least, most: the world is weak below or above.
        text: what to say, with `{}` for the figure.
    """

    figure: str
    text: str
    least: float = -math.inf
    most: float = math.inf


WEAKNESSES = (
    Weakness(
        "fidelity.gain_16",
        "After 16 frames a free run is only {} closer to what really came than a still picture.",
        least=1.0,
    ),
    Weakness(
        "fidelity.gain_64",
        "After 64 frames a free run is no longer what really came ({} over a still picture).",
        least=1.0,
    ),
    Weakness("drift.detail", "Long runs are blurred: {} of the real high-frequency energy.", least=0.9),
    Weakness("drift.detail", "Long runs are grainy: {} of the real high-frequency energy.", most=1.15),
    Weakness("drift.broken", "{} of the long runs stay in a view with little in it.", most=0.0),
    Weakness("drift.palette", "Colours shift in long runs (palette distance {}).", most=0.1),
    Weakness("motion.ghosts", "The counter changes with nothing to count ({}).", most=0.02),
    Weakness(
        "actions.agreement_of_ceiling", "Keys are not always followed ({} of what real frames allow).", least=0.97
    ),
    Weakness("stillness.psnr_300", "With no key pressed the picture drifts ({} after 300 frames).", least=32.0),
)


def card(config: CardConfig) -> None:
    """Write `card.md` and `strip.png` into the world's folder.

    Raises:
        WorldsimError: if a report is missing or of other weights, or the folder can't be written to.
    """
    bundle = open_world(config.world)
    folder = config.reports or Path("reports") / bundle.spec.name
    kinds = ("eval", "permanence", "bench") if (folder / "permanence.json").exists() else ("eval", "bench")
    reports = {kind: _read(folder, kind, bundle, config.world) for kind in kinds}
    picture = _picture([folder / file for file in _files(reports["eval"])])
    try:
        if picture:
            _replace(bundle.path / "strip.png", picture)
        _replace(bundle.path / "card.md", _card(bundle, reports, bool(picture)).encode())
    except OSError as error:
        raise WorldsimError(f"can't write the card into {bundle.path}: {error.strerror or error}") from error
    Console(highlight=False).print(f"wrote {bundle.path / 'card.md'}", soft_wrap=True)


def _card(bundle: Bundle, reports: Mapping[str, Any], picture: bool) -> str:
    spec = bundle.spec
    verdicts = [verdict for report in reports.values() for verdict in report["targets"]]
    lines = [f"# {spec.title or spec.name}", ""]
    if goal := goal_in_card(bundle.card):  # written by hand, and kept
        lines += [f"> {goal}", ""]
    if picture:
        lines += ["![Real frames above generated ones, then a long free run](strip.png)", ""]
    lines += [
        f"A generated world: no game engine draws it. {spec.width}x{spec.height} pixels, {spec.fps:g} frames a second; "
        f"actions: {', '.join(action.name for action in spec.actions)}. Play it: `worldsim play --world {spec.name}`.",
        "",
        "## Where it comes from",
        "",
        *(f"- {name}: {value}" for name, value in bundle.origin.items() if not isinstance(value, dict)),
        "",
        "## Size",
        "",
        *_table(("part", "weights"), [(name, f"{count / 1e6:.2f} M") for name, count in _parameters(bundle).items()]),
        f"Latents {' x '.join(map(str, bundle.sizes.latents))}; it sees {bundle.sizes.window} frames back"
        + (f", and remembers {bundle.sizes.retention[-1][0]:,}" if bundle.sizes.retention else "")
        + (". It was taught what is behind the picture as well" if bundle.sizes.layers == 2 else "")
        + f". Weights `{bundle.digest[:12]}`.",
        "",
        "## Targets",
        "",
        *_table(
            ("figure", "reached", "wanted", ""),
            [(v["label"], v["reached"], v["wanted"], "met" if v["met"] else "**missed**") for v in verdicts],
        ),
        "## Known weaknesses",
        "",
        *(f"- {text}" for text in _weaknesses(verdicts, reports) or ["None that these figures show."]),
        "",
        "## Figures",
        "",
    ]
    for report in reports.values():
        facts = report["facts"]
        lines += [
            f"`{facts['command']}`, {facts['date']}" + (f"; {facts['machine']}" if "machine" in facts else "") + ".",
            "",
        ]
        if "recording" in facts:
            lines += [f"Recording: {facts['recording']}.", ""]
        for section in report["sections"]:
            figures = [_figure(data) for data in section["figures"]]
            lines += [f"### {section['title']}", "", section["method"], ""]
            lines += _table(("figure", "value", "beside"), [(f.label, f.text(), f.reference) for f in figures])
            lines += [line for note in section["notes"] for line in (note, "")]
    return "\n".join(lines).rstrip() + "\n"


def _weaknesses(verdicts: list[dict[str, Any]], reports: Mapping[str, Any]) -> list[str]:
    missed = [v for v in verdicts if not v["met"]]
    texts = [f"Target missed: {v['label']}: {v['reached']}, wanted {v['wanted']}." for v in missed]
    stated = {v["key"] for v in missed}
    figures = {
        data["key"]: _figure(data)
        for report in reports.values()
        for section in report["sections"]
        for data in section["figures"]
    }
    for weakness in WEAKNESSES:
        figure = figures.get(weakness.figure)
        if figure is None or weakness.figure in stated:
            continue
        if not weakness.least <= figure.value <= weakness.most and math.isfinite(figure.value):
            texts.append(weakness.text.format(figure.text()))
    return texts


def _read(folder: Path, kind: str, bundle: Bundle, world: str) -> dict[str, Any]:
    again = COMMANDS[kind].format(world)
    path = folder / f"{kind}.json"
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        weights = report["facts"]["weights"]
    except FileNotFoundError as error:
        raise WorldsimError(f"there is no {path}. Run: {again}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldsimError(f"{path} is not a report ({error}). Run: {again}") from error
    if weights != bundle.digest:
        raise WorldsimError(f"{path} is of other weights ({weights[:12]}, not {bundle.digest[:12]}). Run: {again}")
    return report


def _figure(data: Mapping[str, Any]) -> Figure:
    value = float("nan") if data["value"] is None else data["value"]
    interval = None if data["interval"] is None or None in data["interval"] else tuple(data["interval"])
    return Figure(data["key"], data["label"], value, data["unit"], interval, data["reference"])


def _files(report: Mapping[str, Any]) -> list[str]:
    strips = {section["name"]: section["strips"] for section in report["sections"]}
    return [strips[name][i]["file"] for name, i in STRIPS if i < len(strips.get(name, ()))]


def _picture(files: list[Path]) -> bytes:
    """The strips one below the other as a PNG of at most `STRIP_BYTES`; nothing if there is none."""
    strips = [strip for strip in (cv2.imread(str(path)) for path in files) if strip is not None]
    if not strips:
        return b""
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(s, ((0, 6), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips]
    picture = np.concatenate(padded)
    scale = min(1.0, WIDEST / width)
    while True:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        ok, data = cv2.imencode(".png", small, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        assert ok
        if len(data) <= STRIP_BYTES:
            return data.tobytes()
        scale *= 0.85


def _parameters(bundle: Bundle) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, weight in bundle.weights().items():
        part = name.split(".")[0] if not name.startswith("autoencoder.") else ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + weight.size
    return {**counts, "all": sum(counts.values())}


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    cells = [columns, ("---",) * len(columns), *rows]
    return [*("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells), ""]


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)
