"""TorchRuntime: the same modules that are exported, run by torch. The reference, the trainer's way to play, and the
fast way to play many rows at once."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from worldsim.device import has_compiler, mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.history import History
from worldsim.models.step import Decode, Encode, Prefill, Remember, WorldStep
from worldsim.models.world_model import WorldModel
from worldsim.runtime.base import Device, StepOutput
from worldsim.runtime.bundle import BUNDLE, Bundle, Sizes, Starts
from worldsim.spec import WorldSpec


class TorchRuntime:
    """A `worldsim.runtime.base.Runtime` made of torch modules.

        session = Session(TorchRuntime(WorldStep(autoencoder, dynamics), spec))

    Args:
        step: the networks, on the device where they shall run; they are switched to evaluation mode.
        spec: the world.
        digest: names the weights; worked out from them if not given.
        starts: where play can begin.
        mixed: make products in bfloat16 where the processor has it, and compile the step where there is a compiler, so
            that the first one takes a minute: for many rows. Frames differ from the reference by a few levels of 255.

    Raises:
        WorldsimError: if the networks are not of the world's frame size or number of actions.
    """

    def __init__(
        self, step: WorldStep, spec: WorldSpec, digest: str = "", starts: Starts | None = None, mixed: bool = False
    ):
        config = step.world_model.config
        if step.autoencoder.config.latent_shape(spec.height, spec.width) != config.latent_shape:
            raise WorldsimError(f"these networks do not make frames of {spec.width}x{spec.height}")
        if config.actions != len(spec.actions):
            raise WorldsimError(f"these networks know {config.actions} actions; {spec.name!r} has {len(spec.actions)}")
        self.spec, self.digest, self.starts = spec, digest or weights_digest(step), starts
        self.sizes = sizes_of(step)
        self._step, self._prefill = step.eval(), Prefill(step.world_model)
        self._remember = Remember(step.world_model)
        self._encode, decode = Encode(step.autoencoder), Decode(step.autoencoder)
        self._device = step.world_model.encoder.registers.device
        self._precision = _mixed_and_quiet if mixed else contextlib.nullcontext
        compiled = mixed and has_compiler()
        if compiled and config.motion:  # PyTorch 2.13 fails to compile it ("vr must not be None for symbol")
            motion = step.world_model.motion
            motion.forward = torch.compiler.disable(motion.forward)  # type: ignore[method-assign]
        self._compiled_step, self._decode = (torch.compile(part) if compiled else part for part in (self._step, decode))

    @classmethod
    def of_bundle(cls, bundle: Bundle, device: Device = "auto", mixed: bool = False) -> TorchRuntime:
        """The networks of a bundle, in float32, or with `mixed` as that says.

        Raises:
            WorldsimError: if `device` is "cuda" and there is none.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise WorldsimError("torch sees no CUDA GPU. Give --device cpu, or auto.")
        step = world_step(bundle).to("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        return cls(step, bundle.spec, bundle.digest, bundle.starts, mixed)

    @torch.inference_mode()
    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames -> latents, see `Runtime`."""
        with self._precision():
            flat = self._encode(self._tensor(frames).flatten(0, 1))
        return flat.unflatten(0, frames.shape[:2]).float().cpu().numpy()

    @torch.inference_mode()
    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Latents -> frames, see `Runtime`."""
        with self._precision():
            flat = self._decode(self._tensor(latents).flatten(0, 1))
        return flat.unflatten(0, latents.shape[:2]).cpu().numpy()

    @torch.inference_mode()
    def prefill(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Known frames -> cache entries, see `Runtime`."""
        with self._precision():
            return self._prefill(self._tensor(latents), self._tensor(actions)).cpu().numpy()

    @torch.inference_mode()
    def remember(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Memory entries of known frames, see `Runtime`."""
        made = self._remember(self._tensor(before), self._tensor(after), self._tensor(actions))
        return tuple(output.cpu().numpy() for output in made)

    @torch.inference_mode()
    def step(self, history: History, latents: np.ndarray, actions: np.ndarray, noise: np.ndarray) -> StepOutput:
        """The next frame, see `Runtime`."""
        known = (array for array in history if array is not None)
        inputs = [self._tensor(array) for array in (latents, actions, noise, *known)]
        with self._precision():
            return StepOutput(*(output.cpu().numpy() for output in self._compiled_step(*inputs)))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, device=self._device)  # a copy: the caller's arrays are read-only


def world_step(bundle: Bundle) -> WorldStep:
    """The networks of a bundle as modules, in float32 and evaluation mode.

    Raises:
        WorldsimError: if its weights do not fit its configs.
    """
    try:
        weights = {name: torch.from_numpy(weight) for name, weight in bundle.weights().items()}
        with torch.device("meta"):  # allocates nothing, whatever the configs say
            shapes = {name: weight.shape for name, weight in _untrained_step(bundle).state_dict().items()}
        if differing := sorted(n for n in {*shapes, *weights} if n not in weights or weights[n].shape != shapes.get(n)):
            raise ValueError(f"{len(differing)} weights differ, {differing[0]} the first")
        step = _untrained_step(bundle)
        step.load_state_dict(weights)
        if sizes_of(step) != bundle.sizes:
            raise ValueError("the sizes of the arrays differ")
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WorldsimError(f"{bundle.path}: weights and configs do not fit ({reason}). {BUNDLE.way_out}") from error
    return step.eval()


def _untrained_step(bundle: Bundle) -> WorldStep:
    autoencoder = Autoencoder(AutoencoderConfig.from_json(bundle.configs["autoencoder"]))
    world_model = WorldModel(WorldModelConfig.from_json(bundle.configs["world_model"]))
    return WorldStep(autoencoder, world_model, bundle.sampling)


def sizes_of(step: WorldStep) -> Sizes:
    """What a runtime needs to know of a model's arrays."""
    config = step.world_model.config
    return Sizes(
        draws=step.sampling.draws,
        window=config.dit.window,
        latents=config.latent_shape,
        layers=config.layers,
        entry=config.entry_shape,
        retention=config.memory.retention if config.memory else (),
        memory=config.memory_shape,
        pose=config.pose_width,
    )


def weights_digest(step: WorldStep) -> str:
    """A name for the weights of a module, of 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, weight in step.state_dict().items():
        digest.update(name.encode() + weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _mixed_and_quiet() -> Iterator[None]:
    """Without the compiler's warnings of what it mixes."""
    with mixed_precision(), warnings.catch_warnings(action="ignore"):
        yield
