"""WorldModelConfig: what a world model is made of, nested, and the sizes that follow from it.

C x h x w latents, N tokens a frame, V numbers of a token, D width, R registers, M = R + N, A actions, L temporal
blocks, G key/value heads, E head width, Q x U a memory entry, O numbers of a pose, Y layers of a latent frame.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.map_memory import MapMemoryConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.motion import PAST, MotionConfig
from worldsim.models.told_noise import ToldNoiseConfig
from worldsim.models.view_memory import KEY, ViewMemoryConfig


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
    """What a world model is made of; a part that a world doesn't need is None.

    Attributes:
        dit: sizes of the transformer.
        copy: candidates that the next frame may be copied from; None for its own place in the frame before alone.
        memory: of frames older than the window.
        view: a view that moves, sideways or over a map, with a memory of what it saw elsewhere.
        motion: a prior of how what moves goes on.
        told_noise: the network is told how noisy its context is.
        static_threshold: a cell that would change by less than this in a frame, root mean square of its standardised
            numbers, stays as it was, so that small errors don't add up over a thousand frames; 0 for none.
        latent_clip: no number of a generated latent is larger, so that errors don't feed themselves (static
            thresholding, Imagen, Saharia et al. 2022, section 2.3); 0 for no limit.
        latent_shape, actions, state: (C, h, w), A, and components of the exact state that is predicted in training: of
            the world, filled in by `fit`.
    """

    dit: DiTConfig = dataclasses.field(default_factory=DiTConfig)
    copy: CopyConfig | None = None
    memory: MemoryConfig | None = None
    view: ViewMemoryConfig | MapMemoryConfig | None = None
    motion: MotionConfig | None = None
    told_noise: ToldNoiseConfig | None = None
    static_threshold: float = 0.0
    latent_clip: float = 0.0
    latent_shape: tuple[int, int, int] = (0, 0, 0)
    actions: int = 0
    state: int = 0

    def __post_init__(self) -> None:
        dense = self.memory.retention[0][0] if self.memory and self.memory.retention[0][1] == 1 else 0
        if self.memory and not (self.memory.read_layers or self.view):
            raise WorldsimError("a memory that nothing reads: give memory.read_layers, or a view config")
        if self.view and not (dense and self.copy):
            raise WorldsimError("view takes a copy config, and a memory that keeps all of the newest frames")
        if self.motion and not (
            isinstance(self.view, ViewMemoryConfig) and self.copy and self.copy.refiner_width and dense >= PAST
        ):
            raise WorldsimError(
                f"motion takes a view, copy.refiner_width, and a memory of all of the newest {PAST} frames"
            )
        if self.copy and self.copy.shifts and self.copy.hidden_layer:
            raise WorldsimError("copy.shifts is of latents of one layer, copy.hidden_layer makes two")
        c, h, w = self.latent_shape
        if h % self.dit.patch_size[0] or w % self.dit.patch_size[1]:
            p, q = self.dit.patch_size
            raise WorldsimError(f"latents of {h}x{w} cells do not divide into tokens of {p}x{q}")
        if c % self.layers:
            raise WorldsimError(f"{c} latent channels do not divide into {self.layers} layers")
        if w and self.view:
            self.view.check(self.latent_shape)

    def fit(self, latent_shape: tuple[int, int, int], actions: int, state: int = 0) -> WorldModelConfig:
        """The same for a world of these latents, actions and state."""
        return dataclasses.replace(self, latent_shape=latent_shape, actions=actions, state=state)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> WorldModelConfig:
        """What `dataclasses.asdict` and JSON made of one.

        Raises:
            WorldsimError: if it is not of this version.
        """
        parts: dict[str, Any] = {"dit": DiTConfig, "copy": CopyConfig, "memory": MemoryConfig, "motion": MotionConfig}
        parts["view"], parts["told_noise"] = _view_config, ToldNoiseConfig
        try:
            fields = as_tuples(settings)
            return cls(**{k: parts[k](**v) if k in parts and v is not None else v for k, v in fields.items()})
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise WorldsimError(f"not a world model config of this version ({error})") from error

    @property
    def layers(self) -> int:
        """Y, one above the other in a latent frame: 2 with a hidden layer."""
        return 2 if self.copy and self.copy.hidden_layer else 1

    @property
    def token_grid(self) -> tuple[int, int]:
        """Tokens of a frame, (rows, columns)."""
        return self.latent_shape[1] // self.dit.patch_size[0], self.latent_shape[2] // self.dit.patch_size[1]

    @property
    def token_width(self) -> int:
        """V."""
        return self.latent_shape[0] * self.patch_cells

    @property
    def patch_cells(self) -> int:
        """Latent cells in a token."""
        return self.dit.patch_size[0] * self.dit.patch_size[1]

    @property
    def token_layout(self) -> tuple[int, int, int]:
        """Numbers of a token: (layers, channels of one layer, cells)."""
        return self.layers, self.latent_shape[0] // self.layers, self.patch_cells

    @property
    def entry_shape(self) -> tuple[int, int, int]:
        """Cache entry of one frame: (L, M, F = 2 G E), keys and values before rotation."""
        rows, columns = self.token_grid
        features = 2 * self.dit.kv_heads * self.dit.head_width
        return len(self.dit.temporal_layers), self.dit.registers + rows * columns, features

    @property
    def memory_shape(self) -> tuple[int, int] | None:
        """Memory entry of one frame: (Q, U), or None without memory."""
        if self.memory is None:
            return None
        rows, columns = self.token_grid
        numbers = 2 * len(self.memory.read_layers) * self.dit.head_width
        if self.view:
            numbers += KEY * self.view.places(self.dit.patch_size) + self.token_width
        return rows * columns, numbers

    @property
    def pose_width(self) -> int:
        """Numbers of the poses that go with a memory entry, 2 O; 0 without a view memory."""
        return 2 * self.view.pose_width if self.view else 0


def _view_config(**fields: Any) -> ViewMemoryConfig | MapMemoryConfig:
    return MapMemoryConfig(**fields) if "rows" in fields else ViewMemoryConfig(**fields)


def as_tuples(config: Any) -> Any:
    """A config as JSON gives it back, with tuples for its lists."""
    if isinstance(config, dict):
        return {key: as_tuples(value) for key, value in config.items()}
    return tuple(map(as_tuples, config)) if isinstance(config, list) else config
