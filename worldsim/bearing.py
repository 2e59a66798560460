"""The bearing: in what direction a place of the view lies, so that what was seen there is looked for there.

Where actions turn the view by a fixed angle, as a player's head, a thing that left the picture is in the same direction
still when the view has come round. So the log keeps where the view headed, and keys and queries of the recall turn with
the direction of their token (rotary, as poses in WorldMem, Xiao et al. 2025). By how much each action turns is read off
the recorded headings.

M tokens of a frame with its registers, E head width, A actions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError

WIDE = 1.2  # radians that the view is wide, before it is learned
HARMONICS = 8  # the finest one comes round every 45 degrees
SAME = 0.1  # of a step: turns that differ by no more are the same


class Bearing(nn.Module):
    """Rotary angles by direction.

    Args:
        turn: steps of a whole turn.
        columns: of tokens. rows: of them. registers: tokens before them, which lie straight ahead.
        first: channel pairs before those that turn. pairs: E / 2, of them all.
        actions: A.
    """

    def __init__(self, turn: int, rows: int, columns: int, registers: int, first: int, pairs: int, actions: int):
        super().__init__()
        self.turn = turn
        self.wide = nn.Parameter(torch.tensor(WIDE))
        # Steps to the left that each action turns the view by; none for the null action. See `learn_moves`.
        self.register_buffer("moves", torch.zeros(actions + 1))
        harmonics = torch.zeros(pairs)
        harmonics[first : first + HARMONICS] = torch.arange(1, HARMONICS + 1)[: pairs - first]
        self.register_buffer("harmonics", harmonics, persistent=False)
        aside = ((torch.arange(columns) + 0.5) / columns - 0.5).repeat(rows)
        self.register_buffer("aside", torch.cat([torch.zeros(registers), aside]), persistent=False)

    def forward(self, heading: Tensor) -> Tensor:
        """Headings in steps to the left, int64 `[...]` -> angles `[..., M, E / 2]`."""
        bearing = heading.float()[..., None] * (2 * math.pi / self.turn) - self.aside * self.wide
        return bearing[..., None] * self.harmonics

    def learn_moves(self, headings: Tensor, actions: Tensor) -> None:
        """Read off how much each action turns the view: changes of the heading `[N]`, radians to the left, and the
        actions that came with them, int64 `[N]`.

        Raises:
            WorldsimError: if an action turns by no whole number of steps.
        """
        steps = torch.remainder(headings + math.pi, 2 * math.pi).sub(math.pi) * (self.turn / (2 * math.pi))
        for action in actions.unique().tolist():
            turned = steps[actions == action]
            self.moves[action] = turned.mean().round()
            most = (turned - self.moves[action]).abs().amax()
            if most > SAME:
                raise WorldsimError(
                    f"turn {self.turn}: action {action} turns the view by no fixed number of steps, but by up to "
                    f"{float(most):.2f} of one more or less than {float(self.moves[action]):.0f}"
                )
