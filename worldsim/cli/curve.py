"""`worldsim curve`: how quality grows with frames seen and with size, from the curves of runs, and what it promises."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from worldsim.cli.reporting import say_written
from worldsim.errors import WorldsimError, require
from worldsim.evals.files import json_bytes, write_files
from worldsim.evals.report import plain_json
from worldsim.evals.scaling import Law, fit_law
from worldsim.evals.section import Curves
from worldsim.evals.terminal import wide_console

DAY = 86_400  # seconds
EARLY = 0.03  # of a run: warm-up, which follows no law
POINTS = 64  # of a drawn law


@dataclasses.dataclass(frozen=True)
class CurveConfig:
    """Fit a law to runs of several lengths and sizes: worldsim curve runs/maze-a runs/maze-b --rate 20000

    Attributes:
        runs: folders of trainings of one world.
        out: where the plot and the numbers go.
        figure: which of the dynamics' curves is the error; it has to fall towards zero.
        rate: frames a second of the machine that a day is promised of, as `worldsim bench train` measures it; 0 for
            no promise.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = Path("reports/curve")
    figure: str = "held_out_next_frame"
    rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class RunCurve:
    """One run: its name, how many weights its dynamics have, and its error after so many frames, `[n]` each."""

    name: str
    weights: int
    frames: np.ndarray
    error: np.ndarray


def curve(config: CurveConfig) -> None:
    """Write `curve.png` and `curve.json`, and print the law.

    Raises:
        WorldsimError: for a run without such a curve, too few points, or a package that is missing.
    """
    require("matplotlib", "eval")
    for module in ("torch", "tensorboard"):
        require(module, "train")
    from worldsim.evals.plots import plot

    if not config.runs or not 0 <= config.rate < float("inf"):
        raise WorldsimError("name one run or more, and give --rate in frames a second, or 0")
    runs = [read_run(folder, config.figure) for folder in config.runs]
    together = [np.concatenate(parts) for parts in zip(*map(_points, runs), strict=True)]
    law = fit_law(*together)
    day = config.rate * DAY
    largest = max(run.weights for run in runs)
    promise = float(law(largest, day)) if day else None
    console = wide_console()
    console.print(f"{law}; off by {law.off:.1%} at {len(together[0])} points")
    if promise is not None:
        console.print(f"after a day at {config.rate:g} frames a second ({day / 1e6:,.0f} M): {promise:.4g}")
    numbers = {
        "figure": config.figure,
        "law": dataclasses.asdict(law),
        "runs": [{"name": r.name, "weights": r.weights, "frames": r.frames, "error": r.error} for r in runs],
        "day": {"frames": day, "error": promise} if day else None,
    }
    files = {"curve.png": plot(drawn(runs, law, day, config.figure)), "curve.json": json_bytes(plain_json(numbers))}
    say_written(write_files(config.out, files), console)


def read_run(folder: Path, figure: str) -> RunCurve:
    """The curve of one run.

    Raises:
        WorldsimError: if the folder has no such curve or no dynamics.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from worldsim.train.checkpoint import load_world_model, read

    model, _ = load_world_model(folder / "dynamics.safetensors")
    settings = read(folder / "dynamics.checkpoint")[1]["config"]
    events = EventAccumulator(str(folder / "curves" / "dynamics"))
    events.Reload()
    tag = f"dynamics/{figure}"
    known = sorted(name.removeprefix("dynamics/") for name in events.Tags()["scalars"])
    if figure not in known:
        raise WorldsimError(f"{folder} has no curve {figure!r}; it has {', '.join(known) or 'none'}")
    steps, error = (np.array([getattr(e, x) for e in events.Scalars(tag)], float) for x in ("step", "value"))
    frames = steps * frames_a_step(settings)
    late = steps > EARLY * steps.max()
    return RunCurve(folder.name, sum(p.numel() for p in model.parameters()), frames[late], error[late])


def frames_a_step(settings: dict[str, Any]) -> float:
    """How many frames a training's step predicts, by its settings; the mean of steps of several lengths."""
    usual = settings["batch"] * (settings["length"] - 1)
    long_clips = settings.get("long_clips")
    if not long_clips:
        return float(usual)
    longer, every = long_clips["batch"] * (long_clips["length"] - 1), long_clips["every"]
    return float((longer + (every - 1) * usual) / every)


def drawn(runs: list[RunCurve], law: Law, day: float, figure: str) -> Curves:
    """The runs and the law of each size, as far as the day goes."""
    lines: dict[str, tuple[np.ndarray, ...]] = {run.name: (run.frames / 1e6, run.error) for run in runs}
    least, most = min(run.frames.min() for run in runs), max([day, *(run.frames.max() for run in runs)])
    frames = np.geomspace(least, most, POINTS)
    for weights in sorted({run.weights for run in runs}):
        lines[f"law, {weights / 1e6:.1f} M weights"] = (frames / 1e6, law(weights, frames))
    marks = {"a day": day / 1e6} if day else {}
    return Curves(str(law), "million frames seen", figure.replace("_", " "), lines, log_x=True, marks=marks)


def _points(run: RunCurve) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.full(len(run.frames), float(run.weights)), run.frames, run.error
