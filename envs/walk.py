"""The six actions of worlds seen by a walking player: stand, forward, turn, and both at once.

Knows no world: the length of a step and the angle of a turn are each world's own.
"""

from __future__ import annotations

from worldsim.spec import Action

ACTIONS = (
    Action("stand"),
    Action("forward", ("forward",)),
    Action("turn-left", ("left",)),
    Action("turn-right", ("right",)),
    Action("forward+left", ("forward", "left")),
    Action("forward+right", ("forward", "right")),
)
STAND, FORWARD, LEFT, RIGHT, FORWARD_LEFT, FORWARD_RIGHT = range(len(ACTIONS))
KEYS = {"forward": ("ArrowUp", "KeyW"), "left": ("ArrowLeft", "KeyA"), "right": ("ArrowRight", "KeyD")}
# Left turns (-1: one to the right) and whether to walk, for each action.
MOVES = tuple((("left" in a.buttons) - ("right" in a.buttons), int("forward" in a.buttons)) for a in ACTIONS)
