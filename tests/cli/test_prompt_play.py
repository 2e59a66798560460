"""From prompt to play on the command line: `worldsim export imaginer`, `play --prompt`, `--image`, `imagine --play`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from bombs import png_bomb
from tiny import tiny_clips
from tiny_imaginer import write_tiny_run

from worldsim.cli import imagine as imagine_command
from worldsim.cli.main import main
from worldsim.data.video import read_frames
from worldsim.runtime import imaginer
from worldsim.runtime.imaginer import ImaginerBundle, open_imaginer
from worldsim.runtime.painter import Painter


@pytest.fixture
def play(tiny_world: Path, tiny_imaginer: Path, capsys: pytest.CaptureFixture[str]):
    """`play("--prompt", ...)` -> exit code, stdout, stderr; headless, three frames."""

    def run(*arguments: object, world: bool = True) -> tuple[int, str, str]:
        flags = ["--imaginer", str(tiny_imaginer), "--headless", "--frames", "3"]
        code = main(["play", *(["--world", str(tiny_world)] if world else []), *flags, *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_words_are_painted_judged_and_played(play, tmp_path: Path) -> None:
    def video(name: str, *arguments: str) -> tuple[np.ndarray, str]:
        code, out, _ = play("--record", tmp_path / name, *arguments)
        assert code == 0
        return np.stack(list(read_frames(tmp_path / name))), out

    first, said = video("a.mp4", "--prompt", "a red zebra, at night")
    assert "doesn't know" in said and "zebra" in said and "painted 'a red zebra, at night'" in said
    assert said.index("the world has learned") < said.index("3 frames")
    assert np.array_equal(first, video("b.mp4", "--prompt", "a red zebra, at night")[0])
    assert not np.array_equal(first, video("c.mp4", "--prompt", "a ball")[0])
    assert not np.array_equal(first, video("d.mp4")[0])


def test_a_picture_is_fitted_judged_and_played(play, tmp_path: Path) -> None:
    known, strange = tmp_path / "known.png", tmp_path / "strange.png"
    cv2.imwrite(str(known), tiny_clips(1, 1)[0][0, 0][..., ::-1])
    cv2.imwrite(str(strange), np.random.default_rng(0).integers(0, 256, (90, 200, 3), np.uint8))
    code, out, _ = play("--image", known)
    assert code == 0 and "fitted" not in out
    code, out, _ = play("--image", strange)
    assert code == 0 and f"{strange}: fitted from 200x90 to 48x32" in out and "the world has learned" in out


def test_what_cant_begin_is_one_error(play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, bomb = tmp_path / "a.png", tmp_path / "bomb.png"
    bomb.write_bytes(png_bomb())
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    for arguments, message in (
        (("--prompt", ""), "a prompt without words"),
        (("--prompt", "ball " * 1000), "5,000 letters"),
        (("--prompt", "a", "--imaginer", tmp_path / "none"), "no imaginer"),
        (("--prompt", "a", "--world", "doom-maze"), "draws tiny, not 'doom-maze'"),
        (("--prompt", "a", "--image", picture), "--prompt and --image both say how play begins"),
        (("--prompt", "a", "--start", "1"), "--prompt and --start both say how play begins"),
        (("--image", bomb), "60,000x60,000 pixels"),
        (("--image", tmp_path / "none.png"), "there is no"),
    ):
        code, _, error = play(*arguments)
        assert code == 2 and message in error and len(error.strip().splitlines()) == 1, error
    assert "name the world that it is of" in play("--image", picture, world=False)[2]
    monkeypatch.setattr(imaginer, "SHIPPED", tmp_path)
    assert "no imaginer is installed" in play("--prompt", "a", "--imaginer", "")[2]


def test_it_needs_no_torch(tiny_world: Path, tiny_imaginer: Path) -> None:
    program = (
        "import sys; from worldsim.cli.main import main\n"
        "code = main(sys.argv[1:]); assert code == 0 and 'torch' not in sys.modules"
    )
    flags = ["--world", tiny_world, "--imaginer", tiny_imaginer, "--prompt", "a ball", "--headless", "--frames", "1"]
    done = subprocess.run([sys.executable, "-c", program, "play", *map(str, flags)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_run_is_exported_and_imagines_alike(
    tiny_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = write_tiny_run(tmp_path / "run"), tmp_path / "imaginer"
    told = ["--training", "Never: these are random numbers."]
    assert main(["export", "imaginer", str(run), "--worlds", str(tiny_world), "--out", str(out), *told]) == 0
    assert f"MB in {out}" in capsys.readouterr().out
    card = (out / "card.md").read_text()
    assert "tiny at 48x32" in card and "licence: MIT" in card and "It knows 5 words" in card
    assert "training: Never: these are random numbers." in card
    bundle = ImaginerBundle(out)
    assert bundle.world == "tiny" and bundle.origin["source"] == "random numbers"
    for model, name in ((run, "run.png"), (out, "imaginer.png")):
        asked = ["--model", str(model), "--prompt", "a red ball", "--size", "48x32", "--steps", "3"]
        assert main(["imagine", *asked, "--out", str(tmp_path / name)]) == 0
    ours, theirs = (cv2.imread(str(tmp_path / name)).astype(int) for name in ("imaginer.png", "run.png"))
    assert np.abs(ours - theirs).mean() < 3, "weights are rounded to float16"
    painted = Painter(bundle, "cpu").paint("a red ball", steps=3)
    assert np.abs(painted[..., ::-1] - ours).mean() < 3
    capsys.readouterr()
    for arguments, message in (
        ([str(tmp_path / "none"), "--worlds", str(tiny_world)], "no file"),
        ([str(run), "--worlds", "no-such-world"], "no world 'no-such-world'"),
        ([str(run), "--worlds", str(tiny_world), "--report", str(tmp_path / "none")], "Run: worldsim eval imagine"),
    ):
        assert main(["export", "imaginer", *arguments, "--out", str(tmp_path / "x")]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_what_was_imagined_is_stepped_into(
    tiny_world: Path, tiny_imaginer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    played = []

    def headless(config, given):
        played.append(given)
        imagine_command_play(dataclasses.replace(config, headless=True, frames=2), given)

    imagine_command_play = imagine_command.play
    monkeypatch.setattr(imagine_command, "play", headless)
    asked = ["imagine", "--model", str(tiny_imaginer), "--prompt", "a ball", "--size", "64x32", "--steps", "1"]
    assert main([*asked, "--frames", "5", "--play", "--world", str(tiny_world)]) == 0
    assert played[0].shape == (5, 32, 64, 3) and "2 frames" in capsys.readouterr().out
    for arguments, message in (
        (asked, "give --out F, or --play"),
        ([*asked, "--out", "x.png", "--world", "toybox"], "--world says where to play"),
        ([*asked, "--play"], "no world 'tiny'"),
        (["imagine", "--prompt", "a", "--model", str(tmp_path), "--play"], "doesn't say what it draws"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


def test_the_imaginer_that_ships_is_the_default(tiny_imaginer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaginer, "SHIPPED", tiny_imaginer.parent)
    found = imagine_command.find_imaginer(imagine_command.ImagineConfig(prompt="a ball"))
    assert found is not None and found.digest == open_imaginer(tiny_imaginer).digest
    assert imagine_command.find_imaginer(imagine_command.ImagineConfig(model="runs/imagine")) is None
