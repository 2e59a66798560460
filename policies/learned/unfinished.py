"""A training of Stable-Baselines3's PPO that is not finished, on disk: weights, optimizer, scale of rewards. No pickle.

Knows no world.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from worldsim.errors import WorldsimError
from worldsim.train import checkpoint

EVERY = 60.0  # seconds between two


def frames_played(path: Path) -> int:
    """Of the training whose file this is; 0 if there is none.

    Raises:
        WorldsimError: if it is cut.
    """
    return int(checkpoint.read(path)[1]["steps"]) if path.exists() else 0


class Unfinished:
    """The file of a training, read if it is there.

    Args:
        path: of the file; None to keep nothing.
        model: a `stable_baselines3.PPO` in a `VecNormalize`; set to where the file left it.
        settings: plain JSON of everything that decides the result, except the number of steps.
        seed: of the worlds and the draws from there on.

    Attributes:
        seconds: of training until then.

    Raises:
        WorldsimError: if the file is cut, or of other settings.
    """

    def __init__(self, path: Path | None, model: Any, settings: dict[str, Any], seed: int):
        self._path, self._model, self._saved = path, model, time.monotonic()
        self._settings = json.loads(json.dumps(settings))  # as the file gives it back
        self.seconds = 0.0
        if path is None or not path.exists():
            return
        tensors, header = checkpoint.read(path)
        if header.get("settings") != self._settings:
            theirs = header.get("settings", {})
            differing = sorted(k for k in {*theirs, *self._settings} if theirs.get(k) != self._settings.get(k))
            raise WorldsimError(
                f"{path} is of other settings ({', '.join(differing)}): remove it, or give another --out"
            )
        with torch.no_grad():
            for name, weight in model.policy.named_parameters():
                weight.copy_(tensors[f"policy.{name}"])
        checkpoint.restore_optimizer("optimizer", model.policy.optimizer, tensors)
        scale = model.get_vec_normalize_env().ret_rms
        scale.mean, scale.var, scale.count = (tensors[f"scale.{name}"].numpy() for name in ("mean", "var", "count"))
        model.num_timesteps, self.seconds = int(header["steps"]), float(header["seconds"])
        model.set_random_seed(seed + model.num_timesteps)  # not the same episodes once more

    def save(self, seconds: float) -> None:
        """Write the file, if it is time again. Between two updates, not in one."""
        if self._path is None or time.monotonic() - self._saved < EVERY:
            return
        scale = self._model.get_vec_normalize_env().ret_rms
        tensors = {f"policy.{name}": weight.detach().cpu() for name, weight in self._model.policy.named_parameters()}
        tensors |= checkpoint.optimizer_tensors("optimizer", self._model.policy.optimizer)
        tensors |= {f"scale.{name}": torch.as_tensor(getattr(scale, name)) for name in ("mean", "var", "count")}
        header = {"settings": self._settings, "steps": self._model.num_timesteps, "seconds": seconds}
        checkpoint.write(self._path, tensors, header)
        self._saved = time.monotonic()
