"""What the status bar says of a world being played: one line about how play goes, and facts. Draws nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from worldsim.viewer import theme
from worldsim.viewer.commands import Command
from worldsim.viewer.drift import DRIFTING
from worldsim.viewer.keys import label
from worldsim.viewer.player import Player, View
from worldsim.viewer.status import Status

NOTICED = 8.0  # seconds for which a notice is shown


def status_of(player: Player, view: View | None, name: str, keys: Mapping[Command, str]) -> Status:
    """How play goes.

    Args:
        player, view: what is played.
        name: of the world.
        keys: of the window's commands.
    """
    notice, said_at = player.notice
    if player.replaying:
        done, frames = player.replaying
        return Status(f"Playing the file again, {done:,} of {frames:,} frames", theme.DIM)
    if view is None:
        return Status(f"Opening {name} …", theme.DIM)
    if player.rewinding:
        return Status(f"Rewinding, {_behind(player, view):.1f} s back", theme.WARNING)
    if notice and time.monotonic() < said_at + NOTICED:
        return Status(notice, theme.ACCENT)
    if player.paused:
        return Status(_paused(player, view, keys), theme.WARNING)
    if view.drift is not None and view.drift >= DRIFTING:
        words = f"Drifting: unlike anything learned. {cap(keys, 'nearest')} begins at the nearest start"
        return Status(words, theme.WARNING)
    return _running(player, view, keys)


def facts_of(player: Player, view: View, smooth: bool) -> list[str]:
    """Facts about the moment shown, the most important last."""
    facts = [] if view.action is None else [player.spec.actions[view.action].name]
    if abs(view.reward) >= 0.05:
        facts.append(f"reward {view.reward:.1f}")
    if view.marks:
        facts.append(f"bookmarks {len(view.marks)}")
    if view.branches:
        facts.append(f"branches {view.branches}")
    if player.speed != 1:
        facts.append("full speed" if player.speed == math.inf else f"speed {player.speed:g}")
    place = "own frames" if view.start is None else f"start {view.start}"
    return [*facts, "smooth" if smooth else "crisp", place, f"frame {view.index}"]


def _paused(player: Player, view: View, keys: Mapping[Command, str]) -> str:
    back = _behind(player, view)
    if view.strange:
        return f"Unlike anything learned. {cap(keys, 'pause')} plays it all the same"
    if view.ended:
        return f"The end. {cap(keys, 'restart')} begins again, {cap(keys, 'rewind')} goes back"
    if back:
        return f"Paused {back:.1f} s back. {cap(keys, 'pause')} goes on from here"
    return f"Paused. {cap(keys, 'pause')} goes on, {cap(keys, 'step')} makes one frame"


def _running(player: Player, view: View, keys: Mapping[Command, str]) -> Status:
    if player.agent:
        return Status(f"The agent plays. {cap(keys, 'agent')} or a key of the world takes over", theme.ACCENT)
    if view.fps is None:
        return Status("Playing", theme.DIM)
    if player.keeps_up:
        return Status(f"{view.fps:.1f} fps", theme.ACCENT)
    wanted = player.spec.fps * player.speed
    return Status(f"{view.fps:.1f} of {wanted:g} fps: this machine is too slow", theme.WARNING)


def _behind(player: Player, view: View) -> float:
    """Seconds from the moment shown to the end of its line."""
    return (view.length - 1 - view.position) / player.spec.fps


def cap(keys: Mapping[Command, str], command: Command) -> str:
    """What is on the cap of a command's key; "" if it has none."""
    return label(keys.get(command, ""))
