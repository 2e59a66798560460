"""`worldsim unpack`: an imaginer becomes the run that its networks can be trained on in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from worldsim import atomic
from worldsim.errors import WorldsimError, require
from worldsim.runtime.imaginer import open_imaginer
from worldsim.terminal import printable


@dataclasses.dataclass(frozen=True)
class UnpackConfig:
    """Go on from networks that ship: worldsim unpack toybox --out runs/imagine

    Then: worldsim train video-decoder --clips ... --out runs/imagine, or any other training of that run.

    Attributes:
        imaginer: a shipped one's name, or the folder of one.
        out: folder of the run, which has no networks yet.
    """

    imaginer: tyro.conf.Positional[str]
    out: Path


def unpack(config: UnpackConfig) -> None:
    """Write the networks as files of a run, in float32 as they were rounded for shipping.

    Raises:
        WorldsimError: if there is no such imaginer, it is not whole, or `out` has networks.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.runtime.export_imaginer import load_networks, load_reward
    from worldsim.train import reward_model, video_autoencoder, video_dit

    bundle = open_imaginer(config.imaginer)
    files = [config.out / module.FILE for module in (video_autoencoder, video_dit, reward_model)]
    if there := [path for path in files if path.exists()]:
        raise WorldsimError(f"{there[0]} is there already; give another --out")
    model = load_networks(bundle)
    with atomic.lock(config.out):
        video_autoencoder.save_video_autoencoder(files[0], model.autoencoder)
        video_dit.save_video_dit(files[1], model.dit, model.defaults)
        if bundle.scores:
            reward_model.save_reward_model(files[2], load_reward(bundle))
    print(printable(f"{config.out}; next: worldsim train video-decoder --clips CLIPS --out {config.out}"))
