"""`worldsim export web`: worlds as a folder of static files that any browser plays. worldsim.web.site does the work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import open_world, shipped_worlds


@dataclasses.dataclass(frozen=True)
class ExportWebConfig:
    """Put worlds into a folder for any web host: worldsim export web doom-maze --out site

    Attributes:
        worlds: names of shipped worlds, or folders of others; all shipped ones if none is given.
        out: folder of the site; an older site there is replaced.
        ort: folder with ONNX Runtime Web, if not the copy that `python -m worldsim.web.fetch_ort` keeps.
    """

    worlds: tyro.conf.Positional[tuple[str, ...]] = ()
    out: Path = Path("site")
    ort: Path | None = None


def export_web(config: ExportWebConfig) -> None:
    """Write the site, and say how to look at it.

    Raises:
        WorldsimError: for a world that can't be opened or is named twice, ONNX Runtime Web missing, or an `out` not to
            be written.
    """
    require("onnx", "web")
    from worldsim.web.fetch_ort import find_ort
    from worldsim.web.site import write_site

    ort = find_ort(config.ort)
    bundles = [open_world(world) for world in config.worlds or shipped_worlds()]
    if not bundles:
        raise WorldsimError("no world is installed. Give the folder of one: worldsim export web PATH")
    names = [bundle.spec.name for bundle in bundles]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WorldsimError(f"two worlds are called {twice[0]!r}. Give each once.")
    total = write_site(config.out, bundles, ort)
    print(f"{', '.join(names)}: {total / 1e6:.1f} MB in {config.out}")
    print(f"Look at it: python -m http.server --directory {config.out}")
