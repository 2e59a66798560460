"""`worldsim imagine`: words, pictures, sketches, clips -> a picture or a clip in a file. Knows files and flags only."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from worldsim import atomic
from worldsim.cli.play import PlayConfig, find_world, play
from worldsim.data.video import VideoWriter, read_frames
from worldsim.errors import WorldsimError, require
from worldsim.runtime.imaginer import IMAGINER, ImaginerBundle, open_imaginer, shipped_imaginers
from worldsim.runtime.painter import MOST_LETTERS
from worldsim.safe_read import read_png
from worldsim.terminal import printable

if TYPE_CHECKING:
    import torch

    from worldsim.runtime.imagine import Imaginer
    from worldsim.runtime.request import Given

RUN = "runs/imagine"  # of the networks, where no imaginer is shipped
FPS = 15.0
MOST_MADE = 64  # clips, to keep the best of
MOST_READ = 1021  # frames of a video file
PICTURES, VIDEOS, GIF = (".png",), (".mp4", ".mkv", ".mov"), ".gif"


@dataclasses.dataclass(frozen=True)
class ImagineConfig:
    """Imagine a clip: worldsim imagine --prompt "a red ball, at night" --out ball.mp4

    Attributes:
        out: .mp4, .gif, or .png for a single picture; none is needed with --play.
        model: folder of the run that trained the networks, or an imaginer: a shipped one's name, or the folder of one.
            If not given, the shipped imaginer that draws --world and knows most of the words, or else runs/imagine.
        prompt: plain words.
        image: a picture that the clip begins with (.png).
        video: a clip that it begins with, or with --change that is changed.
        sketch: a drawing that its first frame follows, dark on light or light on dark (.png).
        restyle: a picture or a clip that is made again as the words say: --prompt "at night".
        end: a picture or a clip that it ends with: with a beginning, both are joined; without one, what came before.
        change: how much of --image or --video is kept where it is changed, 0 to below 1 (0.3 to 0.6 are usual).
        region: where it is changed, as LEFT,TOP,WIDTHxHEIGHT in pixels; all of it if not given.
        size: of the frames, as WIDTHxHEIGHT; multiples of 16 from 32 to 256.
        frames: of the clip, 4 k + 1, what is given among them; 17 if not given, 1 for a .png, and of a clip that is
            changed or made again as many as it has.
        steps: denoising passes for every 17 frames; 0 for as many as the model is made for: 24, or 2 if distilled.
        guidance: how much it leans on the words; 1 for no more than was learned. If not given 3, or 1 if distilled.
        source_guidance: how much it leans on what --restyle names. If not given 1.5, or 1 if distilled.
        sampler: euler, ddim or ddpm.
        seed: the same seed gives the same clip.
        best_of: make so many, of this seed and those after it, and keep the one that shows most of the words, as the
            reward model sees it (worldsim train reward).
        device: auto, cpu, cuda, cuda:1 or mps.
        play: step into it, in a window.
        world: the world to play it in, its name or the folder of a bundle; the imaginer's own if not given.
    """

    out: Path | None = None
    model: str = ""
    prompt: str = ""
    image: Path | None = None
    video: Path | None = None
    sketch: Path | None = None
    restyle: Path | None = None
    end: Path | None = None
    change: float | None = None
    region: str = ""
    size: str = "64x64"
    frames: int = 0
    steps: int = 0
    guidance: float | None = None
    source_guidance: float | None = None
    sampler: str = "euler"
    seed: int = 0
    best_of: int = 1
    device: str = "auto"
    play: bool = False
    world: str = ""


def imagine(config: ImagineConfig) -> None:
    """Imagine, write the file, and print what it is.

    Raises:
        WorldsimError: for a prompt, file, size or combination that can't be used, or a model that isn't there.
    """
    for module in ("torch", "einops", "tensorboard"):
        require(module, "train")
    from worldsim.cli.record import parse_size
    from worldsim.device import choose_device
    from worldsim.runtime import imagine as engine
    from worldsim.runtime.request import Given, check_request

    check_flags(config)
    world = find_world(world_to_play(config)) if config.play else ""
    sides = parse_size(config.size)
    size = sides["height"], sides["width"]
    device = choose_device(config.device)
    loaded = open_model(config)
    model = engine.Imaginer(loaded.autoencoder.to(device), loaded.dit.to(device), loaded.defaults)
    frames = config.frames or (1 if config.out and config.out.suffix.lower() in PICTURES else engine.WINDOW)
    # Before any file is read at that size: whether it can be had at all.
    choose = chooser(config, device)
    leaning = model.leaning(config.guidance, config.source_guidance)
    steps = config.steps or model.defaults.steps
    request = (config.prompt, size, frames, steps, leaning, config.seed, config.sampler)
    check_request(model.cell, Given(), *request)
    given = what_is_given(config, size)
    whole = given.clip if given.source is None else given.source
    if whole is not None:
        frames = len(whole)
    say_unknown(model, config.prompt)
    prompt = model.dit.text.vocabulary.in_world(world or "", config.prompt)
    made = choose(
        lambda seed: engine.imagine(
            model,
            given,
            prompt,
            size,
            frames,
            steps,
            config.guidance,
            seed,
            config.sampler,
            config.source_guidance,
        )
    )
    if config.out:
        write_frames(config.out, made)
        print(printable(f"{config.out}: {len(made)} frame{'s' * (len(made) > 1)} of {size[1]}x{size[0]}"))
    if config.play:
        play(PlayConfig(world=world, seed=config.seed), made)


def open_model(config: ImagineConfig) -> Imaginer:
    """The networks of a run or of an imaginer; of a shipped one, or of runs/imagine, if none is named.

    Raises:
        WorldsimError: if they are not there, or not whole.
    """
    from worldsim.runtime.export_imaginer import load_networks
    from worldsim.train.video_dit import load_imaginer

    if bundle := find_imaginer(config):
        return load_networks(bundle)
    return load_imaginer(Path(config.model or RUN))


def find_imaginer(config: ImagineConfig) -> ImaginerBundle | None:
    """The imaginer that is meant; None if it is the folder of a run."""
    name = config.model
    if name in shipped_imaginers() or (name and (Path(name) / IMAGINER.manifest).exists()):
        return open_imaginer(name)
    return open_imaginer("", config.world, config.prompt) if not name and shipped_imaginers() else None


def world_to_play(config: ImagineConfig) -> str:
    """The world asked for, or the imaginer's own.

    Raises:
        WorldsimError: if neither is known.
    """
    if config.world:
        return config.world
    if bundle := find_imaginer(config):
        return bundle.world
    raise WorldsimError(f"--play: {config.model or RUN} doesn't say what it draws; name it: --world toybox")


def check_flags(config: ImagineConfig) -> None:
    """Refuse what can't be done, before anything is read."""
    files = {name: getattr(config, name) for name in ("image", "video", "end", "sketch", "restyle")}
    named = [f"--{name}" for name, path in files.items() if path]
    if not (config.prompt.strip() or named):
        raise WorldsimError("nothing to imagine from: give --prompt WORDS, --image F, --sketch F or --video F")
    if len(config.prompt) > MOST_LETTERS:
        raise WorldsimError(f"a --prompt of {len(config.prompt):,} letters; at most {MOST_LETTERS:,} are read")
    if not config.size:
        raise WorldsimError("--size '' is not WIDTHxHEIGHT, as in 64x64")
    if not 1 <= config.best_of <= MOST_MADE:
        raise WorldsimError(f"--best-of {config.best_of}: give 1 to {MOST_MADE}")
    if config.best_of > 1 and not config.prompt.strip():
        raise WorldsimError("--best-of is judged by words; give --prompt too")
    if config.image and config.video:
        raise WorldsimError("--image and --video both say how it begins; give one of them")
    for flag in ("--sketch", "--restyle"):
        if flag in named and (len(named) > 1 or config.change is not None):
            others = [name for name in named if name != flag] or ["--change"]
            raise WorldsimError(f"{flag} stands alone with --prompt; leave {', '.join(others)} out")
    if config.restyle and config.frames:
        raise WorldsimError("what is made again keeps its length; leave --frames out")
    if config.restyle and not config.prompt.strip():
        raise WorldsimError("--restyle is told how it is to look: give --prompt, as in --prompt 'at night'")
    if config.change is None and config.region:
        raise WorldsimError("--region says where it is changed; give --change too, 0 to paint it anew")
    if config.change is not None and not (config.image or config.video):
        raise WorldsimError("--change is of a picture or a clip; give --image or --video")
    if config.change is not None and (config.end or config.frames):
        raise WorldsimError("a picture or clip that is changed keeps its length and end; leave --end and --frames out")
    check_out(config)


def check_out(config: ImagineConfig) -> None:
    """Refuse what can't be written, or played."""
    if config.world and not config.play:
        raise WorldsimError("--world says where to play; give --play, too")
    if config.out is None:
        if not config.play:
            raise WorldsimError("nowhere to put it: give --out F, or --play to step into it")
        return
    suffix = config.out.suffix.lower()
    if suffix not in (*PICTURES, *VIDEOS, GIF):
        raise WorldsimError(f"--out {config.out}: give a name that ends in .mp4, .gif, or .png for a picture")
    if suffix in PICTURES and config.frames > 1:
        raise WorldsimError(f"--out {config.out} is one picture, and --frames {config.frames}; give a name in .mp4")


def chooser(config: ImagineConfig, device: torch.device) -> Callable[[Callable[[int], np.ndarray]], np.ndarray]:
    """Calls a maker of clips with --seed, or with --best-of seeds, and says which of them it keeps.

    Raises:
        WorldsimError: if there is no reward model to tell the best by.
    """
    if config.best_of == 1:
        return lambda make: make(config.seed)
    from worldsim.runtime.export_imaginer import load_reward
    from worldsim.runtime.reward import PictureScorer, best_of
    from worldsim.train.reward_model import load_reward_model

    bundle = find_imaginer(config)
    scorer = PictureScorer((load_reward(bundle) if bundle else load_reward_model(Path(config.model or RUN))).to(device))

    def best(make: Callable[[int], np.ndarray]) -> np.ndarray:
        number, made = best_of(
            config.best_of, lambda i: make(config.seed + i), lambda clip: scorer.score(clip, config.prompt)
        )
        print(f"the best of {config.best_of} is that of --seed {config.seed + number}")
        return made

    return best


def what_is_given(config: ImagineConfig, size: tuple[int, int]) -> Given:
    """What the files and flags give, fitted to a size (height, width).

    Raises:
        WorldsimError: for files that can't be read, or have not enough frames.
    """
    from worldsim.runtime.request import Given

    if config.sketch:
        return Given(sketch=read_png(config.sketch, "Give a PNG picture."))
    begin = read_given(config.image or config.video or config.restyle, size)
    if begin is not None and (config.restyle or config.change is not None):
        whole = begin[: (len(begin) - 1) // 4 * 4 + 1]
        if config.change is None:
            return Given(source=whole)
        return Given(clip=whole, level=config.change, region=parse_region(config.region, size))
    end = read_given(config.end, size)
    if begin is not None and end is not None:
        for path, part in ((config.video, begin), (config.end, end)):
            if path and path.suffix.lower() not in PICTURES and len(part) == 1:
                raise WorldsimError(f"{path} has one frame, too few to join: give 5 or more, or a picture")
    return Given(head=begin, tail=end)


def read_given(path: Path | None, size: tuple[int, int]) -> np.ndarray | None:
    """A picture or a clip, fitted to a size (height, width), as uint8 `[n, H, W, 3]`; says if it had another shape."""
    from worldsim.runtime.request import fit

    if path is None:
        return None
    if path.suffix.lower() in PICTURES:
        frames = read_png(path, "Give a PNG picture.")[None]
    else:
        found = [fit(frame[None], size) for frame in itertools.islice(read_frames(path), MOST_READ + 1)]
        if not found or len(found) > MOST_READ:
            raise WorldsimError(
                f"{path} has {'no' if not found else f'more than {MOST_READ}'} frames; cut a piece of it"
            )
        return np.concatenate(found)
    if frames.shape[1:3] != size:
        there = f"{frames.shape[2]}x{frames.shape[1]}"
        print(printable(f"{path} is {there}: cut around its middle and resized to {size[1]}x{size[0]}"))
    return fit(frames, size)


def parse_region(region: str, size: tuple[int, int]) -> np.ndarray | None:
    """`"8,16,32x24"` -> bool `[H, W]`; None for `""`.

    Raises:
        WorldsimError: for anything else, or what lies outside the frame.
    """
    if not region:
        return None
    try:
        left, top, rest = region.split(",")
        x, y, (w, h) = int(left), int(top), map(int, rest.lower().split("x"))
    except ValueError as error:
        raise WorldsimError(f"--region {region!r} is not LEFT,TOP,WIDTHxHEIGHT, as in 8,16,32x24") from error
    if min(x, y) < 0 or min(w, h) < 1 or x + w > size[1] or y + h > size[0]:
        raise WorldsimError(f"--region {region} lies outside frames of {size[1]}x{size[0]}")
    mask = np.zeros(size, bool)
    mask[y : y + h, x : x + w] = True
    return mask


def say_unknown(model: Imaginer, prompt: str) -> None:
    """Say which words of a prompt the model never learned."""
    if unknown := model.dit.text.unknown(prompt):
        print(printable(f"words that it doesn't know, and reads as something unknown: {', '.join(unknown[:20])}"))


def write_frames(path: Path, frames: np.ndarray) -> None:
    """Write frames uint8 `[n, H, W, 3]` as the suffix says, whole or not at all."""
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        with VideoWriter(path, FPS) as video:
            for frame in frames:
                video.write(frame)
        return
    if suffix == GIF:
        animation = cv2.Animation()
        animation.frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
        animation.durations = [round(1000 / FPS)] * len(frames)
        written, data = cv2.imencodeanimation(suffix, animation)
    else:
        written, data = cv2.imencode(suffix, frames[0][..., ::-1])
    assert written
    atomic.write_bytes(path, data.tobytes(), "Give another --out.")
