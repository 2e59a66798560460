"""The checkpoint of an unfinished PPO training: weights, optimizer and reward scale, without pickle. Knows no world."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from worldsim.errors import WorldsimError
from worldsim.train import checkpoint

SAVE_EVERY = 60.0  # seconds


def steps_done(path: Path) -> int:
    """Steps of the training whose checkpoint this is; 0 if there is none.

    Raises:
        WorldsimError: if the file is cut.
    """
    return int(checkpoint.read(path)[1]["steps"]) if path.exists() else 0


class PPOCheckpoint:
    """The checkpoint file of a training. If it exists, the model is restored from it.

    Args:
        path: of the file; None to keep none.
        model: a `stable_baselines3.PPO` on a `VecNormalize`.
        settings: plain JSON of everything that decides the result, except the number of steps.
        seed: of the training; a restored one continues with other random numbers than it began with.

    Attributes:
        seconds: of training before the restored checkpoint.

    Raises:
        WorldsimError: if the file is cut, or was written with other settings.
    """

    def __init__(self, path: Path | None, model: Any, settings: dict[str, Any], seed: int):
        self._path, self._model, self._saved_at = path, model, time.monotonic()
        self._settings = json.loads(json.dumps(settings))  # as the file returns it
        self.seconds = 0.0
        if path is not None and path.exists():
            self._restore(path, seed)

    def _restore(self, path: Path, seed: int) -> None:
        tensors, header = checkpoint.read(path)
        stored = header.get("settings", {})
        if stored != self._settings:
            differing = sorted(k for k in {*stored, *self._settings} if stored.get(k) != self._settings.get(k))
            raise WorldsimError(
                f"{path} was written with other settings ({', '.join(differing)}): remove it, or give another --out"
            )
        with torch.no_grad():
            for name, weight in self._model.policy.named_parameters():
                weight.copy_(tensors[f"policy.{name}"])
        checkpoint.restore_optimizer("optimizer", self._model.policy.optimizer, tensors)
        scale = self._model.get_vec_normalize_env().ret_rms
        scale.mean, scale.var, scale.count = (tensors[f"scale.{name}"].numpy() for name in ("mean", "var", "count"))
        self._model.num_timesteps, self.seconds = int(header["steps"]), float(header["seconds"])
        self._model.set_random_seed(seed + self._model.num_timesteps)  # not the same episodes again

    def save(self, seconds: float) -> None:
        """Write the file, if the last one is a minute old. To be called between two updates."""
        if self._path is None or time.monotonic() - self._saved_at < SAVE_EVERY:
            return
        scale = self._model.get_vec_normalize_env().ret_rms
        tensors = {f"policy.{name}": weight.detach().cpu() for name, weight in self._model.policy.named_parameters()}
        tensors |= checkpoint.optimizer_tensors("optimizer", self._model.policy.optimizer)
        tensors |= {f"scale.{name}": torch.as_tensor(getattr(scale, name)) for name in ("mean", "var", "count")}
        header = {"settings": self._settings, "steps": self._model.num_timesteps, "seconds": seconds}
        checkpoint.write(self._path, tensors, header)
        self._saved_at = time.monotonic()
