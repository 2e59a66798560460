"""`worldsim record clips`, the trainings of what imagines, and `worldsim imagine`: files in, files out, one error."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from bombs import png_bomb
from painted import AUTOENCODER, DIT, painted_clips
from tiny_imaginer import tiny_networks, tiny_reward

from worldsim.cli.find import choose
from worldsim.cli.main import main
from worldsim.data.captioned import SHARD, CaptionedClips
from worldsim.data.video import VideoWriter, read_frames
from worldsim.errors import WorldsimError
from worldsim.models.clip_towers import ClipTowers, ClipTowersConfig
from worldsim.models.text import TextConfig
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.models.video_dit import VideoDiT
from worldsim.runtime.export_imaginer import export_imaginer
from worldsim.safe_read import read_png
from worldsim.train import checkpoint
from worldsim.train.reward_model import save_reward_model
from worldsim.train.video_autoencoder import latents_digest
from worldsim.train.video_dit import load_imaginer

TOWERS = ClipTowersConfig(4, width=32, heads=2, depth=1, embedding=16, text=TextConfig(("a", "ball", "red"), 32, 2, 1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that know nothing, as a run leaves them."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    text = dataclasses.replace(DIT.text, words=("a", "ball", "red"))
    config = dataclasses.replace(DIT, text=text)
    for kind, name, made, settings in (
        ("VideoAutoencoder", "video-autoencoder", VideoAutoencoder(AUTOENCODER), AUTOENCODER),
        ("VideoDiT", "video-dit", VideoDiT(config), config),
        ("ClipTowers", "clip-towers", ClipTowers(TOWERS), TOWERS),
    ):
        header = {"kind": kind, "config": dataclasses.asdict(settings)}
        checkpoint.write(folder / f"{name}.safetensors", made.state_dict(), header)
    save_reward_model(folder / "reward-model.safetensors", tiny_reward(("a", "ball", "red")))
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    return path


def write_video(path: Path, frames: int) -> Path:
    with VideoWriter(path, 15) as video:
        for i in range(frames):
            video.write(np.full((32, 48, 3), 10 * i, np.uint8))
    return path


def imagine(model: Path, *options: object) -> int:
    return main(["imagine", "--model", str(model), "--size", "48x32", "--steps", "1", *map(str, options)])


def test_words_to_a_picture(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ball.png"
    assert imagine(model, "--prompt", "a red zebra", "--out", out) == 0
    assert read_png(out, "").shape == (32, 48, 3)
    said = capsys.readouterr().out
    assert "doesn't know" in said and "zebra" in said and "red," not in said and "1 frame of 48x32" in said


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_picture_to_a_clip(model: Path, picture: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"clip{suffix}"
    assert imagine(model, "--image", picture, "--frames", 9, "--out", out) == 0
    frames = list(read_frames(out, 32, 48))
    assert len(frames) == 9
    assert np.abs(frames[0].astype(int) - read_png(picture, "")).mean() < 40


def test_clips_go_on_are_joined_and_changed(model: Path, picture: Path, tmp_path: Path) -> None:
    video, out = write_video(tmp_path / "given.mp4", 6), tmp_path / "out.mp4"
    for options, frames in (
        (["--video", video, "--frames", 13], 13),
        (["--end", video, "--frames", 9], 9),
        (["--image", picture, "--end", video, "--frames", 13], 13),
        (["--video", video, "--change", 0.5, "--region", "0,0,20x20", "--prompt", "a ball"], 5),
    ):
        assert imagine(model, *options, "--out", out) == 0
        assert len(list(read_frames(out))) == frames


def test_sketches_and_clips_made_again(model: Path, picture: Path, tmp_path: Path) -> None:
    video, out, drawing = write_video(tmp_path / "given.mp4", 6), tmp_path / "out.mp4", tmp_path / "drawing.png"
    lines = np.full((90, 90, 3), 255, np.uint8)
    cv2.circle(lines, (45, 45), 20, (0, 0, 0), 2)
    cv2.imwrite(str(drawing), lines)
    for options, frames in (
        (["--sketch", drawing, "--prompt", "a red ball", "--frames", 9], 9),
        (["--sketch", drawing], 17),
        (["--restyle", video, "--prompt", "red"], 5),
        (["--restyle", picture, "--prompt", "red", "--source-guidance", 2], 1),
    ):
        assert imagine(model, *options, "--out", out) == 0
        assert len(list(read_frames(out))) == frames


def test_a_picture_of_another_size_is_fitted_and_said_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((200, 100, 3), np.uint8))
    assert imagine(model, "--image", tmp_path / "large.png", "--frames", 5, "--out", tmp_path / "x.gif") == 0
    assert "large.png is 100x200: cut around its middle" in capsys.readouterr().out


def test_the_best_of_several_is_one_of_them(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--prompt", "a red ball", "--out"]
    assert imagine(model, *options, tmp_path / "best.png", "--best-of", 3, "--seed", 5) == 0
    said = capsys.readouterr().out
    seed = int(said.split("the best of 3 is that of --seed ")[1].split()[0])
    assert seed in (5, 6, 7)
    assert imagine(model, *options, tmp_path / "one.png", "--seed", seed) == 0
    assert (read_png(tmp_path / "best.png", "") == read_png(tmp_path / "one.png", "")).all()


def test_frames_are_found_by_words(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = tmp_path / "recording"
    record = ["record", "toybox", "--size", "72x40", "--frames", "60", "--episode-frames", "30", "--workers", "1"]
    assert main([*record, "--out", str(recording)]) == 0
    find = ["find", str(recording), "--model", str(model), "--prompt"]
    assert main([*find, "a red zebra", "--count", "5", "--apart", "8", "--sheet", str(tmp_path / "found.png")]) == 0
    said = capsys.readouterr().out
    assert "doesn't know" in said and "zebra" in said and "episode" in said
    assert len(read_png(tmp_path / "found.png", "")) > 100
    for options, message in (
        (["  "], "nothing to look for"),
        (["a ball", "--count", "0"], "--count 0: give 1 or more"),
        (["a ball", "--model", str(tmp_path)], "train it first: worldsim train clip"),
    ):
        assert main([*find, *options]) == 2
        assert message in capsys.readouterr().err


def test_what_is_found_is_apart() -> None:
    looked, fit = np.arange(0, 40, 4), np.array([0.1, 0.9, 0.8, 0.2, 0.3, 0.95, 0.5, 0.6, 0.1, 0.0])
    found = choose(looked, fit, np.array([20, 40]), 3, apart=8)
    assert found == [(20, 0.95), (4, 0.9), (28, 0.6)]


def test_what_cant_be_imagined_is_one_error(
    model: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, one = write_video(tmp_path / "given.mp4", 6), write_video(tmp_path / "one.mp4", 1)
    out, bomb, blank = (tmp_path / name for name in ("out.mp4", "bomb.png", "blank.png"))
    bomb.write_bytes(png_bomb())
    cv2.imwrite(str(blank), np.full((32, 48, 3), 255, np.uint8))
    for options, message in (
        (["--prompt", "  "], "nothing to imagine from"),
        (["--prompt", "ball " * 1000], "a --prompt of 5,000 letters; at most 2,000"),
        (["--prompt", "a " * 97], "a prompt of 97 words"),
        (["--prompt", "a", "--size", "40x32"], "a size of 40x32"),
        (["--prompt", "a", "--size", "4096x4096"], "from 32 to 256"),
        (["--prompt", "a", "--size", "big"], "is not WIDTHxHEIGHT"),
        (["--prompt", "a", "--frames", 8], "8 frames"),
        (["--prompt", "a", "--sampler", "best"], "no sampler 'best'"),
        (["--image", picture, "--best-of", 2], "--best-of is judged by words"),
        (["--prompt", "a", "--best-of", 0], "--best-of 0: give 1 to 64"),
        (["--image", bomb], "60,000x60,000 pixels"),
        (["--image", tmp_path / "none.png"], "there is no"),
        (["--image", video, "--video", video], "both say how it begins"),
        (["--video", one, "--end", video, "--frames", 17], "one.mp4 has one frame, too few to join"),
        (["--image", picture, "--end", one, "--frames", 17], "one.mp4 has one frame, too few to join"),
        (["--video", video, "--region", "0,0,8x8"], "give --change too"),
        (["--video", video, "--change", 0.5, "--region", "40,0,20x8"], "lies outside frames of 48x32"),
        (["--video", video, "--change", 1.5], "a level of 1.5"),
        (["--prompt", "a", "--change", 0.5], "give --image or --video"),
        (["--prompt", "a", "--model", tmp_path], "no file"),
        (["--sketch", picture, "--image", picture], "--sketch stands alone with --prompt; leave --image out"),
        (["--sketch", bomb], "60,000x60,000 pixels"),
        (["--sketch", video], "not a PNG file"),
        (["--sketch", blank], "nothing is drawn in the sketch"),
        (["--restyle", video], "is told how it is to look"),
        (
            ["--restyle", video, "--prompt", "a", "--change", 0.5],
            "--restyle stands alone with --prompt; leave --change",
        ),
        (["--restyle", video, "--prompt", "a", "--frames", 9], "keeps its length"),
        (["--restyle", video, "--prompt", "a", "--source-guidance", -1], "a guidance of -1"),
    ):
        assert imagine(model, *options, "--out", out) == 2, message
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
        assert not out.exists()
    assert imagine(model, "--prompt", "a", "--out", tmp_path / "out.jpg") == 2
    assert "ends in .mp4, .gif, or .png" in capsys.readouterr().err


RECORD = ("record", "clips", "toybox", "--workers", "1", "--clips")


@pytest.fixture(scope="module")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fewest clips of the toy box that there can be, not to be written to."""
    out = tmp_path_factory.mktemp("toybox") / "clips"
    assert main([*RECORD, "1", "--out", str(out)]) == 0
    return out


def test_record_clips(toybox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, record = tmp_path / "clips", list(RECORD)
    shutil.copytree(toybox, out)
    clips = CaptionedClips(out)
    assert len(clips) == 3 * SHARD and clips.unseen == {(48, 80), (112, 80)}
    assert all(bucket[1:] not in clips.unseen for bucket in clips.buckets(held_out=False))
    clip = clips.clip(2 * SHARD)
    assert clip.frames.shape == (17, 64, 64, 3) and len(clip.moments) == 5 and len(clip.story) >= 4
    digest = clips.digest
    (out / "shard-00001.safetensors").unlink()  # as if it had been killed before
    assert main([*record, "1", "--out", str(out)]) == 0
    assert CaptionedClips(out).digest == digest
    capsys.readouterr()
    for arguments, message in (
        ([*record, "1", "--out", str(out), "--seed", "5"], "with another --seed"),
        (["record", "clips", "CartPole-v1", "--out", str(out)], "has no words"),
        ([*record, "0", "--out", str(out)], "--clips must be at least 1"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
    with (out / "shard-00000.safetensors").open("r+b") as file:
        file.seek(500)
        file.write(b"\0\1\2")
    with pytest.raises(WorldsimError, match="was changed"):
        CaptionedClips(out)


@pytest.mark.slow
def test_the_trainings_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, out = painted_clips(tmp_path / "clips").path, tmp_path / "run"
    flags = ["--clips", str(clips), "--out", str(out), "--device", "cpu", "--steps", "1", "--batch", "1"]
    assert main(["train", "video-dit", *flags]) == 2
    assert "train that first: worldsim train video-autoencoder" in capsys.readouterr().err
    assert main(["train", "video-autoencoder", *flags]) == 0
    assert main(["train", "video-dit", *flags]) == 0
    assert main(["train", "clip", *flags]) == 0
    assert "picture at 5" in capsys.readouterr().out
    made = ["imagine", "--model", str(out), "--prompt", "a red square", "--steps", "1", "--size", "32x32"]
    assert main([*made, "--out", str(tmp_path / "x.png")]) == 0
    assert main(["train", "video-dit", *flags, "--minutes", "1"]) == 2
    assert "both say how long" in capsys.readouterr().err


def test_what_ships_is_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    networks = tiny_networks()
    export_imaginer(tmp_path / "tiny", networks, {"tiny": (32, 48)}, {"source": "", "licence": ""}, tiny_reward())
    clips, run = painted_clips(tmp_path / "clips").path, tmp_path / "run"
    flags = ["--clips", str(clips), "--out", str(run), "--device", "cpu", "--steps", "1", "--batch", "1"]
    assert main(["unpack", str(tmp_path / "tiny"), "--out", str(run)]) == 0
    unpacked = load_imaginer(run)
    assert unpacked.defaults == networks.defaults
    for name, weight in networks.dit.state_dict().items():
        torch.testing.assert_close(unpacked.dit.state_dict()[name], weight, rtol=1e-3, atol=1e-4)
    assert main(["train", "video-decoder", *flags]) == 0
    assert latents_digest(load_imaginer(run).autoencoder) == latents_digest(unpacked.autoencoder)
    capsys.readouterr()
    assert main(["train", "reward", *flags]) == 2
    assert "nobody can judge what is imagined of 'paint'" in capsys.readouterr().err
    assert main(["unpack", str(tmp_path / "tiny"), "--out", str(run)]) == 2
    assert "is there already; give another --out" in capsys.readouterr().err


def test_eval_imagine(model: Path, toybox: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = ["eval", "imagine", "--model", str(model), "--clips", str(toybox), "--out", str(tmp_path / "report")]
    counts = ["--prompts", "2", "--ends", "2", "--guides", "2", "--edits", "2", "--steps", "1"]
    assert main([*judge, *counts, "--other-words", "--best-of", "2"]) == 0
    figures = json.loads((tmp_path / "report" / "imagine.json").read_text())["sections"]
    kinds = ("pictures", "ends", "copies", "fit", "sketch", "restyle", "edits")
    assert {section["name"] for section in figures} == {"imagine", *(f"imagine-{kind}" for kind in kinds)}
    assert "look as asked" in capsys.readouterr().out
    assert main([*judge, "--prompts", "1", "--ends", "1", "--steps", "1", "--size", "96x64"]) == 2
    assert "no held-out clips of 96x64" in capsys.readouterr().err
