"""worldsim: learn a world from recorded play, then be it, frame by frame.

    session = worldsim.Session(worldsim.load_runtime(worldsim.open_world("doom-maze")))
    state = session.start([0], seeds=[7])
    state, seen = session.step(state, np.array([1]))  # seen.frame: uint8 [1, H, W, 3]

These names are imported when they are first used, so that `import worldsim` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldsim.runtime.bundle import open_world
    from worldsim.runtime.load import load_runtime
    from worldsim.runtime.session import Session

    __version__: str
else:
    import importlib
    import importlib.metadata

    _HOMES = {
        "Session": "worldsim.runtime.session",
        "load_runtime": "worldsim.runtime.load",
        "open_world": "worldsim.runtime.bundle",
    }

    def __getattr__(name: str) -> object:
        if name == "__version__":
            try:
                value = importlib.metadata.version("worldsim-engine")
            except importlib.metadata.PackageNotFoundError:  # run from its sources
                value = "0+unknown"
        elif name in _HOMES:
            value = getattr(importlib.import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module 'worldsim' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = ["open_world", "load_runtime", "Session", "__version__"]
