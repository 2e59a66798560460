"""Errors the user can fix: one line that names the thing and the way out.

The command line prints them without a traceback and exits with code 2. Our own bugs stay assertions and tracebacks.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class WorldsimError(ValueError):
    """Something outside the engine is wrong: a file, a size, an action, a missing package."""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency, or say how to install it.

    Args:
        module: importable name, for example `"vizdoom"`.
        extra: the extra of this package that installs it, for example `"doom"`.

    Raises:
        WorldsimError: with the exact install command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise WorldsimError(f"{module} is not installed ({error}). Run: pip install '.[{extra}]'") from error
