"""What there is to do in a world: one line for its card in the gallery and for the help. Knows no window."""

from __future__ import annotations

from worldsim.runtime.bundle import Bundle


def goal_in_card(card: str) -> str:
    """The first block quote of a world's card.md, `> Lead the chicken across ten lanes of traffic.`; "" without one."""
    return next((line.removeprefix(">").strip() for line in card.splitlines() if line.startswith(">")), "")


def goal_of(world: Bundle) -> str:
    """What its card says there is to do; the names of its buttons, if the card says nothing."""
    return goal_in_card(world.card) or ", ".join(world.spec.keys)
