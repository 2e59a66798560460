"""The toy room in plain words: what is there and where, in several lengths and phrasings. Knows no pixels.

    caption(room, "medium", phrasing=1)     "There are a red ball and a blue block; the red ball is behind the screen."

A caption is true of hidden things too. Deterministic: the arguments choose everything.
"""

from __future__ import annotations

from collections import Counter

from worldsim.evals.permanence.scene import COLOURS, SHAPES
from worldsim_envs.toybox.room import (
    BOX,
    BOX_HEIGHT,
    BOX_WIDTH,
    CUP_HEIGHT,
    CUP_WIDTH,
    FIRST_CUP,
    LID_STEPS,
    NOWHERE,
    SCREEN_STEPS,
    Cover,
    Room,
    Toy,
)
from worldsim_envs.toybox.view import GROUND, SCREEN_STEP

LENGTHS = ("short", "medium", "long")
PHRASINGS = 4
NAMES = {"ball": "ball", "box": "block", "cone": "cone", "cross": "cross"}  # the box is another thing here
SIZES = {4.0: "small", 5.0: "", 6.0: "big"}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
HIDDEN = ("in the closed box", "under a cup", "behind the screen", "behind the box", "behind a cup")
OUT = ("out of sight to the left", "out of sight to the right")
LIT = {"day": "it is day", "night": "it is night", "ink": "all is drawn in ink", "pastel": "all is in pastel"}


def caption(room: Room, length: str = "medium", phrasing: int = 0) -> str:
    """The room in words.

    Args:
        length: one of `LENGTHS`. "short" names the toys of the view, also the hidden ones; "medium" adds where they are
            hidden, held or moving; "long" adds size and side, what is out of sight, screen, box, cups, hand and light.
        phrasing: 0 to PHRASINGS - 1.
    """
    assert length in LENGTHS and 0 <= phrasing < PHRASINGS, (length, phrasing)
    here = sorted((toy for toy in room.toys if where(room, toy) not in OUT), key=lambda toy: toy.x)
    long = length == "long"
    alike = Counter(_name(toy, long) for toy in here)
    named = _list([f"a {name}" if count == 1 else f"{NUMBERS[count]} {_plural(name)}" for name, count in alike.items()])
    opening = (
        f"{named or 'no toys'}",
        f"there {'is' if len(here) == 1 else 'are'} {named or 'no toys'}",
        f"you can find {named or 'no toys'} here",
        f"{NUMBERS[len(here)]} {'toy' if len(here) == 1 else 'toys'}" + (f": {named}" if here else ""),
    )[phrasing]
    clauses = [opening]
    if length != "short":
        clauses += [clause for toy in here if (clause := _clause(room, toy, long, phrasing))]
    if long:
        clauses += _rest(room, phrasing)
    joined = "; ".join(clauses) if phrasing % 2 == 0 else ". ".join(c[0].upper() + c[1:] for c in clauses)
    return joined if phrasing == 0 else joined[0].upper() + joined[1:] + "."


def where(room: Room, toy: Toy) -> str:
    """Where a toy is: "in the hand", one of `HIDDEN` or `OUT`, "in the box", "in the air" or "on the floor"."""
    if 0 <= room.held < BOX and room.toys[room.held] is toy:
        return "in the hand"
    if toy.x + toy.radius <= room.camera:
        return OUT[0]
    if toy.x - toy.radius >= room.camera + room.view:
        return OUT[1]
    box_in_front = room.held == BOX  # what is carried is nearer than the screen
    if toy.inside == BOX and room.lid == LID_STEPS and (box_in_front or not _behind_screen(room, toy)):
        return HIDDEN[0]
    if toy.inside >= FIRST_CUP:
        return HIDDEN[1]
    if _behind_screen(room, toy) and not (toy.inside == BOX and box_in_front):
        return HIDDEN[2]
    if toy.inside == BOX:
        return "in the box"
    if _behind(toy, room.box, BOX_WIDTH, BOX_HEIGHT - 3):
        return HIDDEN[3]
    if any(_behind(toy, cup, CUP_WIDTH, CUP_HEIGHT - 3.5) for cup in room.cups):
        return HIDDEN[4]
    return "in the air" if toy.height > 0 else "on the floor"


def _behind_screen(room: Room, toy: Toy) -> bool:
    """Whether the toy is hidden by the screen completely."""
    across = room.screen_x <= toy.x - toy.radius and toy.x + toy.radius <= room.screen_x + room.screen_width
    return across and SCREEN_STEP * room.screen >= GROUND - toy.height


def _behind(toy: Toy, cover: Cover, width: float, height: float) -> bool:
    across = abs(toy.x - cover.x) <= width / 2 - toy.radius
    return toy.inside == NOWHERE and across and toy.height >= cover.height and toy.top <= cover.height + height


def _name(toy: Toy, long: bool) -> str:
    size = SIZES.get(toy.radius, "") if long else ""
    return " ".join(word for word in (size, COLOURS[toy.colour], NAMES[SHAPES[toy.shape]]) if word)


def _clause(room: Room, toy: Toy, long: bool, phrasing: int) -> str:
    """The clause about one toy; "" if there is nothing to say."""
    place, name = where(room, toy), _name(toy, long)
    if place in (*HIDDEN, "in the box", "in the hand"):
        if place == "in the hand":
            return (f"the {name} is in the hand", f"the hand holds the {name}")[phrasing % 2]
        if place in HIDDEN and phrasing == 3:
            return f"the {name} is hidden {place}"
        return f"the {name} is {place}" if phrasing < 2 else f"{place} is the {name}"
    if toy.vx:
        return f"the {name} is {'rolling' if phrasing < 2 else 'moving'} to the {'right' if toy.vx > 0 else 'left'}"
    if toy.vy:
        return f"the {name} is {'bouncing' if SHAPES[toy.shape] == 'ball' else 'falling'}"
    if long:
        third = (toy.x - room.camera) / room.view * 3
        return f"the {name} is {('on the left', 'in the middle', 'on the right')[min(max(int(third), 0), 2)]}"
    return ""


def _rest(room: Room, phrasing: int) -> list[str]:
    """Everything but the toys of the view."""
    clauses = []
    for toy in room.toys:
        if (place := where(room, toy)) in OUT:
            name = _name(toy, long=True)
            clauses.append(f"the {name} is {place}" if phrasing < 2 else f"{place} is the {name}")
    if _in_view(room, room.screen_x, room.screen_x + room.screen_width):
        screen = "up" if room.screen == 0 else "down" if room.screen == SCREEN_STEPS else "half down"
        clauses.append(f"the screen is {screen}")
    if _in_view(room, room.box.x - BOX_WIDTH / 2, room.box.x + BOX_WIDTH / 2):
        lid = "open" if room.lid == 0 else "closed" if room.lid == LID_STEPS else "half open"
        clauses.append(f"the box is {lid}" if phrasing % 2 == 0 else f"the box's lid is {lid}")
    cups = sum(_in_view(room, cup.x - CUP_WIDTH / 2, cup.x + CUP_WIDTH / 2) for cup in room.cups)
    if cups:
        clauses.append(f"there {'is' if cups == 1 else 'are'} {NUMBERS[cups]} cup{'s' if cups > 1 else ''}")
    if room.held == NOWHERE:
        clauses.append("the hand is empty")
    elif room.held >= BOX:
        clauses.append(f"the hand holds {'the box' if room.held == BOX else 'a cup'}")
    return [*clauses, LIT[room.look]]


def _in_view(room: Room, left: float, right: float) -> bool:
    return right > room.camera and left < room.camera + room.view


def _plural(name: str) -> str:
    return name + ("es" if name.endswith("s") else "s")


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else ""
