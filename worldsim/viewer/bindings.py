"""Keys of the user's own choice, from a JSON file. Knows no window.

    {"window": {"pause": "KeyO"},
     "worlds": {"doom-maze": {"forward": ["KeyI", "ArrowUp"]}}}

Commands are those of `commands.KEYS`, buttons those of the world, keys W3C `KeyboardEvent.code` names.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.safe_read import read_json
from worldsim.spec import WorldSpec
from worldsim.viewer.commands import KEYS, RESERVED, Command

LIMIT = 1 << 20  # bytes
WAY_OUT = "Mend or remove it; docs/play.md shows what it may hold."


@dataclasses.dataclass(frozen=True)
class Bindings:
    """Chosen keys.

    Attributes:
        commands: the key of every command of the window.
        worlds: by world and button, the keys that press it.
    """

    commands: Mapping[Command, str] = dataclasses.field(default_factory=lambda: dict(KEYS))
    worlds: Mapping[str, Mapping[str, tuple[str, ...]]] = dataclasses.field(default_factory=dict)

    def applied(self, spec: WorldSpec) -> WorldSpec:
        """The world with the chosen keys.

        Raises:
            WorldsimError: for a button that it hasn't.
        """
        chosen = self.worlds.get(spec.name, {})
        unknown = sorted(set(chosen) - set(spec.keys))
        if unknown:
            raise WorldsimError(
                f"keys for {unknown[0]!r} of {spec.name!r}, which has no such button; it has {', '.join(spec.keys)}"
            )
        return dataclasses.replace(spec, keys={**spec.keys, **chosen})


def config_folder() -> Path:
    """Where the user keeps settings of programs, and worldsim its own in a folder there."""
    if sys.platform == "win32":
        parent = Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library/Application Support"
    else:
        parent = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return parent / "worldsim"


def load_bindings(path: Path | None = None) -> Bindings:
    """Read a file of keys; the user's `keys.json` if none is named, and the usual keys if there is none.

    Raises:
        WorldsimError: if it can't be read, or names a command or key that does not exist.
    """
    if path is None:
        path = config_folder() / "keys.json"
        if not path.exists():
            return Bindings()
    content = read_json(path, WAY_OUT, LIMIT)
    try:
        return _from_json(content)
    except (ValueError, TypeError, AttributeError) as error:
        raise WorldsimError(f"{path}: {error}. {WAY_OUT}") from error


def _from_json(content: dict[str, Any]) -> Bindings:
    if unknown := sorted(set(content) - {"window", "worlds"}):
        raise ValueError(f"{unknown[0]!r} is neither 'window' nor 'worlds'")
    commands: dict[Command, str] = dict(KEYS)
    for name, key in dict(content.get("window", {})).items():
        if name not in KEYS:
            raise ValueError(f"no command {name!r}; there are {', '.join(KEYS)}")
        if KEYS[name] in RESERVED:
            raise ValueError(f"{name!r} keeps its key, {KEYS[name]}")
        commands[name] = _key(key)
    if twice := [key for key in commands.values() if list(commands.values()).count(key) > 1]:
        raise ValueError(f"{twice[0]} is the key of two commands")
    worlds = {
        str(world): {str(button): tuple(_key(key) for key in keys) for button, keys in dict(buttons).items()}
        for world, buttons in dict(content.get("worlds", {})).items()
    }
    return Bindings(commands, worlds)


def _key(code: Any) -> str:
    if not isinstance(code, str) or code not in SCANCODES or code in RESERVED:
        raise ValueError(f"no key {code!r} that could be given; they are called KeyW, ArrowUp, Digit1, Space, ...")
    return code
