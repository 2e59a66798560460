"""`worldsim export imaginer`: what was trained to imagine becomes a folder that paints without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim.errors import WorldsimError, require
from worldsim.evals.report import Report, read_report
from worldsim.runtime.bundle import open_world
from worldsim.runtime.imaginer import ImaginerBundle


@dataclasses.dataclass(frozen=True)
class ExportImaginerConfig:
    """Export what was trained to imagine: worldsim export imaginer runs/imagine --out imaginers/toybox

    Attributes:
        run: folder of the training, with video-autoencoder.safetensors and video-dit.safetensors; with
            reward-model.safetensors, if there is one, the best of several pictures is kept.
        out: folder of the imaginer; an older one there is replaced.
        worlds: names of the worlds that it learned from, or folders of their bundles; pictures are painted at the size
            of their frames.
        clips: what it was trained on, to be named as the origin.
        report: folder where `worldsim eval imagine` wrote what it measured of the run, for the card.
        training: a sentence on how it was trained, and whether the commands reproduce the weights, for the card.
    """

    run: tyro.conf.Positional[Path]
    out: Path
    worlds: tuple[str, ...] = ("toybox",)
    clips: Path | None = None
    report: Path | None = None
    training: str = ""


def export_imaginer(config: ExportImaginerConfig) -> None:
    """Write the imaginer, and print how far its graphs are from torch.

    Raises:
        WorldsimError: for a run that is missing or cut, a world that can't be opened, or an `out` not to be written.
    """
    for module in ("torch", "einops", "onnx", "onnxscript", "tensorboard"):
        require(module, "train")
    from worldsim.evals.files import json_bytes, write_files
    from worldsim.evals.imaginer_card import card_json, card_markdown
    from worldsim.runtime.export_imaginer import export_imaginer as write
    from worldsim.train import reward_model
    from worldsim.train.video_dit import imaginer_digest, load_imaginer

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
    if config.training:
        origin["training"] = config.training
    model = load_imaginer(config.run)
    chooses = (config.run / reward_model.FILE).exists()
    reward = reward_model.load_reward_model(config.run) if chooses else None
    report = read_measured(config.report, imaginer_digest(model, reward)) if config.report else None
    print(f"exporting to {config.out}; takes a minute", flush=True)
    sizes = {world.spec.name: (world.spec.height, world.spec.width) for world in worlds}
    apart = write(config.out, model, sizes, origin, reward)
    bundle = ImaginerBundle(config.out)
    files = {
        "card.json": json_bytes(card_json(bundle, report)),
        "card.md": card_markdown(bundle, report).encode(),
    }
    write_files(config.out, files)
    megabytes = sum(path.stat().st_size for path in config.out.rglob("*") if path.is_file()) / 1e6
    print(f"largest difference of a pass, ONNX Runtime against torch: {apart:.2g}\n{megabytes:.1f} MB in {config.out}")
    print(f'Paint with it: python play.py --imaginer {config.out} --prompt "a red ball"')


def read_measured(folder: Path, weights: str) -> Report:
    """The report of `worldsim eval imagine` on networks of which `weights` is the digest.

    Raises:
        WorldsimError: if there is none, or it is of others.
    """
    path, way_out = folder / "imagine.json", "Run: worldsim eval imagine --model RUN"
    report = read_report(path, way_out)
    if report.facts["weights"] != weights:
        raise WorldsimError(
            f"{path} is of other weights ({report.facts['weights'][:12]}, not {weights[:12]}). {way_out}"
        )
    return report
