"""A running game of Crafter: the package's own rules and picture, faster, exact under its seed, and saved as JSON.

Crafter keeps a chunk's creatures in a set and picks the one to vanish by its place there, which is the object's address
in memory; here it is picked in the order of the world's objects. The order of everything else is Crafter's.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError, require
from worldsim_envs.crafter.names import ACTIONS, ITEMS, STATE, TILE

crafter = require("crafter", "crafter")  # before what needs it
from crafter import engine, objects, worldgen  # noqa: E402

from worldsim_envs.crafter.noise import Noise  # noqa: E402

AREA = (64, 64)
VIEW = (9, 9)  # tiles, with the two rows of the inventory
AWAKE = 2 * max(VIEW)  # steps from the player: things farther away stand still
BALANCED = 10  # steps after which creatures appear and vanish
SPARE = ("world", "random", "player", "pos")  # of an object: what all share, and what is saved by itself
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (objects.Player, objects.Cow, objects.Zombie, objects.Skeleton, objects.Arrow, objects.Plant)
}
LAYERS = ((8, 3, 3), (3, 15, 15), (3, 5, 5), (0, 15, 15), (0, 5, 5), (6, 7, 7), (1, 8, 8), (2, 6, 6), (6, 5, 5),
          (4, 9, 9), (5, 7, 7))  # z and sizes of the noise that the world is generated from  # fmt: skip


class Game(crafter.Env):  # type: ignore[name-defined]
    """Crafter's environment with `begin` for its `reset`, and with its parts replaced where they are slow.

    Args:
        height, width: of the frames in pixels.
    """

    def __init__(self, height: int, width: int):
        super().__init__(area=AREA, view=VIEW, size=(width, height), seed=0)
        self._local_view = LocalView(self._world, self._textures, [VIEW[0], VIEW[1] - 2])
        self._item_view = ItemView(self._textures, [VIEW[0], 2])
        self.frame: np.ndarray | None = None

    def begin(self, seed: int) -> None:
        """A new world, all of whose chance comes from the seed, 0 to 2**31 - 1."""
        self._step = 0
        self._unlocked: set[str] = set()
        self._world.reset(seed)
        self._update_time()
        self._player = objects.Player(self._world, (AREA[0] // 2, AREA[1] // 2))
        self._last_health = self._player.health
        self._world.add(self._player)
        _generate(self._world, self._player)
        self._draw()

    def act(self, action: int) -> float:
        """One step; the reward is 0.1 for each point of health won or lost, and 1 for something achieved first."""
        player = self._player
        self._step += 1
        self._update_time()
        player.action = ACTIONS[action]
        for thing in self._world.objects:
            (x, y), (px, py) = thing.pos.tolist(), player.pos.tolist()
            if abs(x - px) + abs(y - py) < AWAKE:
                thing.update()
        if self._step % BALANCED == 0:
            order = {thing: index for index, thing in enumerate(self._world.objects)}
            for chunk, creatures in self._world.chunks.items():
                self._balance_chunk(chunk, sorted(creatures, key=order.__getitem__))
        self._draw()
        reward = (player.health - self._last_health) / 10
        self._last_health = player.health
        unlocked = {name for name, count in player.achievements.items() if count} - self._unlocked
        self._unlocked |= unlocked
        return float(reward + bool(unlocked))

    @property
    def over(self) -> bool:
        """Whether the player is dead."""
        return bool(self._player.health <= 0)

    def reseed(self, seed: int) -> None:
        """Go on with other chance."""
        self._world.random.seed(seed)

    def info(self) -> dict[str, np.ndarray]:
        """The exact state, see `crafter_spec`; the tiles in view, and those of the whole world, uint8 `[y, x]`."""
        player, world = self._player, self._world
        tiles = world._mat_map.copy()
        for thing in world.objects:
            name = type(thing).__name__.lower()
            tiles[tuple(thing.pos)] = TILE["ripe plant" if name == "plant" and thing.ripe else name]
        x, y = player.pos.tolist()
        view = _crop(tiles, x, y, VIEW[0], VIEW[1] - 2).T
        state = np.array(
            [
                *(x, y, *player.facing, player.sleeping, world.daylight, self._step),
                *(player._hunger, player._thirst, player._fatigue, player._recover),
                *player.inventory.values(),
                *player.achievements.values(),
                *view.ravel(),
            ],
            np.float32,
        )
        assert len(state) == len(STATE), (len(state), len(STATE))
        return {"state": state, "semantic": view.copy(), "map": tiles.T.copy()}

    def save(self) -> bytes:
        """Everything there is now, as JSON."""
        world = self._world
        things = [
            [type(thing).__name__, thing.pos, {k: v for k, v in vars(thing).items() if k not in SPARE}]
            for thing in world.objects
        ]
        saved = {
            "steps": self._step,
            "materials": base64.b64encode(world._mat_map.tobytes()).decode(),
            "objects": things,
            "chunks": list(world.chunks),
            "last_health": self._last_health,
            "unlocked": sorted(self._unlocked),
            "chance": self._chance,
        }
        return json.dumps(saved, default=lambda value: value.tolist()).encode()

    def restore(self, saved: bytes) -> None:
        """Go on where `save` was called.

        Raises:
            WorldsimError: for anything that `save` did not give; then nothing is changed.
        """
        try:
            state = json.loads(saved)
            world, player = _world(state)
            steps, last_health, unlocked = int(state["steps"]), state["last_health"], set(state["unlocked"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, AssertionError) as error:
            raise WorldsimError("not a saved state of Crafter: give restore() what save() gave") from error
        self._world, self._player, self._step = world, player, steps
        self._last_health, self._unlocked = last_health, unlocked
        self._update_time()
        self._local_view = LocalView(world, self._textures, [VIEW[0], VIEW[1] - 2])
        self._draw()

    def _draw(self) -> None:
        """Draw the frame, whose noise at night is of the world's own chance."""
        self._chance = self._world.random.get_state(legacy=False)
        self.frame = self.render()


class LocalView(engine.LocalView):
    """The map about the player: Crafter's own picture, drawn from tiles that are made once."""

    def __init__(self, world: Any, textures: Any, grid: list[int]):
        super().__init__(world, textures, grid)
        self._tiles: dict[tuple[int, str | None, int, int], np.ndarray] = {}

    def __call__(self, player: Any, unit: np.ndarray) -> np.ndarray:
        """The picture `[x, y, 3]` with tiles of `unit` pixels."""
        (columns, rows), (x, y), (w, h) = self._grid.tolist(), player.pos.tolist(), unit.tolist()
        world = self._world
        materials, indices = (_crop(layer, x, y, columns, rows).tolist() for layer in (world._mat_map, world._obj_map))
        canvas = np.empty((columns * w, rows * h, 3), np.uint8)
        for i in range(columns):
            for j in range(rows):
                thing = world._objects[indices[i][j]]
                tile = self._tile(materials[i][j], thing.texture if thing else None, w, h)
                canvas[i * w : (i + 1) * w, j * h : (j + 1) * h] = tile
        lit = self._light(canvas, world.daylight)
        return self._sleep(lit) if player.sleeping else lit

    def _tile(self, material: int, texture: str | None, width: int, height: int) -> np.ndarray:
        key = material, texture, width, height
        if key not in self._tiles:
            unit = np.array([width, height])
            tile = np.full((width, height, 3), 127, np.uint8)
            if material:
                engine._draw(tile, (0, 0), self._textures.get(self._world._mat_names[material], unit))
            if texture:
                engine._draw_alpha(tile, (0, 0), self._textures.get(texture, unit))
            self._tiles[key] = tile
        return self._tiles[key]


class ItemView(engine.ItemView):
    """The inventory: Crafter's own picture, drawn when it changes."""

    def __init__(self, textures: Any, grid: list[int]):
        super().__init__(textures, grid)
        self._last: tuple[Any, np.ndarray] | None = None

    def __call__(self, inventory: dict[str, int], unit: np.ndarray) -> np.ndarray:
        """The picture `[x, y, 3]` with tiles of `unit` pixels."""
        shown = *inventory.values(), *unit.tolist()
        if self._last is None or self._last[0] != shown:
            self._last = shown, super().__call__(inventory, unit)
        return self._last[1]


def _crop(layer: np.ndarray, x: int, y: int, columns: int, rows: int) -> np.ndarray:
    """A part `[columns, rows]` of a map `[x, y]` about a place; zeros outside."""
    left, top = x - columns // 2, y - rows // 2
    part = np.zeros((columns, rows), layer.dtype)
    x0, y0 = max(left, 0), max(top, 0)
    inside = layer[x0 : left + columns, y0 : top + rows]
    part[x0 - left : x0 - left + inside.shape[0], y0 - top : y0 - top + inside.shape[1]] = inside
    return part


def _generate(world: Any, player: Any) -> None:
    """Crafter's world generation, with its noise computed at once."""
    noise = Noise(world.random.randint(0, 2**31 - 1))
    xs, ys = (axis.ravel().astype(float) for axis in np.meshgrid(*map(np.arange, world.area), indexing="ij"))
    layers = [(xs / width, ys / height, z) for z, width, height in LAYERS]
    layers += [(2 * xs / 3, ys / 5 / 3, 7), (xs / 5 / 3, 2 * ys / 3, 7)]  # the tunnels
    noise.prepare(np.concatenate([[x, y, np.full(len(x), z)] for x, y, z in layers], axis=1))
    tunnels = np.zeros(world.area, bool)
    for place in np.ndindex(*world.area):
        worldgen._set_material(world, place, player, tunnels, noise)
    for place in np.ndindex(*world.area):
        worldgen._set_object(world, place, player, tunnels)


def _world(state: dict[str, Any]) -> tuple[Any, Any]:
    """The world that was saved, and its player."""
    world = engine.World(AREA, list(crafter.constants.materials), (12, 12))
    world._mat_map[:] = np.frombuffer(base64.b64decode(state["materials"]), np.uint8).reshape(AREA)
    for chunk in state["chunks"]:
        world._chunks[tuple(chunk)]  # a defaultdict: this makes it, in its order
    player = None
    for kind, pos, values in state["objects"]:
        thing = KINDS[kind].__new__(KINDS[kind])
        thing.world, thing.random, thing.pos = world, world.random, np.array(pos)
        if "facing" in values:
            values["facing"] = (tuple if kind == "Player" else np.array)(values["facing"])
        vars(thing).update(values)
        if kind == "Player":
            player = thing
        elif kind in ("Zombie", "Skeleton"):
            thing.player = player
        world.add(thing)
    assert player is not None and list(player.inventory) == list(ITEMS)
    chance = state["chance"]
    chance["state"]["key"] = np.array(chance["state"]["key"], np.uint32)
    world.random.set_state(chance)
    return world, player
