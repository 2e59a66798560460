"""What Crafter's actions, tiles, items and achievements are called, and in which order. Needs no game.

A tile is known by its index in `TILES`: what stands on the ground counts, not the ground below it.
"""

from __future__ import annotations

MATERIALS = ("outside", "water", "grass", "stone", "path", "sand", "tree", "lava", "coal", "iron", "diamond", "table",
             "furnace")  # fmt: skip
OBJECTS = ("player", "cow", "zombie", "skeleton", "arrow", "plant", "ripe plant")
TILES = (*MATERIALS, *OBJECTS)
TILE = {name: index for index, name in enumerate(TILES)}

ACTIONS = ("noop", "move_left", "move_right", "move_up", "move_down", "do", "sleep", "place_stone", "place_table",
           "place_furnace", "place_plant", "make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe",
           "make_wood_sword", "make_stone_sword", "make_iron_sword")  # fmt: skip
ACTION = {name: index for index, name in enumerate(ACTIONS)}

VITALS = ("health", "food", "drink", "energy")
TOOLS = ("wood_pickaxe", "stone_pickaxe", "iron_pickaxe", "wood_sword", "stone_sword", "iron_sword")
ITEMS = (*VITALS, "sapling", "wood", "stone", "coal", "iron", "diamond", *TOOLS)

ACHIEVEMENTS = ("collect_coal", "collect_diamond", "collect_drink", "collect_iron", "collect_sapling", "collect_stone",
                "collect_wood", "defeat_skeleton", "defeat_zombie", "eat_cow", "eat_plant", "make_iron_pickaxe",
                "make_iron_sword", "make_stone_pickaxe", "make_stone_sword", "make_wood_pickaxe", "make_wood_sword",
                "place_furnace", "place_plant", "place_stone", "place_table", "wake_up")  # fmt: skip

ROWS, COLUMNS = 7, 9  # tiles in view; the player stands on the middle one
BODY = ("x", "y", "facing_x", "facing_y", "sleeping", "daylight", "steps", "hunger", "thirst", "fatigue", "recover")
STATE = (
    *BODY,
    *ITEMS,
    *ACHIEVEMENTS,
    *(f"tile_{row}_{column}" for row in range(ROWS) for column in range(COLUMNS)),
)

# What the rules ask for. Collecting: the tile -> what is won, the tool it needs, and the tile that is left. Placing and
# making: what it uses; placing: onto which tiles; making: what must be within one step, also diagonally.
COLLECT = {
    "tree": ("wood", "", "grass"),
    "stone": ("stone", "wood_pickaxe", "path"),
    "coal": ("coal", "wood_pickaxe", "path"),
    "iron": ("iron", "stone_pickaxe", "path"),
    "diamond": ("diamond", "iron_pickaxe", "path"),
    "water": ("drink", "", "water"),
    "grass": ("sapling", "", "grass"),  # one time in ten
}
USES = {
    "place_stone": {"stone": 1},
    "place_table": {"wood": 2},
    "place_furnace": {"stone": 4},
    "place_plant": {"sapling": 1},
    "make_wood_pickaxe": {"wood": 1},
    "make_stone_pickaxe": {"wood": 1, "stone": 1},
    "make_iron_pickaxe": {"wood": 1, "coal": 1, "iron": 1},
    "make_wood_sword": {"wood": 1},
    "make_stone_sword": {"wood": 1, "stone": 1},
    "make_iron_sword": {"wood": 1, "coal": 1, "iron": 1},
}
ONTO = {
    "place_stone": ("grass", "sand", "path", "water", "lava"),
    "place_table": ("grass", "sand", "path"),
    "place_furnace": ("grass", "sand", "path"),
    "place_plant": ("grass",),
}
NEARBY = {f"make_{tool}": ("table", "furnace") if tool.startswith("iron") else ("table",) for tool in TOOLS}
WALKABLE = ("grass", "path", "sand")
