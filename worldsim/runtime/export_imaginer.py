"""Export: the networks that imagine -> an imaginer's folder, and back. Knows no training.

For each size of picture there are two graphs: one pass of the sampler with guidance, and the decoder; with a reward
model a third, how much of the words pictures show. As in the bundle of a world they carry no weights: those are in the
folder once, in float16.

B pictures, S tokens, V numbers of a token, K words, H x W pixels.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_frames
from worldsim.models.flow import advance
from worldsim.models.reward_model import RewardModel, RewardModelConfig
from worldsim.models.video_autoencoder import VideoAutoencoder, VideoAutoencoderConfig
from worldsim.models.video_dit import Tokens, VideoDiT, VideoDiTConfig, places, to_latents
from worldsim.models.words import MOST_WORDS
from worldsim.runtime.export import GraphSource, export_graph, stored_weights
from worldsim.runtime.imagine import Imaginer
from worldsim.runtime.imaginer import GRAPHS, IMAGINER, SCORE, ImaginerBundle, PictureSize, write_imaginer
from worldsim.runtime.painter import MOST_PAINTED, Painter
from worldsim.runtime.request import LEAST_SIDE
from worldsim.runtime.sampler_defaults import SamplerDefaults

TOLERANCE = 1e-2  # largest difference of a pass allowed between ONNX Runtime and torch, in numbers of the order of 1
CHECKED = "a red ball and a green box, at night"  # words that both read


class DenoisePass(nn.Module):
    """One step of the sampler for several pictures of one text: each told and untold in two rows, guidance, and Euler's
    rule. One row, without guidance, where the model leans on words by itself."""

    def __init__(self, dit: VideoDiT, extent: tuple[int, int, int], rows: int):
        super().__init__()
        self.dit, self.rows = dit, rows
        self._place, self._size = places(extent)

    def forward(self, noisy: Tensor, tau: Tensor, following: Tensor, words: Tensor, guidance: Tensor) -> Tensor:
        """Noisy tokens of B pictures `[B, S, V]` at signal level `tau`, the next level, words `[2, K]` of the text and
        of the empty one (or `[1, K]`), and how much it leans on them (scalars) -> noisy tokens at the next level."""
        pictures, count, _ = noisy.shape
        every = self.rows * pictures
        place, size = (x.expand(every, -1, -1) for x in (self._place, self._size))
        levels = tau.expand(every, count)
        tokens = Tokens(noisy.repeat(self.rows, 1, 1), place, size, levels, torch.zeros_like(levels) > 0)
        texts = words[:, None].expand(-1, pictures, -1).flatten(0, 1)
        made = self.dit(tokens, texts[:, None]).unflatten(0, (self.rows, pictures))
        told, untold = made[0], made[-1]
        return advance(noisy, untold + guidance * (told - untold), tau, following)


class ToPicture(nn.Module):
    """Clean tokens of a picture `[S, V]` -> uint8 `[H, W, 3]`."""

    def __init__(self, autoencoder: VideoAutoencoder, extent: tuple[int, int, int], patch_size: tuple[int, int]):
        super().__init__()
        self.autoencoder, self._extent, self._patch_size = autoencoder, extent, patch_size

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        latents = to_latents(tokens[None], self._extent, self._patch_size)
        return to_frames(self.autoencoder.decode(latents)[0, 0])


class Reward(nn.Module):
    """How much of a text pictures show, by the reward model."""

    def __init__(
        self,
        reward: RewardModel,
        autoencoder: VideoAutoencoder,
        extent: tuple[int, int, int],
        patch_size: tuple[int, int],
    ):
        super().__init__()
        self.reward, self.autoencoder, self._extent, self._patch_size = reward, autoencoder, extent, patch_size

    def forward(self, tokens: Tensor, words: Tensor) -> Tensor:
        """Clean tokens of B pictures `[B, S, V]`, words `[1, K]` -> scores `[B]`."""
        pixels = self.autoencoder.decode(to_latents(tokens, self._extent, self._patch_size))[:, 0].clamp(-1, 1)
        return torch.as_tensor(self.reward(pixels, words.expand(tokens.shape[0], -1)))


def export_imaginer(
    out: str | Path,
    model: Imaginer,
    frame_sizes: Mapping[str, tuple[int, int]],
    origin: Mapping[str, Any],
    reward: RewardModel | None = None,
) -> float:
    """Write an imaginer, whole or not at all.

    Args:
        out: its folder; an older one there is replaced.
        model: trained; not changed.
        frame_sizes: for each world that it draws, (height, width) of that world's frames.
        origin: {"source", "licence", ...} of the clips that were learned from.
        reward: of the same words, by which the best of several pictures is kept; None for the first one.

    Returns:
        the largest difference between a pass in ONNX Runtime and in torch, in standard deviations of a latent.

    Raises:
        WorldsimError: if the graphs differ from torch, the reward model knows other words, or `out` can't be written.
    """
    networks = nn.ModuleDict({"autoencoder": model.autoencoder, "dit": model.dit})
    if reward:
        if reward.config.text.words != model.dit.config.text.words:
            raise WorldsimError("the reward model knows other words than the video DiT; train it on the same clips")
        networks["reward"] = reward
    weights = stored_weights(networks)
    rounded = copy.deepcopy(networks).cpu().float().eval().requires_grad_(False)
    rounded.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    worlds = {world: picture_size(model, *size) for world, size in frame_sizes.items()}
    graphs: dict[str, tuple[bytes, list[str]]] = {}
    for size in {size.name: size for size in worlds.values()}.values():
        graphs |= _graphs(rounded, size, model.defaults, weights.keys())
    with IMAGINER.staging(out) as folder:
        write_imaginer(
            folder,
            configs={name: dataclasses.asdict(network.config) for name, network in rounded.items()},
            worlds=worlds,
            origin=origin,
            weights=weights,
            graphs=graphs,
            defaults=model.defaults,
        )
        apart = measure_parity(rounded, ImaginerBundle(folder))
        if not apart <= TOLERANCE:
            raise WorldsimError(
                f"the exported graphs differ from torch (by {apart:g}); nothing written. Update torch and onnxruntime."
            )
    return apart


def picture_size(model: Imaginer, height: int, width: int) -> PictureSize:
    """The least size of picture, in whole tokens, that frames of a world can be cut from."""
    rows, columns = model.cell
    h, w = (max(LEAST_SIDE, side) for side in (height, width))
    h, w = -(-h // rows), -(-w // columns)
    frame = (height, width) if min(height, width) >= LEAST_SIDE else (0, 0)  # smaller ones are resized from pictures
    return PictureSize(h * rows, w * columns, h * w, model.dit.config.token_width, *frame)


def load_networks(bundle: ImaginerBundle) -> Imaginer:
    """The networks that imagine, in float32 and evaluation mode.

    Raises:
        WorldsimError: if its weights do not fit its configs.
    """
    networks = _load(bundle)
    return Imaginer(networks["autoencoder"], networks["dit"], bundle.defaults)


def load_reward(bundle: ImaginerBundle) -> RewardModel:
    """What tells which of several pictures is the best, in float32 and evaluation mode.

    Raises:
        WorldsimError: if it came without, or its weights do not fit its configs.
    """
    if not bundle.scores:
        raise WorldsimError(
            f"imaginer {bundle.name!r} can't tell which of several pictures is the best. Train that and export it "
            "again: worldsim train reward, worldsim export imaginer"
        )
    reward = _load(bundle)["reward"]
    assert isinstance(reward, RewardModel)
    return reward


def _load(bundle: ImaginerBundle) -> nn.ModuleDict:
    try:
        weights = {name: torch.from_numpy(weight) for name, weight in bundle.weights().items()}
        with torch.device("meta"):  # allocates nothing, whatever the configs say
            shapes = {name: weight.shape for name, weight in _untrained(bundle).state_dict().items()}
        if differing := sorted(n for n in {*shapes, *weights} if n not in weights or weights[n].shape != shapes.get(n)):
            raise ValueError(f"{len(differing)} weights differ, {differing[0]} the first")
        networks = _untrained(bundle)
        networks.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WorldsimError(f"{bundle.path}: weights and configs do not fit ({reason}). {IMAGINER.way_out}") from error
    return networks.eval().requires_grad_(False)


def _untrained(bundle: ImaginerBundle) -> nn.ModuleDict:
    settings = dict(bundle.configs["autoencoder"])
    autoencoder = VideoAutoencoder(VideoAutoencoderConfig(**{**settings, "widths": tuple(settings["widths"])}))
    dit = VideoDiT(VideoDiTConfig.from_json(bundle.configs["dit"]))
    networks = nn.ModuleDict({"autoencoder": autoencoder, "dit": dit})
    if bundle.scores:
        networks["reward"] = RewardModel(RewardModelConfig.from_json(bundle.configs["reward"]))
    return networks


def measure_parity(networks: nn.ModuleDict, bundle: ImaginerBundle) -> float:
    """The largest difference between a pass in ONNX Runtime and in torch, on noise from a fixed seed; infinite if
    pictures of the same tokens are more than a rounding apart."""
    painter, differences = Painter(bundle, "cpu"), []
    for size in {size.name: size for size in bundle.worlds.values()}.values():
        for name, source in _sources(networks, size, bundle.defaults).items():
            with torch.no_grad():
                theirs = source.module(*source.example).numpy().astype(np.float64)
            (ours,) = painter.run(f"{name}-{size.name}", *(tensor.numpy() for tensor in source.example))
            apart = float(np.abs(ours - theirs).max())
            differences.append(apart if ours.dtype != np.uint8 else 0.0 if apart <= 1 else np.inf)
    return max(differences)


def _graphs(
    networks: nn.ModuleDict, size: PictureSize, defaults: SamplerDefaults, known: Collection[str]
) -> dict[str, tuple[bytes, list[str]]]:
    sources = _sources(networks, size, defaults).items()
    return {f"{name}-{size.name}": export_graph(source, known) for name, source in sources}


def _sources(networks: nn.ModuleDict, size: PictureSize, defaults: SamplerDefaults) -> dict[str, GraphSource]:
    model = Imaginer(networks["autoencoder"], networks["dit"])
    rows, columns = model.cell
    extent = (1, size.height // rows, size.width // columns)
    noisy = torch.randn(3, size.tokens, size.token_width, generator=torch.Generator().manual_seed(0))
    told = [CHECKED, ""] if defaults.guidance != 1 else [CHECKED]
    words = model.dit.text.tokens(told)
    level, following, guidance = (torch.tensor(value) for value in (0.25, 0.5, 3.0))
    count = torch.export.Dim("words", min=2, max=MOST_WORDS + 1)
    pictures = torch.export.Dim("pictures", min=1, max=MOST_PAINTED)
    patch_size = model.dit.config.patch_size
    graphs = (
        GraphSource(
            DenoisePass(model.dit, extent, len(told)),
            (noisy, level, following, words, guidance),
            ({0: pictures}, {}, {}, {1: count}, {}),
            ["noisy", "tau", "following", "words", "guidance"],
            ["next_noisy"],
        ),
        GraphSource(ToPicture(model.autoencoder, extent, patch_size), (noisy[0],), ({},), ["tokens"], ["picture"]),
    )
    sources = dict(zip(GRAPHS, graphs, strict=True))
    if "reward" in networks:
        reward = Reward(networks["reward"], model.autoencoder, extent, patch_size)
        shapes = ({0: pictures}, {1: count})
        sources[SCORE] = GraphSource(reward, (noisy, words[:1]), shapes, ["tokens", "words"], ["reward"])
    return sources
