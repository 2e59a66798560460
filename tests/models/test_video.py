"""The video networks: causality, any size, tokens and back, a noise level a token, packed equals one by one, words."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from worldsim.models.guides import guide_tokens
from worldsim.models.text import TextConfig, TextEncoder, vocabulary
from worldsim.models.video_autoencoder import VideoAutoencoder, VideoAutoencoderConfig
from worldsim.models.video_dit import PADDING, Tokens, VideoDiT, VideoDiTConfig, pack, places, to_latents, to_tokens
from worldsim.models.words import MOST_WORDS

TEXT = TextConfig(words=("a", "ball", "blue", "red"), width=32, heads=2, depth=1)
CONFIG = VideoDiTConfig(channels=4, patch_size=(2, 1), width=64, heads=2, depth=2, word_every=1, text=TEXT)


def stirred(model: torch.nn.Module) -> torch.nn.Module:
    """With random weights wherever training would begin at zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            if not p.any():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def autoencoder() -> VideoAutoencoder:
    torch.manual_seed(0)
    model = stirred(VideoAutoencoder(VideoAutoencoderConfig(channels=4, widths=(16, 24), blocks=1)))
    assert isinstance(model, VideoAutoencoder)
    return model


@pytest.fixture(scope="module")
def dit() -> VideoDiT:
    torch.manual_seed(0)
    model = stirred(VideoDiT(CONFIG))
    assert isinstance(model, VideoDiT)
    return model


def clip_tokens(extent: tuple[int, int, int], seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    place, size = (x[None] for x in places(extent))
    count = place.shape[1]
    values = torch.randn(1, count, CONFIG.token_width, generator=generator)
    tau = torch.rand(1, count, generator=generator)
    given = torch.rand(1, count, generator=generator) < 0.3
    source = torch.randn(count, CONFIG.token_width, generator=generator) if seed % 2 else None
    sketch = torch.rand(1, extent[1] * 16, extent[2] * 8, generator=generator) if seed % 3 else None
    return Tokens(values, place, size, tau, given, guide_tokens(extent, CONFIG.token_width, sketch, source)[None])


@torch.no_grad()
def test_the_autoencoder_is_causal(autoencoder: VideoAutoencoder) -> None:
    pixels = torch.rand(2, 13, 3, 24, 40) * 2 - 1
    latents = autoencoder.encode(pixels)
    assert latents.shape == (2, 4, 4, 3, 5)
    torch.testing.assert_close(autoencoder.encode(pixels[:, :5]), latents[:, :2])
    torch.testing.assert_close(autoencoder.encode(pixels[:, :1]), latents[:, :1])
    rebuilt = autoencoder.decode(latents)
    assert rebuilt.shape == pixels.shape
    torch.testing.assert_close(autoencoder.decode(latents[:, :2]), rebuilt[:, :5], rtol=1e-4, atol=1e-5)
    later = latents.clone()
    later[:, 1] += 1
    assert not torch.allclose(autoencoder.decode(later)[:, 5:], rebuilt[:, 5:])  # it does look back


@torch.no_grad()
def test_the_autoencoder_knows_no_size(autoencoder: VideoAutoencoder) -> None:
    """What is far from the border is encoded alike in a small frame and in a large one."""
    large = torch.rand(1, 1, 3, 128, 160) * 2 - 1
    small = large[..., 16:112, 8:152]
    torch.testing.assert_close(
        autoencoder.encode(small)[..., 5:-5, 5:-5], autoencoder.encode(large)[..., 7:-7, 6:-6], rtol=1e-4, atol=1e-5
    )


def test_tokens_and_back() -> None:
    latents = torch.randn(2, 3, 4, 6, 5)
    tokens = to_tokens(latents, (2, 1))
    assert tokens.shape == (2, 3 * 3 * 5, 8)
    assert torch.equal(to_latents(tokens, (3, 3, 5), (2, 1)), latents)
    place, extent = places((3, 3, 5))
    at = int((place == torch.tensor([1, 2, 4])).all(1).nonzero())
    assert torch.equal(tokens[0, at], latents[0, 1, :, 4:6, 4].flatten()) and (extent == torch.tensor([3, 3, 5])).all()


@torch.no_grad()
def test_every_token_has_its_own_level_and_flag(dit: VideoDiT) -> None:
    clip, words = clip_tokens((2, 2, 3), 1), dit.text.tokens(["a red ball"])[:, None]
    made = dit(clip, words)
    tau = clip.tau.clone()
    tau[0, 4] = 0.9 - tau[0, 4]
    given = clip.given.clone()
    given[0, 7] = ~given[0, 7]
    for changed, at in ((clip._replace(tau=tau), 4), (clip._replace(given=given), 7)):
        change = (dit(changed, words) - made).abs().mean(-1)[0]
        assert change.argmax() == at and (change > 0).all()


@torch.no_grad()
def test_guides_add_nothing_at_first_and_then_where_they_are(dit: VideoDiT) -> None:
    clip, words = clip_tokens((2, 2, 3), 0), dit.text.tokens(["a red ball"])[:, None]
    sketch = torch.zeros(1, 32, 24)
    sketch[0, 17, 10] = 1  # the token of the second row and column
    drawn, blank, source = (
        clip._replace(guide=guide_tokens((2, 2, 3), CONFIG.token_width, *guides)[None])
        for guides in ((sketch, None), (sketch * 0, None), (None, clip.values[0] * 0))
    )
    assert drawn.guide.shape == clip.guide.shape and not clip.guide.any()
    begun = VideoDiT(CONFIG)
    torch.nn.init.normal_(begun.out.weight)
    assert torch.equal(begun(drawn, words), begun(clip, words))
    assert (dit(drawn, words) - dit(blank, words)).abs().mean(-1)[0].argmax() == 4
    assert not torch.allclose(dit(blank, words), dit(clip, words), atol=1e-4)  # an empty sketch is not none
    assert not torch.allclose(dit(source, words), dit(clip, words), atol=1e-4)


@torch.no_grad()
def test_packed_equals_one_by_one(dit: VideoDiT) -> None:
    extents = [(2, 2, 3), (1, 4, 2), (3, 1, 5), (1, 1, 2), (2, 3, 1)]
    texts = ["a red ball", "", "blue", "a blue ball, a red ball", "ball"]
    clips = [clip_tokens(extent, seed) for seed, extent in enumerate(extents)]
    packed, words = pack(clips, dit.text.tokens(texts), 20)
    assert packed.text is not None and packed.text.shape == (3, 20) and words.shape[:2] == (3, 2)
    made = dit(packed, words)
    rows = {0: (1, 0), 1: (1, 1), 2: (0, 0), 3: (0, 1), 4: (2, 0)}  # 15 + 2 tokens, 12 + 8, 6
    for i, (clip, text) in enumerate(zip(clips, texts, strict=True)):
        alone = dit(clip, dit.text.tokens([text])[:, None])
        row, place = rows[i]
        torch.testing.assert_close(made[row, packed.text[row] == place], alone[0], rtol=1e-4, atol=1e-5)
    assert (packed.text == PADDING).sum() == 60 - 43 and made.isfinite().all()


@torch.no_grad()
def test_place_and_words_matter(dit: VideoDiT) -> None:
    clip = clip_tokens((2, 2, 3), 1)
    made = dit(clip, dit.text.tokens(["a red ball"])[:, None])
    assert not torch.allclose(made, dit(clip, dit.text.tokens(["a blue ball"])[:, None]), atol=1e-4)
    assert not torch.allclose(made, dit(clip, dit.text.tokens(["ball red a"])[:, None]), atol=1e-4)
    larger = clip._replace(extent=clip.extent + torch.tensor([0, 1, 0]))
    assert not torch.allclose(made, dit(larger, dit.text.tokens(["a red ball"])[:, None]), atol=1e-4)


@torch.no_grad()
def test_padding_of_words_changes_nothing(dit: VideoDiT) -> None:
    def features(*texts: str) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = dit.text(dit.text.tokens(texts))
        return found

    (alone, mean), (beside, means) = features("a red"), features("a red", "a blue ball a blue ball")
    torch.testing.assert_close(beside[0, :3], alone[0])
    torch.testing.assert_close(means[0], mean[0])


def test_unknown_words_are_one_token_and_are_said() -> None:
    text = TextEncoder(TEXT)
    assert text.unknown("A red zebra's ball; a zebra's") == ["zebra's"]
    assert torch.equal(text.tokens(["a zebra"]), text.tokens(["a Gnu!"]))
    assert text.tokens([""]).shape == (1, 1)
    assert text.tokens(["ball " * 500]).shape == (1, 1 + MOST_WORDS)


def test_vocabulary_has_words_that_occur_often() -> None:
    assert vocabulary(["A ball, a ball.", "a box", "a Ball!"]) == ("a", "ball")
