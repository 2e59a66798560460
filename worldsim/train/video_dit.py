"""Train the video DiT: denoise clips of all sizes, told in words, from whatever may be given or drawn of them.

Clips of all sizes and lengths are packed into rows of equal length (NaViT, Dehghani et al. 2023), so that every step
has as many tokens, and some of each kind. Knows no sampler.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from worldsim import atomic
from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_latents import ClipLatents
from worldsim.errors import WorldsimError
from worldsim.models.flow import add_noise
from worldsim.models.text import vocabulary
from worldsim.models.video_autoencoder import SPACE, VideoAutoencoder
from worldsim.models.video_dit import PADDING, Tokens, VideoDiT, VideoDiTConfig, inherit, pack, places
from worldsim.models.words import split_words
from worldsim.runtime.imagine import Imaginer, imagine
from worldsim.runtime.sampler_defaults import USUAL, SamplerDefaults
from worldsim.safe_read import reading
from worldsim.train import checkpoint, distributed, video_autoencoder
from worldsim.train.draws import Draws
from worldsim.train.optimizers import muon_and_adamw
from worldsim.train.pieces import Pieces
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer
from worldsim.train.video_autoencoder import latents_digest, load_video_autoencoder

NAME = "video-dit"
FILE = f"{NAME}.safetensors"
PREVIEWED = 4  # clips
PREVIEW_STEPS = 12
MOST_CLIPS = 24  # of a row
LONGEST_TOLD = 32  # words of a caption, where there is one so short: all texts of a step are as long as the longest
LENGTHS = {1: 0.8, 5: 0.04, 9: 0.05, 13: 0.03, 17: 0.08}  # frames of a step's clips, and how often
CLOSEST = 0.1  # 1 - tau from which on errors count no more
MASKS = {"none": 0.4, "head": 0.2, "tail": 0.1, "both": 0.1, "random": 0.05, "interpolate": 0.05, "region": 0.1}


@dataclasses.dataclass(frozen=True)
class VideoDiTTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: rows of a step. row_tokens: tokens of a row, in which clips are packed; no clip
            may have more.
        lr: peak learning rate of Muon on the hidden matrices; AdamW on the rest runs at half of it.
        untold: share of the clips whose words are dropped, for classifier-free guidance.
        sketched: share of the clips that follow a sketch of themselves.
        restyled: share of the clips which there are in several looks that follow another look of themselves.
        own_levels: share of the clips in which every latent frame has a noise level of its own.
        pure_noise_prob: share of the noise levels that are exactly 0.
    """

    steps: int = 60_000
    batch: int = 6
    row_tokens: int = 320
    lr: float = 1e-3
    untold: float = 0.1
    sketched: float = 0.15
    restyled: float = 0.2
    own_levels: float = 0.5
    pure_noise_prob: float = 0.1
    seed: int = 0


class ClipDenoisingLoss(nn.Module):
    """The loss of packed clips, as a module, so that it can be sharded as a whole."""

    def __init__(self, dit: VideoDiT):
        super().__init__()
        self.dit = dit

    def forward(self, clean: Tokens, noise: Tensor, words: Tensor) -> dict[str, Tensor]:
        """Loss of the tokens that aren't given.

        The error of the velocity, as its square error is that of the clean tokens over (1 - tau)^2 (JiT, Li & He 2025).

        Args:
            clean: rows of packed clips, at the signal levels that they are to be denoised from.
            noise: `[R, S, V]`. words: of the rows' texts, `[R, N, K]`.
        """
        tau = torch.where(clean.given, 1.0, clean.tau)
        made = self.dit(clean._replace(values=add_noise(clean.values, noise, tau), tau=tau), words)
        error = (made - clean.values).square().mean(-1)  # [R, S]
        assert clean.text is not None
        wanted = (~clean.given & (clean.text != PADDING)).float()
        weight = wanted / (1 - tau).clamp(min=CLOSEST).square()
        early = wanted * (tau < 0.25)
        return {
            "loss": (weight * error).sum() / wanted.sum().clamp(min=1),
            "error": (wanted * error).sum() / wanted.sum().clamp(min=1),
            "early_error": (early * error).sum() / early.sum().clamp(min=1),
        }


def draw_levels(
    rng: np.random.Generator, extent: tuple[int, int, int], own_levels: float, pure_noise_prob: float
) -> tuple[np.ndarray, np.ndarray]:
    """Noise levels of a clip of (t, h, w) tokens, and what of it is given: float32 and bool `[t, h, w]`.

    Either every latent frame has its own level (diffusion forcing) and nothing is given, or all have one, and some are
    given as a mask of `MASKS` says, at most half of them (Open-Sora 1.2).
    """
    t = extent[0]
    own = t > 1 and rng.random() < own_levels
    count = t if own else 1
    tau = 1 / (1 + np.exp(-rng.normal(-0.4, 1.0, count)))  # logit-normal (Stable Diffusion 3, Esser et al. 2024)
    tau = np.where(rng.random(count) < pure_noise_prob, 0.0, tau)
    levels = np.broadcast_to(tau[:, None, None], extent).astype(np.float32)
    given = np.zeros(extent, bool)
    if not own:
        kinds = list(MASKS) if t > 1 else ["none", "region"]
        odds = np.array([MASKS[kind] for kind in kinds])
        _give(given, str(rng.choice(kinds, p=odds / odds.sum())), rng)
    return levels, given


def _give(given: np.ndarray, kind: str, rng: np.random.Generator) -> None:
    """Mark what a mask gives of a clip `[t, h, w]`, in place; something is always left."""
    t, h, w = given.shape
    first, last, some = (int(n) for n in rng.integers(1, max(1, t // 2) + 1, 3))
    if kind in ("head", "both"):
        given[:first] = True
    if kind in ("tail", "both"):
        given[max(t - last, first + 1 if kind == "both" else 1) :] = True
    if kind == "random":
        given[rng.permutation(t)[:some]] = True
    if kind == "interpolate":
        given[::2] = True
    if kind == "region":
        rows, columns = int(rng.integers(1, h + 1)), int(rng.integers(1, w + 1))
        top, left = int(rng.integers(h - rows + 1)), int(rng.integers(w - columns + 1))
        given[:] = True
        given[:, top : top + rows, left : left + columns] = False


def optimizers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) on the hidden matrices of the blocks, AdamW on everything else."""
    blocks = [p for n, p in model.named_parameters() if n.startswith(("blocks.", "readers.", "text.blocks."))]
    # The blocks' offsets are no matrices.
    return muon_and_adamw(model, [p for p in blocks if p.ndim == 2 and min(p.shape) > 6], lr)


class ClipDraws:
    """Makes the batches of a training: which clips, what is told of them, noise levels, and what is given.

    Args:
        first_levels: one of these signal levels stands where there would be pure noise.
    """

    def __init__(
        self,
        latents: ClipLatents,
        config: VideoDiTConfig,
        training: VideoDiTTraining,
        first_levels: Sequence[float] = (0.0,),
    ):
        self._config, self._training, self._clips, self._first = config, training, latents.clips, first_levels
        self._pieces = Pieces(latents, config.patch_size, training.sketched, training.restyled)
        self._numbers = np.concatenate(list(latents.clips.buckets(held_out=False).values()))

    def __call__(self, draws: Draws, dit: VideoDiT) -> tuple[Tokens, Tensor, Tensor]:
        """The arguments of `ClipDenoisingLoss`, for this process's rows."""
        training = self._training
        rng = np.random.default_rng([draws.seed, draws.step])
        rows: list[Tokens] = []
        told: list[Tensor] = []
        drawn = [self._row(rng) for _ in range(draws.batch)]
        words = dit.text.tokens([text for _, texts in drawn for text in texts])
        for clips, texts in drawn:
            row, shown = pack(clips, words[: len(texts)], training.row_tokens)
            assert len(shown) == 1
            words = words[len(texts) :]
            rows.append(row)
            told.append(shown[0])
        most = max(map(len, told))
        texts_of_rows = torch.stack([torch.cat([t, t[:1].expand(most - len(t), -1)]) for t in told])
        clean = Tokens(*(draws.own(torch.cat(field)) for field in zip(*rows, strict=True)))
        return clean, draws.randn(training.row_tokens, self._config.token_width), draws.own(texts_of_rows)

    def _row(self, rng: np.random.Generator) -> tuple[list[Tokens], list[str]]:
        """Clips that fill a row, and what is told of each; ends with the first that doesn't fit."""
        training = self._training
        clips: list[Tokens] = []
        texts: list[str] = []
        free = training.row_tokens
        while len(clips) < MOST_CLIPS:
            number = int(rng.choice(self._numbers))
            length = min(int(rng.choice(list(LENGTHS), p=list(LENGTHS.values()))), self._clips.bucket(number)[0])
            piece = self._pieces.draw(number, length, rng)
            place, size = places(piece.extent)
            free -= len(place)
            if free < 0 and clips:
                break
            tau, given = draw_levels(rng, piece.extent, training.own_levels, training.pure_noise_prob)
            if len(self._first) > 1:
                tau[tau == 0] = rng.choice(self._first)
            known = (torch.from_numpy(x).flatten() for x in (tau, given))
            clips.append(Tokens(*(x[None] for x in (piece.values, place, size, *known, piece.guide))))
            short = [text for text in piece.captions if len(split_words(text)) <= LONGEST_TOLD]
            told = self._clips.tell(number, str(rng.choice(short or piece.captions)), rng)
            texts.append("" if rng.random() < training.untold else told)
        return clips, texts


def train_video_dit(
    clips: CaptionedClips,
    autoencoder: VideoAutoencoder,
    out: Path,
    config: VideoDiTConfig,
    training: VideoDiTTraining,
    options: RunOptions = ON_CPU,
    start: VideoDiT | None = None,
) -> VideoDiT:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/video-dit.safetensors`.

    The vocabulary is that of the clips' captions, and latents are made of them once, in `out/latents`. Where there is
    no checkpoint, the weights begin as those of `start`, which may know other words, or random.

    Raises:
        WorldsimError: if there are no clips to learn from, or their sizes don't divide into tokens.
    """
    if not clips.buckets(held_out=False):
        raise WorldsimError(f"{clips.path} has no clips to learn from; record more: --clips")
    config = fit(config, clips, autoencoder, training.row_tokens)
    key = latents_digest(autoencoder)
    autoencoder = autoencoder.to(options.device)
    with distributed.main_first():
        latents = ClipLatents(clips, autoencoder, key, out / "latents", write=distributed.is_main())
    torch.manual_seed(training.seed)
    dit = VideoDiT(config)
    if start is not None:
        inherit(dit, start)
    settings = {"clips": clips.digest, "synonyms": clips.synonyms.key, "autoencoder": key, **clips.retold}
    trainer = Trainer(
        out,
        NAME,
        dit,
        ClipDenoisingLoss(dit),
        optimizers,
        training,
        {"model": dataclasses.asdict(config), **settings},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
    )
    batches = ClipDraws(latents, config, training)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        return trainer.update(*batches(draws, dit))

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, VideoDiT)
        save_video_dit(out / FILE, learned)
        return preview_clips(Imaginer(autoencoder, learned.eval()), clips, out / f"{NAME}.png")

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, VideoDiT)
    return learned.requires_grad_(False)


def fit(
    config: VideoDiTConfig, clips: CaptionedClips, autoencoder: VideoAutoencoder, row_tokens: int
) -> VideoDiTConfig:
    """The same for these clips and latents.

    Raises:
        WorldsimError: if clips don't divide into tokens, or have more of them than a row.
    """
    rows, columns = (SPACE * cells for cells in config.patch_size)
    for frames, height, width in [*clips.buckets(False), *clips.buckets(True)]:
        t = autoencoder.config.latent_shape(frames, height, width)[0]
        if t * height * width > row_tokens * rows * columns:
            raise WorldsimError(
                f"clips of {frames} frames of {width}x{height} don't fit into rows of {row_tokens} tokens"
            )
        if height % rows or width % columns:
            raise WorldsimError(f"clips of {width}x{height} don't divide into tokens of {columns}x{rows} pixels")
    words = config.text.words or vocabulary(clips.captions(), clips.more_words)
    text = dataclasses.replace(config.text, words=words)
    return dataclasses.replace(config, channels=autoencoder.config.channels, text=text)


def preview_clips(model: Imaginer, clips: CaptionedClips, strip: Path) -> dict[str, float]:
    """Write a film strip of what held-out captions give, each over the clip that they are of."""
    rows = []
    held_out = clips.buckets(held_out=True)
    shape = max(held_out, key=lambda bucket: len(held_out[bucket]), default=None)
    if shape is None:
        return {}
    for seed, number in enumerate(held_out[shape][:PREVIEWED]):
        clip = clips.clip(int(number))
        steps = min(PREVIEW_STEPS, model.defaults.steps)
        made = imagine(model, None, clip.story[-1], shape[1:], shape[0], steps, seed=seed)
        rows += [np.concatenate(list(side[::4]), axis=1) for side in (clip.frames, made)]
    big = cv2.resize(np.concatenate(rows), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    atomic.write_bytes(strip, cv2.imencode(".png", big[..., ::-1])[1].tobytes())
    return {}


def save_video_dit(path: Path, dit: VideoDiT, defaults: SamplerDefaults = USUAL) -> None:
    """Write a video DiT, and how it is sampled if nothing else is asked for."""
    header = {"kind": "VideoDiT", "config": dataclasses.asdict(dit.config), "sampler": dataclasses.asdict(defaults)}
    checkpoint.write(path, dit.state_dict(), header)


def load_video_dit(path: Path) -> tuple[VideoDiT, SamplerDefaults]:
    """A trained video DiT in evaluation mode, and how it is sampled.

    Raises:
        WorldsimError: if the file is missing, cut or of something else.
    """
    weights, header = checkpoint.read(path)
    if header.get("kind") != "VideoDiT":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not a video DiT")
    model = VideoDiT(VideoDiTConfig.from_json(header["config"]))
    checkpoint.load_weights(path, model, weights)
    with reading(path, "Train it again: worldsim train video-dit."):
        defaults = SamplerDefaults(**header.get("sampler", {}))
    return model.eval().requires_grad_(False), defaults


def imaginer_digest(model: Imaginer, reward: nn.Module | None = None) -> str:
    """Names the weights of both networks, and of the reward model that chooses what they made."""
    networks: dict[str, nn.Module] = {"autoencoder": model.autoencoder, "dit": model.dit}
    networks |= {"reward": reward} if reward else {}
    tensors = {f"{part}.{k}": v for part, network in networks.items() for k, v in network.state_dict().items()}
    return checkpoint.digest(tensors)


def load_imaginer(folder: Path) -> Imaginer:
    """What a run trained: both networks, in evaluation mode.

    Raises:
        WorldsimError: if one is missing, cut, or not of the other.
    """
    autoencoder = load_video_autoencoder(folder / video_autoencoder.FILE)
    dit, defaults = load_video_dit(folder / FILE)
    if autoencoder.config.channels != dit.config.channels:
        raise WorldsimError(f"the networks in {folder} are of different runs; train the video DiT again")
    return Imaginer(autoencoder, dit, defaults)
