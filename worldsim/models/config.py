"""Sizes of the dynamics, and what follows from them. Knows no torch.

C x h x w latents, N tokens of a frame, R registers, D width, M = R + N, A actions, L trunk blocks that look back, G
key/value heads, E head width, Q memory tokens of a frame, U numbers that each leaves in the log.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.models.retention import Retention, check_retention

PANORAMA_KEY = 8  # width of a key of the panorama
PAST = 4  # frames by which inertia tells speed


@dataclasses.dataclass(frozen=True)
class WorldModelConfig:
    """Sizes of the transformer.

    Attributes:
        latent_shape: (C, h, w).
        actions: number of actions A; index A is the null action.
        state: components of the exact state that the head also learns to name, in training only; 0 for none.
        pack: latent cells (rows, columns) in one token.
        width: D. heads: query heads. kv_heads: G.
        depth: trunk blocks. look_back: which of them look back in time. head_depth: head blocks.
        copy_reach: how many cells away the head may copy a cell from, each way, where the view or a thing moves (as
            CDNA, Finn et al. 2016); 0 for none but its own place.
        cell_width: of the convolutions over single cells with which the head ends, so that what is small is learned for
            all places in a token at once; 0 for none. With a panorama they see the last two frames.
        registers: R tokens of a frame that stand for no place (Darcet et al. 2023).
        window: past frames a frame can see.
        memory: which older frames leave something in the log (`worldsim.models.retention`); () for none, and then no log.
        memory_pack: tokens (rows, columns) in one memory token.
        recall: trunk blocks before which the log is looked up; none if the panorama is enough.
            recall_heads: query heads there.
        pan: by how many cells the view may move sideways in a frame. With it the log keeps the cells of its frames and
            their places, and the head is shown what was there before, and may copy it (`worldsim.models.view_memory`); 0 for
            views that stand still or turn. It takes a memory whose newest frames are all there, a copy_reach, and no
            memory_pack.
        around: cells of a whole turn, where a view that turns is as a picture that moves sideways, and comes round; 0
            for one that never does.
        inertia: width of the convolutions that tell how what moves goes on (`worldsim.models.motion`), which the head may
            copy; 0 for none. It takes a pan and a cell_width.
        trust: by how much the head leans to copying that, in cells that aren't at the picture's edge, where the view
            stands still: a number that is added to the logits of its gates.
        pictures: in a latent frame, one above the other: 2 where the second is what is behind the first (see
            `worldsim.models.autoencoder`), from which the head may copy where something uncovers it, and 1 elsewhere.
        still: a cell that would change by less than this in a frame, root mean square of its standardised numbers,
            stays as it was, so that the small errors of a thousand frames don't add up; 0 for none.
        largest: no number of a generated latent is larger than this, so that what went wrong doesn't feed itself
            (static thresholding, Imagen, Saharia et al. 2022, section 2.3); 0 for no limit.
    """

    latent_shape: tuple[int, int, int]
    actions: int
    state: int = 0
    pack: tuple[int, int] = (2, 2)
    width: int = 256
    heads: int = 4
    kv_heads: int = 1
    depth: int = 6
    look_back: tuple[int, ...] = (1, 4)
    head_depth: int = 2
    copy_reach: int = 0
    cell_width: int = 0
    registers: int = 1
    window: int = 16
    memory: Retention = ()
    memory_pack: tuple[int, int] = (1, 1)
    recall: tuple[int, ...] = (2, 5)
    recall_heads: int = 2
    pan: int = 0
    around: int = 0
    inertia: int = 0
    trust: float = 0.0
    pictures: int = 1
    still: float = 0.0
    largest: float = 0.0

    def __post_init__(self) -> None:
        check_retention(self.memory)
        _, h, w = self.latent_shape
        if h % self.pack[0] or w % self.pack[1]:
            raise WorldsimError(f"latents of {h}x{w} cells do not divide into tokens of {self.pack[0]}x{self.pack[1]}")
        if any(size % pack for size, pack in zip(self.token_grid, self.memory_pack, strict=True)):
            raise WorldsimError(f"{self.token_grid} tokens do not divide into memory tokens of {self.memory_pack}")
        if self.memory and not (self.recall or self.pan):
            raise WorldsimError("a memory that nothing looks up: give recall some trunk blocks, or a pan")
        dense = bool(self.memory) and self.memory[0][1] == 1
        if self.pan and not (dense and self.copy_reach and self.memory_pack == (1, 1)):
            raise WorldsimError(
                f"pan {self.pan} takes a memory of all of the newest frames, a copy_reach of 1 or more, and a "
                "memory_pack of 1 and 1"
            )
        if self.pictures != 1 and not (self.pictures == 2 and self.copy_reach and self.latent_shape[0] % 2 == 0):
            raise WorldsimError(f"{self.pictures} pictures: 1, or 2 with a copy_reach and an even number of channels")
        if self.inertia and not (self.pan and self.cell_width and self.memory[0][0] >= PAST):
            raise WorldsimError(
                f"inertia {self.inertia} takes a pan, a cell_width and a memory of the newest {PAST} frames"
            )
        if self.around and not (self.pan and self.around >= w + 2 * self.pan):
            raise WorldsimError(f"around {self.around} takes a pan, and no more than a whole turn in view")

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> WorldModelConfig:
        """What `dataclasses.asdict` and JSON made of one. Settings that there are no more are left out if they were
        off, and refused otherwise."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**as_tuples({name: value for name, value in settings.items() if name in names or value}))

    @property
    def token_grid(self) -> tuple[int, int]:
        """Tokens of a frame, (rows, columns)."""
        return self.latent_shape[1] // self.pack[0], self.latent_shape[2] // self.pack[1]

    @property
    def token_width(self) -> int:
        """Numbers in a token."""
        return self.latent_shape[0] * self.pack[0] * self.pack[1]

    @property
    def cells(self) -> tuple[int, int, int]:
        """Numbers of a token: (pictures, those of one cell of one picture, cells)."""
        return self.pictures, self.latent_shape[0] // self.pictures, self.pack[0] * self.pack[1]

    @property
    def gates(self) -> int:
        """Gates of a token: one for each of its numbers, or one for each of its cells and each place to copy from."""
        if not self.copy_reach:
            return self.token_width
        places = (2 * self.copy_reach + 1) ** 2 + (2 * self.pan + 1 if self.pan else 0)
        places += self.pictures - 1 + bool(self.inertia)
        return places * self.pictures * self.pack[0] * self.pack[1]

    @property
    def found_width(self) -> int:
        """Numbers that a token is shown of the panorama: columns of cells, its own and those beside, and whether
        there was something in each."""
        return (self.latent_shape[0] * self.pack[0] + 1) * (self.pack[1] + 2 * self.pan) if self.pan else 0

    @property
    def earlier_width(self) -> int:
        """Numbers that a token is shown of the frame before the last: those that the panorama keeps, where there are
        layers over single cells to see by them how fast a thing moves."""
        return self.token_width if self.pan and self.cell_width else 0

    @property
    def onward_width(self) -> int:
        """Numbers that a token is shown of how what moves goes on, and the chance that the view stands still."""
        return self.token_width + 1 if self.inertia else 0

    @property
    def place_width(self) -> int:
        """Numbers that say where the view is: P of `worldsim.models.view_memory`, and 1 where there is none."""
        return 3 if self.around else 1

    @property
    def entry_shape(self) -> tuple[int, int, int]:
        """Cache entry of one frame: (L, M, 2 G E), keys and values before rotation."""
        rows, columns = self.token_grid
        return len(self.look_back), self.registers + rows * columns, 2 * self.kv_heads * self.width // self.heads

    @property
    def log_shape(self) -> tuple[int, int] | None:
        """What one frame leaves in the log: (Q, U), or None without memory."""
        (rows, columns), (p, q), head_width = self.token_grid, self.memory_pack, self.width // self.heads
        left = 2 * len(self.recall) * head_width
        if self.pan:  # keys and cells, and where the view was and went
            left += PANORAMA_KEY * self.pack[1] + self.token_width + 2 * self.place_width
        return (rows * columns // (p * q), left) if self.memory else None


def as_tuples(config: Any) -> Any:
    """A config as JSON gives it back, with tuples for its lists."""
    if isinstance(config, dict):
        return {key: as_tuples(value) for key, value in config.items()}
    return tuple(map(as_tuples, config)) if isinstance(config, list) else config
