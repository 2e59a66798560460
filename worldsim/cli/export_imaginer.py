"""`worldsim export imaginer`: what was trained to imagine becomes a folder that paints without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import open_world


@dataclasses.dataclass(frozen=True)
class ExportImaginerConfig:
    """Export what was trained to imagine: worldsim export imaginer runs/imagine --out imaginers/toybox

    Attributes:
        run: folder of the training, with video-autoencoder.safetensors and video-dit.safetensors.
        out: folder of the imaginer; an older one there is replaced.
        worlds: names of the worlds that it learned from, or folders of their bundles; pictures are painted at the size
            of their frames.
        clips: what it was trained on, to be named as the origin.
    """

    run: tyro.conf.Positional[Path]
    out: Path
    worlds: tuple[str, ...] = ("toybox",)
    clips: Path | None = None


def export_imaginer(config: ExportImaginerConfig) -> None:
    """Write the imaginer, and print how far its graphs are from torch.

    Raises:
        WorldsimError: for a run that is missing or cut, a world that can't be opened, or an `out` not to be written.
    """
    for module in ("torch", "einops", "onnx", "onnxscript", "tensorboard"):
        require(module, "train")
    from worldsim.runtime.export_imaginer import export_imaginer as write
    from worldsim.train.video_dit import load_imaginer

    if not config.worlds:
        raise WorldsimError("--worlds is empty: name the worlds that it learned from, as in --worlds toybox")
    worlds = [open_world(name) for name in config.worlds]
    origin = {
        "source": "; ".join(dict.fromkeys(str(world.origin.get("source", world.spec.name)) for world in worlds)),
        "licence": "; ".join(dict.fromkeys(str(world.origin.get("licence", "unknown")) for world in worlds)),
    }
    if config.clips:
        from worldsim.data.captioned import KIND

        origin["clips"] = KIND.read_manifest(config.clips)["digest"]
    model = load_imaginer(config.run)
    print(f"exporting to {config.out}; takes a minute", flush=True)
    sizes = {world.spec.name: (world.spec.height, world.spec.width) for world in worlds}
    apart = write(config.out, model, sizes, origin)
    megabytes = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file()) / 1e6
    print(f"largest difference of a pass, ONNX Runtime against torch: {apart:.2g}\n{megabytes:.1f} MB in {config.out}")
    print(f'Paint with it: python play.py --imaginer {config.out} --prompt "a red ball"')
