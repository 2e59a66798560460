"""What play begins with besides a start: a picture painted of words, or a file's. Says what it did; opens no window."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.runtime.base import Device
from worldsim.runtime.bundle import open_world
from worldsim.runtime.imaginer import open_imaginer
from worldsim.runtime.looks import Looks
from worldsim.runtime.painter import Painter, check_prompt, unknown_words
from worldsim.runtime.pictures import Strangeness, fitting, read_picture
from worldsim.runtime.session import Session
from worldsim.terminal import printable


def painted(prompt: str, world: str | None, imaginer: str, device: Device, seed: int) -> tuple[str, np.ndarray, str]:
    """Paint a picture for a world, or for the one that the imaginer draws, and say so.

    A look that the world can be drawn in is not painted: the picture is in the world's own, which it can play.

    Returns:
        the world as `open_world` takes it; the picture uint8 `[1, h, w, 3]`; and the look that was asked for, or "".

    Raises:
        WorldsimError: for a prompt without words or with too many, no imaginer, or a world that it doesn't draw.
    """
    check_prompt(prompt)
    named = open_world(world).spec.name if world else ""
    bundle = open_imaginer(imaginer, named, prompt)
    name = named or bundle.world
    bundle.size_of(name)  # before anything is said or loaded
    looks = Looks.open(open_world(world or bundle.world))
    look, told = looks.asked(prompt) if looks else ("", prompt)
    if said := unknown_words(bundle, prompt):
        print(printable(said))
    began = time.perf_counter()
    picture = Painter(bundle, device).paint(told, name, seed=seed)
    drawn = f", drawn in the look {look!r}" if look else ""
    print(printable(f"painted {prompt.strip()!r} in {time.perf_counter() - began:.1f} s{drawn}"))
    return world or bundle.world, picture[None], look


def read_beginning(path: Path, world: str | None) -> np.ndarray:
    """A picture to begin with, uint8 `[1, h, w, 3]`; says how it is fitted.

    Raises:
        WorldsimError: if no world is named, or it can't be read.
    """
    if world is None:
        raise WorldsimError(f"--image {path}: name the world that it is of, as in --world toybox")
    picture = read_picture(path)
    if said := fitting(picture, open_world(world).spec):
        print(printable(f"{path}: {said}"))
    return picture[None]


def say_verdict(session: Session, frame: np.ndarray) -> None:
    """Say how strange a frame of the world's size, uint8 `[H, W, 3]`, is to it, before it is played."""
    strangeness = Strangeness(session)
    print(f"the picture is {strangeness.verdict(float(strangeness.of_frames(frame[None])[0]))}", flush=True)
