"""The captioner: it says what clips show, and what it wrote can be learned from in place of what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, COLOURS, DIT, painted_clips
from square import EAGER

from worldsim.cli.main import main
from worldsim.data.captioned import CaptionedClips
from worldsim.data.synonyms import Synonyms
from worldsim.errors import WorldsimError
from worldsim.models.captioner import Captioner, CaptionerConfig
from worldsim.models.clip_towers import ClipTowersConfig
from worldsim.models.text import TextConfig
from worldsim.train.captioner import CaptionerTraining, caption_figures, load_describer, train_captioner
from worldsim.train.clip_towers import ClipTowersTraining, train_clip_towers
from worldsim.train.video_autoencoder import VideoAutoencoderTraining, load_video_autoencoder, train_video_autoencoder
from worldsim.train.video_dit import VideoDiTTraining, train_video_dit

TOWERS = ClipTowersConfig(width=32, heads=2, depth=1, embedding=16, text=TextConfig(width=32, heads=2, depth=1))
CAPTIONER = CaptionerConfig(width=32, heads=2, depth=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    path = painted_clips(tmp_path_factory.mktemp("painted")).path
    return CaptionedClips(path, Synonyms(contrasts=(tuple(COLOURS),)))


@pytest.fixture(scope="module")
def run(clips: CaptionedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a little of everything that a captioner needs, and a captioner."""
    out = tmp_path_factory.mktemp("run")
    training = VideoAutoencoderTraining(steps=8, batch=1, row_pixels=17 * 32 * 48)
    autoencoder = train_video_autoencoder(clips, out, AUTOENCODER, training, EAGER)
    train_clip_towers(clips, autoencoder, out, TOWERS, ClipTowersTraining(steps=30, batch=8, lr=4e-3), EAGER)
    train_captioner(clips, out, CAPTIONER, CaptionerTraining(steps=150, batch=8, lr=4e-3), EAGER)
    return out


def test_it_says_what_is_there(clips: CaptionedClips, run: Path) -> None:
    describer = load_describer(run)
    for frames in (1, 5):
        painted = np.stack([np.full((frames, 32, 48, 3), colour, np.uint8) for colour in COLOURS.values()])
        likely = describer.captions(painted)
        assert all(name in text.split() for name, text in zip(COLOURS, likely, strict=True))
    drawn = [describer.captions(painted, seed) for seed in range(8)]
    assert all(texts[0] for texts in drawn) and len({texts[0] for texts in drawn}) > 1
    assert describer.captions(painted, 3) == drawn[3]
    assert caption_figures(describer, clips) == {"true": 1.0}


def test_what_comes_later_changes_nothing() -> None:
    torch.manual_seed(0)
    captioner = Captioner(CaptionerConfig(("a", "b", "c"), features=8, width=16, heads=2, depth=2)).eval()
    features, tokens = torch.randn(2, 5, 8), torch.tensor([[1, 3, 4, 5], [1, 4, 4, 3]])
    with torch.no_grad():
        whole, part = captioner(tokens, features), captioner(tokens[:, :2], features)
    torch.testing.assert_close(whole[:, :2], part)


def test_clips_are_told_anew_and_learned_from(
    clips: CaptionedClips, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "captions.json"
    assert main(["caption", str(clips.path), "--model", str(run), "--out", str(out), "--device", "cpu"]) == 0
    assert "40 clips" in capsys.readouterr().out
    told = CaptionedClips(clips.path, clips.synonyms, out)
    assert told.digest == clips.digest and told.retold and not clips.retold
    for number in (0, 1, 2, 39):
        story, moments = told.words(number)
        assert len(story) == 2 and len(moments) == 2 and told.clip(number).moments == moments
        colour = next(name for name in COLOURS if name in clips.words(number)[0][0].split())
        assert all(colour in text.split() for text in (*story, *moments[0], *moments[1]))
    autoencoder = load_video_autoencoder(run / "video-autoencoder.safetensors")
    training = VideoDiTTraining(steps=1, batch=1, row_tokens=48)
    train_video_dit(told, autoencoder, tmp_path / "dit", DIT, training, EAGER)
    with pytest.raises(WorldsimError, match=r"trained with other settings \(.*captions"):
        train_video_dit(clips, autoencoder, tmp_path / "dit", DIT, training, EAGER)
    other = painted_clips(tmp_path / "other", frames=1)
    with pytest.raises(WorldsimError, match="it is of another set of clips"):
        CaptionedClips(other.path, retold=out)
    with pytest.raises(WorldsimError, match="there is no"):
        CaptionedClips(clips.path, retold=tmp_path / "none.json")


def test_without_a_captioner_nothing_is_told(clips: CaptionedClips, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="train it first: worldsim train captioner"):
        load_describer(tmp_path)
    with pytest.raises(WorldsimError, match="train it first: worldsim train clip"):
        train_captioner(clips, tmp_path, CAPTIONER, CaptionerTraining(steps=1), EAGER)
