"""Other words for what Crafter's moments are told in. Data only.

Tools keep their names: their stone and iron are no rock and no ore.
"""

from __future__ import annotations

from worldsim.data.synonyms import Synonyms
from worldsim_envs.crafter.names import TOOLS

SYNONYMS = Synonyms(
    phrases={
        **{tool: (tool,) for tool in (name.replace("_", " ") for name in TOOLS)},
        "a meadow": ("a grass field", "a field of grass", "a green field"),
        "grassland": ("a grass field", "grass", "green fields"),
        "a beach": ("a sandy beach", "a shore"),
        "a cave": ("a cavern",),
        "a tunnel in the rock": ("a rock tunnel", "a tunnel through rock"),
        "water": ("a lake", "a pond"),
        "stone": ("rock", "rocks", "stones"),
        "coal": ("coal ore",),
        "iron": ("iron ore",),
        "a table": ("a crafting table", "a workbench"),
        "a tree": ("one tree",),
        "many trees": ("a forest", "a wood", "lots of trees"),
        "by day": ("during the day", "in daytime", "at daytime"),
        "in daylight": ("by daylight", "in bright daylight"),
        "at night": ("by night", "during the night", "at nighttime"),
        "in the dark": ("in darkness",),
        "at dusk": ("in the evening", "at sunset", "at twilight"),
        "as night falls": ("as it gets dark", "in the evening"),
        "at dawn": ("at sunrise", "as the sun rises"),
        "in the early morning": ("early in the morning", "as the sun rises"),
        "to the left": ("on the left", "at the left"),
        "to the right": ("on the right", "at the right"),
        "just": ("one step",),
        "the nearest": ("the closest",),
        "the player": ("the hero", "the person"),
        "asleep": ("sleeping",),
        "sleeps": ("is sleeping",),
        "faces": ("looks", "is facing"),
        "carried are": ("you carry", "we carry", "the player carries", "the player has"),
        "in the bag": ("in hand", "in the inventory", "carried are"),
        "nothing is carried": ("the bag is empty", "the inventory is empty"),
        "running out": ("low",),
    },
    joins=(", ", " with ", " and also "),
    contrasts=(
        ("a meadow", "a beach", "a cave"),
        ("by day", "at night"),
        ("in daylight", "in the dark"),
        ("left", "right"),
        ("above", "below"),
        ("cow", "zombie"),
        ("water", "lava"),
        ("carried are", "nothing is carried"),
    ),
)
