"""`worldsim export`: a training run becomes a playable world, and a world one that is sampled otherwise. Chooses the
starts; worldsim.runtime.export does the rest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import tyro

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    from worldsim.data.windows import Windows
    from worldsim.models.autoencoder import Autoencoder
    from worldsim.models.world_model import WorldModel
    from worldsim.train.run import RunRecord

CANDIDATES = 8  # windows looked at for each start
MOST_SHOWN = 1000  # frames of a start


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Export a trained world: worldsim export runs/doom-maze --recording recordings/doom-maze --out worlds/doom-maze
    A world in more or fewer passes: worldsim export doom-maze --schedule 0 0.25 0.5 0.75 --out worlds/sharper-maze

    Attributes:
        run: folder of the training, with autoencoder.safetensors and dynamics.safetensors; or a generated world, which
            keeps its starts.
        out: folder of the world; an older world there is replaced.
        recording: what the run was trained on; the starts are from its held-out episodes.
        starts: how many places to begin at.
        seed: of the choice of starts.
        schedule: signal levels that the sampler visits, rising from 0 and below 1; those of the run's training if not
            given.
        temperature: of the noise that frames start from: above 1, rare events come more often; the run's own if not
            given. `worldsim eval` says whether events are as frequent as in the game.
        fresh_noise: whether every pass of the sampler takes noise of its own; as in the run's training if not given.
        ends: added to the logit that an episode ends, where the network predicts fewer ends than there are (prior
            correction, King and Zeng 2001); the run's own if not given.
        static_threshold: see `WorldModelConfig`; the run's own if not given.
        shown: frames of each start; as many as the run's recipe says, or as the world needs, if 0. More frames are a
            longer past to remember.
    """

    run: tyro.conf.Positional[Path]
    out: Path
    recording: Path | None = None
    starts: int = 12
    seed: int = 0
    schedule: tuple[float, ...] = ()
    temperature: float | None = None
    fresh_noise: bool | None = None
    ends: float | None = None
    static_threshold: float | None = None
    shown: int = 0


class Source(NamedTuple):
    """What is exported: the networks, the world, how it was played in training, and where play can begin.

    Attributes:
        frames: of the starts, uint8 `[n, T, H, W, 3]`. actions: int64 `[n, T-1]`. origin: of what was learned from.
    """

    autoencoder: Autoencoder
    dynamics: WorldModel
    spec: WorldSpec
    trained: RunRecord
    frames: np.ndarray
    actions: np.ndarray
    origin: Mapping[str, Any]


def export(config: ExportConfig) -> None:
    """Write the world and print how far its graphs are from torch.

    Raises:
        WorldsimError: for a run that is missing or cut, a recording of another world, or an `out` not to be written.
    """
    for module in ("torch", "onnx", "onnxscript"):
        require(module, "train")
    from worldsim.models.sampling import Sampling
    from worldsim.runtime.bundle import shipped_worlds
    from worldsim.runtime.export import export_bundle

    if not 1 <= config.starts <= 99 or config.seed < 0:
        raise WorldsimError("--starts must be from 1 to 99, and --seed can't be negative")
    if not 0 <= config.shown <= MOST_SHOWN:
        raise WorldsimError(f"--shown must be from 0 to {MOST_SHOWN}")
    generated = str(config.run) in shipped_worlds() or (config.run / "world.json").exists()
    source = of_world(config) if generated else of_run(config)
    dynamics, spec, trained = source.dynamics, source.spec, source.trained
    starts = source.frames, source.actions, source.origin
    if config.static_threshold is not None:
        if not config.static_threshold >= 0:
            raise WorldsimError(f"--static-threshold {config.static_threshold}: give 0 or more")
        dynamics.config = dataclasses.replace(dynamics.config, static_threshold=config.static_threshold)
    more_ends(dynamics, trained.ends if config.ends is None else config.ends)
    sampling = Sampling(
        config.schedule or trained.sampling.schedule,
        trained.sampling.temperature if config.temperature is None else config.temperature,
        trained.sampling.fresh_noise if config.fresh_noise is None else config.fresh_noise,
    )
    print(f"exporting {spec.name} to {config.out}; takes a minute or two", flush=True)
    print(export_bundle(config.out, source.autoencoder, dynamics, spec, *starts, sampling))
    print(f"Play it: python play.py --world {config.out}")


def of_world(config: ExportConfig) -> Source:
    """A generated world, with its own starts.

    Raises:
        WorldsimError: if it is not whole, or a recording is given too.
    """
    from worldsim.runtime.bundle import open_world
    from worldsim.runtime.torch import world_step
    from worldsim.train.run import RunRecord

    if config.recording is not None:
        raise WorldsimError(f"{config.run} is a generated world and keeps its starts; leave out --recording")
    bundle = open_world(str(config.run))
    step, starts = world_step(bundle), bundle.starts
    trained = RunRecord(sampling=bundle.sampling)
    return Source(
        step.autoencoder, step.world_model, bundle.spec, trained, starts.frames, starts.actions, bundle.origin
    )


def of_run(config: ExportConfig) -> Source:
    """What a training left, with starts from the recording.

    Raises:
        WorldsimError: if it is missing or cut, or its parts or the recording are of different worlds.
    """
    from worldsim.data.windows import start_windows
    from worldsim.models.retention import context
    from worldsim.train.checkpoint import load_autoencoder, load_world_model
    from worldsim.train.run import RunRecord

    autoencoder, world = load_autoencoder(config.run / "autoencoder.safetensors")
    dynamics, spec = load_world_model(config.run / "dynamics.safetensors")
    if config.recording is None:
        raise WorldsimError("give --recording, what the run was trained on: the starts are from there")
    recording = Recording(config.recording)
    for name, other in (("autoencoder", world), ("recording", recording.spec)):
        if other != spec:
            raise WorldsimError(
                f"the dynamics in {config.run} are of {spec.name!r} at {spec.width}x{spec.height}, the {name} is of "
                f"{other.name!r} at {other.width}x{other.height}, or with other actions or keys"
            )
    trained, memory = RunRecord.read(config.run), dynamics.config.memory
    shown = config.shown or trained.shown
    length = max(shown, context(dynamics.config.dit.window, memory.retention if memory else ()))
    windows = start_windows(recording, "held-out", length)
    choose = beginnings if trained.beginnings else choose_starts
    frames, actions = choose(recording, windows, config.starts, config.seed)
    origin = {**recording.origin, "frames": len(recording)}
    return Source(autoencoder, dynamics, spec, trained, frames, actions, origin)


def more_ends(dynamics: WorldModel, logit: float) -> None:
    """Add `logit` to the logit that an episode ends.

    Raises:
        WorldsimError: if it is not a number.
    """
    from worldsim.models.flow import REWARD_BINS

    if not math.isfinite(logit):
        raise WorldsimError(f"--ends {logit}: give a number; 0 is what the network says")
    dynamics.denoiser.outcome_out.bias.data[len(REWARD_BINS)] -= logit  # the logit that play goes on


def choose_starts(recording: Recording, windows: Windows, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of several windows drawn for each start, the one with the most detail in its last frame and the most change over
    its frames: play should not begin at a wall, nor with a past in which nothing was seen. The best come first.

    Returns:
        frames uint8 `[count, T, H, W, 3]` and actions int64 `[count, T-1]`.
    """
    from worldsim.data.windows import draw_rng

    chosen = []
    for start in range(count):
        drawn = draw_rng(seed, start).choice(windows.starts, CANDIDATES)[:, None] + np.arange(windows.length)
        chosen.append(max(((_shows(recording.frames[row[0] : row[-1] + 1]), row) for row in drawn), key=lambda c: c[0]))
    return _read(recording, [row for _, row in sorted(chosen, key=lambda c: -c[0])])


def _shows(frames: np.ndarray) -> float:
    """How much frames `[T, H, W, 3]` show: edges in the last, times how much every pixel changes."""
    edges = np.abs(cv2.Laplacian(frames[-1], cv2.CV_32F)).mean()
    return float(edges * frames.std(axis=0).mean())


def beginnings(recording: Recording, windows: Windows, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first frames of up to `count` held-out episodes, for a game that grows harder the longer it is played.

    Returns:
        what `choose_starts` does.
    """
    first = np.intersect1d(windows.starts, [start for start, _ in recording.episodes("held-out")])
    drawn = np.random.default_rng(seed).permutation(first)[:count]
    return _read(recording, list(drawn[:, None] + np.arange(windows.length)))


def _read(recording: Recording, chosen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    frames = np.stack([recording.frames[row[0] : row[-1] + 1] for row in chosen])
    return frames, np.stack([recording.actions[row[0] : row[-1]] for row in chosen]).astype(np.int64)
