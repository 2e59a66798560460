"""Events in words: what they mean, where they happen, that all else stays; painted by a small real imaginer too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, DIT

from worldsim.errors import WorldsimError
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import VideoDiT
from worldsim.runtime.bundle import open_world
from worldsim.runtime.events import HELD, Event, happen, parse_event, picture_after, region_of
from worldsim.runtime.imagine import Imaginer
from worldsim.runtime.load import load_runtime
from worldsim.runtime.repaint import Repainter
from worldsim.runtime.sampler_defaults import SamplerDefaults
from worldsim.runtime.session import Session
from worldsim_envs.toybox.live import Brush

LOOKS = ("day", "night", "ink", "pastel")
FLOOR, RED = (168, 146, 120), (225, 35, 40)


@pytest.mark.parametrize(
    ("words", "event"),
    [
        ("Night falls", Event("look", "night")),
        ("all turns to ink.", Event("look", "ink")),
        ("day breaks", Event("look", "day")),
        ("A yellow ball drops in!", Event("appears", "yellow ball")),
        ("blue block appears", Event("appears", "blue block")),
        ("the red ball  is gone", Event("vanishes", "red ball")),
        ("the green cone disappears", Event("vanishes", "green cone")),
        ("a night lamp appears", Event("appears", "night lamp")),
        ("night is here", Event("look", "night")),
    ],
)
def test_what_is_told(words: str, event: Event) -> None:
    assert parse_event(words, LOOKS) == event


@pytest.mark.parametrize("words", ["", "hello", "from day to night", "is gone", "drops in"])
def test_what_is_no_event_is_said(words: str) -> None:
    with pytest.raises(WorldsimError, match="is no event that can be made to happen; say 'a yellow ball drops in'"):
        parse_event(words, LOOKS)
    with pytest.raises(WorldsimError, match="an event of 5,001 letters"):
        parse_event("x" * 5001)


def room() -> np.ndarray:
    """A floor with a red block in its left half."""
    frame = np.full((64, 64, 3), FLOOR, np.uint8)
    frame[:40] = (226, 216, 198)
    frame[42:52, 10:20] = RED
    return frame


def test_a_thing_appears_where_nothing_is_and_vanishes_where_it_was() -> None:
    frame, brush = room(), Brush(64)
    come = parse_event("a yellow ball drops in")
    region = region_of(frame, come, brush)
    assert region[63].any() and not region[:, :22].any() and not region[:32].any()
    picture = picture_after(frame, come, brush, 3)
    assert ((picture == (250, 220, 30)).all(-1) & region).sum() > 50
    np.testing.assert_array_equal(picture[~region], frame[~region])
    gone = picture_after(picture, parse_event("the red block is gone"), brush)
    assert np.abs(gone[42:52, 10:20].astype(int) - RED).sum(-1).min() > 60
    np.testing.assert_array_equal(gone[:, 24:], picture[:, 24:])


def test_what_cant_happen_is_said() -> None:
    brush = Brush(64)
    with pytest.raises(WorldsimError, match="there is no blue ball in view"):
        picture_after(room(), parse_event("the blue ball is gone"), brush)
    with pytest.raises(WorldsimError, match="name one of red, yellow"):
        picture_after(room(), parse_event("the ball is gone"), brush)
    with pytest.raises(WorldsimError, match="there is no room in view"):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        picture_after(noise, parse_event("a yellow ball drops in"), brush)


@pytest.fixture(scope="module")
def repainter() -> Repainter:
    torch.manual_seed(0)
    text = dataclasses.replace(DIT.text, words=("a", "ball", "yellow", "no", "toys"))
    autoencoder, dit = VideoAutoencoder(AUTOENCODER), VideoDiT(dataclasses.replace(DIT, text=text))
    with torch.no_grad():
        for p in (*autoencoder.parameters(), *dit.parameters()):
            if not p.any():
                p.normal_(std=0.05)
    return Repainter(Imaginer(autoencoder.eval(), dit.eval(), SamplerDefaults(2)))


def test_the_imaginer_paints_the_region_alone_and_play_goes_on(repainter: Repainter, tiny_world: Path) -> None:
    session = Session(load_runtime(open_world(tiny_world), "onnx", "cpu"))
    state = session.start([0, 1], [3, 4])
    state = dataclasses.replace(state, frame=np.full_like(state.frame, 100))  # with room for something
    event = parse_event("a yellow ball drops in")
    (after, *held), (again, *_) = (happen(session, state, [event] * 2, repainter) for _ in range(2))
    np.testing.assert_array_equal(after.frame, again.frame)
    assert (after.frame[0] != after.frame[1]).any()  # other noise in each row
    for i in range(2):
        region = region_of(state.frame[i], event, repainter)
        np.testing.assert_array_equal(after.frame[i][~region], state.frame[i][~region])
        assert (after.frame[i] != state.frame[i])[region].mean() > 0.5
    assert after.entries is state.entries and (after.index == 0).all() and len(held) == HELD
    for number, later in enumerate(held, 1):
        assert (later.number == state.number + number).all()
        for i in range(2):
            region = region_of(state.frame[i], event, repainter)
            np.testing.assert_array_equal(later.frame[i][region], after.frame[i][region])
    goes_on, _ = session.step(held[-1], np.array([1, 1]))
    assert (goes_on.index == 1).all()
