"""WorldSpec: what a world looks like and what can be done in it.

Defined once, by the real world; recordings and bundles carry a copy, so the window, the web page and Gymnasium read one
mapping. A copy may come from anywhere: what a spec says is bounded, its name can be a folder's, and its texts hold
nothing that commands a terminal. Knows nothing of models, files or windows.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
LARGEST_SIDE = 4096  # pixels
MOST = 4096  # actions, buttons, components of a state; combinations of keys
TEXT = 200  # characters of a title or of a name of an action, a button, a key or a component
SPARE_KEYS = tuple(f"Digit{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0)) + tuple(
    f"Key{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)  # for actions that nobody gave a key


def slug(name: str) -> str:
    """A world's name from any text, such as a Gymnasium id: `"ALE/Boxing-v5"` -> `"ale-boxing-v5"`."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64] or "world"


@dataclasses.dataclass(frozen=True)
class Action:
    """One discrete action: a name, and the buttons held down to choose it (none: the no-op)."""

    name: str
    buttons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class WorldSpec:
    """A world's frame, clock, actions and keys.

    Attributes:
        name: for example `"doom-maze"`: lower-case letters, digits, `.`, `_` and `-`, 64 at most (see `slug`).
        height, width: frame size in pixels, 4096 at most; frames are uint8 RGB `[height, width, 3]`.
        fps: frames a second at which play feels like the original.
        frame_skip: tics of the original world for one frame.
        actions: in the order of the action indices. Exactly one has no buttons.
        keys: button -> physical keys, any of which presses it; W3C `KeyboardEvent.code` names (`"ArrowUp"`, `"KeyW"`).
        state_names: names of the exact state's components, if the real world has one.
        title: for people.
    """

    name: str
    height: int
    width: int
    fps: float
    frame_skip: int
    actions: tuple[Action, ...]
    keys: Mapping[str, tuple[str, ...]]
    state_names: tuple[str, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and SLUG.fullmatch(self.name)):
            raise WorldsimError(
                f"{self.name!r} can't be a world's name: lower-case letters, digits, '.', '_' and '-', 64 at most"
            )
        self._check_texts()
        if not all(isinstance(n, int) and n > 0 for n in (self.height, self.width, self.frame_skip)):
            raise WorldsimError(f"world {self.name!r}: height, width and frame_skip must be positive integers")
        if max(self.height, self.width) > LARGEST_SIDE:
            raise WorldsimError(f"world {self.name!r}: frames have at most {LARGEST_SIDE} pixels a side")
        if not (self.fps > 0 and math.isfinite(self.fps)):
            raise WorldsimError(f"world {self.name!r}: fps must be a positive number")
        if [len(a.buttons) for a in self.actions].count(0) != 1:
            raise WorldsimError(f"world {self.name!r}: exactly one action must have no buttons")
        unknown = {b for a in self.actions for b in a.buttons} - set(self.keys)
        if unknown:
            raise WorldsimError(f"world {self.name!r}: buttons without keys: {sorted(unknown)}")
        strange = sorted({key for keys in self.keys.values() for key in keys} - set(SCANCODES))
        if strange:
            raise WorldsimError(
                f"world {self.name!r}: no physical key is called {strange[0]!r}; give KeyboardEvent.code names, as in "
                "ArrowUp, KeyW, Digit1, ShiftLeft, Comma"
            )
        if sum(math.prod(len(self.keys[b]) for b in a.buttons) for a in self.actions) > MOST:
            raise WorldsimError(f"world {self.name!r}: more than {MOST} combinations of keys choose an action")

    def _check_texts(self) -> None:
        """Many texts, long ones and ones with control characters are refused."""
        texts: Iterable[Any] = (
            self.title,
            *self.state_names,
            *(text for action in self.actions for text in (action.name, *action.buttons)),
            *(text for button, keys in self.keys.items() for text in (button, *keys)),
        )
        for text in texts:
            if not (isinstance(text, str) and len(text) <= TEXT and text.isprintable()):
                raise WorldsimError(
                    f"world {self.name!r}: {str(text)[:TEXT]!r} can't be a title or a name: printable text of at most "
                    f"{TEXT} characters"
                )
        for what, count in (("actions", self.actions), ("buttons", self.keys), ("state_names", self.state_names)):
            if len(count) > MOST:
                raise WorldsimError(f"world {self.name!r}: {len(count)} {what}; at most {MOST}")

    @property
    def noop(self) -> int:
        """Index of the no-op, the action without buttons."""
        return next(i for i, a in enumerate(self.actions) if not a.buttons)

    def action_for(self, held: Collection[str]) -> int:
        """The action with the most buttons among those pressed by the physical keys `held`; the first one on a tie."""
        pressed = {button for button, keys in self.keys.items() if any(k in held for k in keys)}
        fitting = [i for i, a in enumerate(self.actions) if set(a.buttons) <= pressed]
        return max(fitting, key=lambda i: len(self.actions[i].buttons))

    def action_index(self, name: str) -> int:
        """Index of an action by its name.

        Raises:
            WorldsimError: if the world has no such action.
        """
        names = [a.name for a in self.actions]
        if name not in names:
            raise WorldsimError(f"world {self.name!r} has no action {name!r}; it has {', '.join(names)}")
        return names.index(name)

    def key_combinations(self) -> dict[tuple[str, ...], int]:
        """Every combination of physical keys that chooses an action, for `get_keys_to_action`."""
        return {
            combination: index
            for index, action in enumerate(self.actions)
            for combination in itertools.product(*(self.keys[b] for b in action.buttons))
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` reads it back to an equal spec."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WorldSpec:
        """Read what `to_json` wrote.

        Raises:
            WorldsimError: if a field is missing, unknown or of the wrong kind.
        """
        try:
            fields = dict(data)
            fields["actions"] = tuple(Action(a["name"], tuple(a["buttons"])) for a in fields["actions"])
            fields["keys"] = {button: tuple(keys) for button, keys in fields["keys"].items()}
            fields["state_names"] = tuple(fields.get("state_names", ()))
            return cls(**fields)
        except WorldsimError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise WorldsimError(f"not a world spec: {error}") from error
