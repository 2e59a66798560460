"""Imagining with small networks that know nothing: what is given stays, levels, guidance, samplers, windows, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, DIT
from torch import Tensor

from worldsim.errors import WorldsimError
from worldsim.models.token_sampler import SAMPLERS, ddim, euler, sample
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import VideoDiT
from worldsim.runtime.imagine import Imaginer, imagine, lay_out
from worldsim.runtime.request import Given, Guidance, fit, read_sketch

SIZE = (32, 48)


@pytest.fixture(scope="module")
def model() -> Imaginer:
    torch.manual_seed(0)
    autoencoder, dit = VideoAutoencoder(AUTOENCODER), VideoDiT(DIT)
    with torch.no_grad():
        for p in (*autoencoder.parameters(), *dit.parameters()):
            if not p.any():
                p.normal_(std=0.05)
    return Imaginer(autoencoder.eval(), dit.eval())


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (17, *SIZE, 3), np.uint8)


def quick(model: Imaginer, given: Given | None = None, text: str = "a ball", **options: Any) -> np.ndarray:
    return imagine(model, given, text, SIZE, **{"frames": 9, "steps": 2, **options})


def test_same_seed_same_clip(model: Imaginer) -> None:
    first, again, other = quick(model, seed=4), quick(model, seed=4), quick(model, seed=5)
    assert first.shape == (9, *SIZE, 3) and first.dtype == np.uint8
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("frames_asked", [9, 17, 33])
def test_what_is_given_is_kept(model: Imaginer, frames: np.ndarray, frames_asked: int) -> None:
    head, tail = frames[:5], frames[-5:]
    onwards = quick(model, Given(head=head), frames=frames_asked)
    back = quick(model, Given(tail=tail), frames=frames_asked)
    assert len(onwards) == len(back) == frames_asked
    assert (onwards[:5] == head).all() and (back[-5:] == tail).all()


@pytest.mark.parametrize(
    ("begin", "end", "frames_asked"), [(1, 1, 9), (5, 5, 17), (1, 17, 33), (13, 9, 41), (5, 1, 37)]
)
def test_joined(model: Imaginer, frames: np.ndarray, begin: int, end: int, frames_asked: int) -> None:
    joined = quick(model, Given(head=frames[:begin], tail=frames[-end:]), frames=frames_asked)
    assert len(joined) == frames_asked
    assert (joined[:begin] == frames[:begin]).all() and (joined[-end:] == frames[-end:]).all()


def test_only_the_region_is_painted(model: Imaginer, frames: np.ndarray) -> None:
    region = np.zeros(SIZE, bool)
    region[2:10, 20:30] = True  # tokens of 16 x 16 pixels: the second of the first row
    painted = quick(model, Given(clip=frames, region=region), frames=17)
    changed = (painted != frames).any((0, 3))
    assert changed[:16, 16:32].mean() > 0.9 and not changed[16:].any() and not changed[:, :16].any()


def test_changed_clips_keep_more_at_higher_levels(model: Imaginer, frames: np.ndarray) -> None:
    """Of networks that know nothing: the level decides how much of the noise is in what they see."""
    known, start = lay_out(model, Given(clip=frames, level=0.75), (5, 2, 3))
    assert known.shape == (30, DIT.channels * 4) and (start == 0.75).all()
    seen: list[Tensor] = []

    def look(noisy: Tensor, tau: Tensor) -> Tensor:
        seen.append(noisy.clone())
        return noisy

    noise = torch.randn(known.shape)
    sample(look, known, start, 1, euler, lambda _: noise)
    torch.testing.assert_close(seen[0], 0.75 * known + 0.25 * noise)
    longer = np.concatenate([frames, frames[:12]])
    assert len(quick(model, Given(clip=longer, level=0.5), frames=29)) == 29


def test_given_tokens_are_untouched_and_flagged(model: Imaginer, frames: np.ndarray) -> None:
    known, start = lay_out(model, Given(head=frames[:5], tail=frames[-5:]), (5, 2, 3))
    given = start.unflatten(0, (5, -1))[:, 0]
    assert given.tolist() == [1, 1, 0, 0, 1]
    torch.testing.assert_close(known[:12], model.encode(frames[:5]).flatten(0, 1))
    levels: list[Tensor] = []

    def look(noisy: Tensor, tau: Tensor) -> Tensor:
        levels.append(tau)
        assert torch.equal(noisy[start == 1], known[start == 1])
        return torch.ones_like(noisy)

    made = sample(look, known, start, 4, SAMPLERS["ddpm"], lambda draw: torch.randn(known.shape))
    assert torch.equal(made[start == 1], known[start == 1]) and (made[start < 1] == 1).all()
    assert [float(level[start < 1][0]) for level in levels] == [0, 0.25, 0.5, 0.75]
    assert all((level[start == 1] == 1).all() for level in levels)


def test_guidance_of_one_is_the_model_itself(model: Imaginer) -> None:
    extent, given = (2, 2, 3), torch.zeros(12, dtype=torch.bool)
    noisy, tau = torch.randn(12, DIT.channels * 4), torch.full((12,), 0.3)

    @torch.no_grad()
    def ask(text: str, guidance: float) -> Tensor:
        return model.denoiser(extent, given, text, Guidance(guidance))(noisy, tau)

    told, untold = ask("a ball", 1.0), ask("", 1.0)
    torch.testing.assert_close(ask("a ball", 1.0 + 1e-9), told, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ask("a ball", 0.0), untold, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ask("", 3.0), untold)
    torch.testing.assert_close(ask("a ball", 3.0), untold + 3 * (told - untold), rtol=1e-2, atol=1e-2)


def test_two_guidances(model: Imaginer, frames: np.ndarray) -> None:
    """e(0, 0) + s_I (e(I, 0) - e(0, 0)) + s_T (e(I, T) - e(I, 0)), of a clip that is made again."""
    extent, given = (2, 2, 3), torch.zeros(12, dtype=torch.bool)
    noisy, tau = torch.randn(12, DIT.channels * 4), torch.full((12,), 0.3)

    @torch.no_grad()
    def ask(text: str, guidance: Guidance, source: np.ndarray | None = frames[:5]) -> Tensor:
        return model.denoiser(extent, given, text, guidance, source=source)(noisy, tau)

    both, shown, neither = ask("a ball", Guidance(1, 1)), ask("", Guidance(1, 1)), ask("", Guidance(1, 1), None)
    assert not torch.allclose(shown, neither, atol=1e-3) and not torch.allclose(both, shown, atol=1e-3)
    expected = neither + 1.5 * (shown - neither) + 4 * (both - shown)
    torch.testing.assert_close(ask("a ball", Guidance(4, 1.5)), expected, rtol=1e-2, atol=1e-2)
    assert len(Guidance(1, 1).passes("a ball", True)) == 1 and len(Guidance(4, 1.5).passes("a ball", True)) == 3
    assert len(Guidance(4, 1.5).passes("a ball", False)) == 2 and len(Guidance(4, 1.5).passes("", False)) == 1


def test_a_sketch_is_of_the_first_frame(model: Imaginer) -> None:
    drawing = np.full((*SIZE, 3), 255, np.uint8)
    drawing[8:24, 16:18] = 0
    plain, drawn = quick(model, frames=25), quick(model, Given(sketch=drawing), frames=25)
    assert drawn.shape == plain.shape and (drawn[0] != plain[0]).any()
    assert (quick(model, Given(sketch=255 - drawing), frames=25) == drawn).all()
    assert (quick(model, Given(sketch=np.roll(drawing, 20, 1)), frames=25) != drawn).any()


def test_a_clip_is_made_again_window_by_window(model: Imaginer, frames: np.ndarray) -> None:
    longer = np.concatenate([frames, frames[:12]])
    made = quick(model, Given(source=longer), frames=29)
    assert made.shape == longer.shape
    other = longer.copy()
    other[20:] = 255 - other[20:]
    again = quick(model, Given(source=other), frames=29)
    assert (again[:17] == made[:17]).all() and (again[17:] != made[17:]).any()
    assert quick(model, Given(source=frames[:1]), frames=1).shape == (1, *SIZE, 3)


def test_drawings_are_read_on_light_on_dark_and_in_any_size() -> None:
    drawing = np.full((640, 960, 3), (250, 240, 230), np.uint8)
    drawing[200:206, 100:800] = (20, 40, 200)  # a line
    drawing[300:500, 300:500] = 30  # a filled square
    lines = read_sketch(drawing, SIZE)
    assert lines.shape == SIZE and set(np.unique(lines)) == {0, 255}
    assert lines[10, 10:38].all() and not lines[13].any()
    assert lines[15:25, 15].all() and lines[15, 15:25].all() and not lines[18:22, 18:22].any()  # its outline
    assert (read_sketch(255 - drawing, SIZE) == lines).all()
    assert (read_sketch(np.repeat(lines[..., None], 3, -1), SIZE) == lines).all()


def test_samplers_reach_a_known_normal_distribution() -> None:
    """For data N(2, 0.5^2) the best prediction is known; every sampler must draw from that distribution."""
    mean, deviation = 2.0, 0.5
    start = torch.zeros(4000)

    def posterior(noisy: Tensor, tau: Tensor) -> Tensor:
        share, spread = tau[:, None], (1 - tau[:, None]).square()
        gain = share * deviation**2 / (share.square() * deviation**2 + spread)
        return mean + gain * (noisy - share * mean)

    for rule in SAMPLERS.values():
        generator = torch.Generator().manual_seed(2)
        draw: Callable[[int], Tensor] = lambda _: torch.randn(4000, 1, generator=generator)  # noqa: B023, E731
        made = sample(posterior, torch.zeros(4000, 1), start, 100, rule, draw)
        assert abs(float(made.mean()) - mean) < 0.05 and abs(float(made.std()) - deviation) < 0.05


def test_ddim_is_euler() -> None:
    noisy, clean, tau, fresh = torch.randn(6, 3), torch.randn(6, 3), torch.rand(6, 1), torch.randn(6, 3)
    following = tau + (1 - tau) * torch.rand(6, 1)
    torch.testing.assert_close(ddim(noisy, clean, tau, following, fresh), euler(noisy, clean, tau, following, fresh))


def test_fit_keeps_shapes_of_things(frames: np.ndarray) -> None:
    wide = np.zeros((2, 40, 200, 3), np.uint8)
    wide[:, :, 80:120] = 255
    fitted = fit(wide, (32, 48))
    assert fitted.shape == (2, 32, 48, 3)
    assert abs(int((fitted[0, 16, :, 0] > 127).sum()) - 32) <= 1  # as wide as the frame is high
    assert (fit(frames, SIZE) == frames).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (32, 40)}, "a size of 40x32: give a width that is a multiple of 16"),
        ({"size": (16, 48)}, "from 32 to 256"),
        ({"size": (32, 4096)}, "from 32 to 256"),
        ({"frames": 10}, "10 frames: clips have 4 k \\+ 1 of them, up to 1021; try 9"),
        ({"frames": 100_000}, "try 1021"),
        ({"steps": -1}, "-1 steps"),
        ({"guidance": float("nan")}, "a guidance of nan"),
        ({"seed": -1}, "seed -1"),
        ({"sampler": "heun"}, "no sampler 'heun'; there are euler, ddim, ddpm"),
        ({"text": "ball " * 97}, "a prompt of 97 words"),
        ({"given": Given(head=np.zeros((1, 48, 32, 3), np.uint8))}, "the head that is given"),
        ({"given": Given(level=0.5)}, "a region or a level is of a clip"),
        ({"given": Given(clip=np.zeros((5, *SIZE, 3), np.uint8))}, "changed to as many"),
        ({"given": Given(clip=np.zeros((9, *SIZE, 3), np.uint8), level=1.0)}, "a level of 1.0"),
        ({"given": Given(sketch=np.full((50, 40, 3), 200, np.uint8))}, "nothing is drawn in the sketch"),
        (
            {
                "given": Given(
                    sketch=np.eye(32, dtype=np.uint8)[..., None] * 255, head=np.zeros((1, *SIZE, 3), np.uint8)
                )
            },
            "head and sketch are given: a sketch or a source stands alone",
        ),
        ({"given": Given(source=np.zeros((9, *SIZE, 3), np.uint8))}, "say how it is to look"),
        (
            {"given": Given(source=np.zeros((5, *SIZE, 3), np.uint8)), "text": "a"},
            "made again with as many, not with 9",
        ),
        ({"given": Given(source=np.zeros((9, 48, 32, 3), np.uint8)), "text": "a"}, "the source that is given"),
        ({"source_guidance": 50.0}, "a guidance of 50"),
        ({"given": Given(head=np.zeros((13, *SIZE, 3), np.uint8))}, "13 frames are given, and 9 asked for"),
        (
            {"given": Given(head=np.zeros((5, *SIZE, 3), np.uint8), tail=np.zeros((5, *SIZE, 3), np.uint8))},
            "nothing is left to join",
        ),
    ],
)
def test_what_cant_be_imagined_is_said(model: Imaginer, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        imagine(model, **{"size": SIZE, "frames": 9, "steps": 1, **options})
