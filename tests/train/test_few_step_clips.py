"""Distillation of what imagines: the teacher's guidance is that of play, and two passes do what twenty-four did."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, DIT, painted_clips
from square import EAGER
from tiny_imaginer import tiny_networks, write_tiny_run

from worldsim.cli.main import main
from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError
from worldsim.models.guides import guide_tokens
from worldsim.models.video_dit import Tokens, places
from worldsim.runtime.export_imaginer import export_imaginer
from worldsim.runtime.imagine import Imaginer, imagine
from worldsim.runtime.imaginer import ImaginerBundle
from worldsim.runtime.painter import Painter
from worldsim.runtime.request import Guidance
from worldsim.runtime.sampler_defaults import SamplerDefaults
from worldsim.train.few_step_clips import FewStepClipsTraining, guided, train_few_step_clips
from worldsim.train.video_autoencoder import VideoAutoencoderTraining, train_video_autoencoder
from worldsim.train.video_dit import VideoDiTTraining, load_imaginer, train_video_dit

EXTENT = (2, 2, 3)


@pytest.mark.parametrize("sourced", [False, True])
def test_the_teacher_leans_as_play_does(sourced: bool) -> None:
    model, generator = tiny_networks(), torch.Generator().manual_seed(0)
    count, width = 12, model.dit.config.token_width
    source = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8) if sourced else None
    given = torch.arange(count) < 3
    noisy, tau = torch.randn(count, width, generator=generator), torch.where(given, 1.0, 0.4)
    theirs = model.denoiser(EXTENT, given, "a red ball", Guidance(3.0, 1.5), source=source)(noisy, tau)
    place, size = places(EXTENT)
    guide = guide_tokens(EXTENT, width, None, None if source is None else model.encode(source).flatten(0, 1))
    clean = Tokens(noisy[None], place[None], size[None], tau[None], given[None], guide[None])
    words = model.dit.text.tokens(["a red ball"])[:, None]
    ours = guided(model.dit, clean, words, 3.0, 1.5)(noisy, tau)
    torch.testing.assert_close(ours, theirs.float(), rtol=0.02, atol=0.02)  # the CPU may compute in bfloat16


def test_what_leans_by_itself_is_one_row_and_two_passes_in_play_too(tmp_path: Path) -> None:
    model = dataclasses.replace(tiny_networks(), defaults=SamplerDefaults(2, 1.0))
    assert export_imaginer(tmp_path / "out", model, {"tiny": (32, 48)}, {"source": "", "licence": ""}) < 1e-3
    bundle = ImaginerBundle(tmp_path / "out")
    assert bundle.defaults == SamplerDefaults(2, 1.0)
    painter = Painter(bundle, "cpu", threads=1)
    passes: list[tuple[int, int]] = []
    ours = painter.paint("a red ball", seed=4, progress=lambda *done: passes.append(done))
    assert passes == [(0, 2), (1, 2)]
    theirs = imagine(model, None, "a red ball", (32, 48), 1, seed=4)[0]
    assert np.abs(ours.astype(int) - theirs).mean() < 2
    with pytest.raises(WorldsimError, match="leans on words by itself"):
        painter.paint("a red ball", guidance=3.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    return painted_clips(tmp_path_factory.mktemp("painted"), named=False)


@pytest.mark.slow
def test_two_passes_of_the_student_follow_the_teachers_many(clips: CaptionedClips, tmp_path: Path) -> None:
    pixels = VideoAutoencoderTraining(steps=150, batch=1, lr=0.015, row_pixels=17 * 32 * 48)
    autoencoder = train_video_autoencoder(clips, tmp_path / "run", AUTOENCODER, pixels, EAGER)
    training = VideoDiTTraining(steps=250, batch=4, row_tokens=36, lr=4e-3)
    train_video_dit(clips, autoencoder, tmp_path / "run", DIT, training, EAGER)
    teacher = load_imaginer(tmp_path / "run")
    few = FewStepClipsTraining(steps=150, batch=2, row_tokens=36, lr=1e-3, guidance=2.0)
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "video-autoencoder.safetensors").write_bytes(
        (tmp_path / "run" / "video-autoencoder.safetensors").read_bytes()
    )
    train_few_step_clips(clips, teacher, tmp_path / "fast", few, EAGER)
    student = load_imaginer(tmp_path / "fast")
    assert student.defaults == SamplerDefaults(2, 1.0)

    def apart(model: Imaginer, steps: int, guidance: float | None) -> float:
        """From what the teacher makes of the same noise in many passes; which colour it is, the noise decides."""
        made = [
            [imagine(m, None, "a square", (32, 48), 1, n, g, seed).astype(float) for seed in range(16)]
            for m, n, g in ((model, steps, guidance), (teacher, 24, 2.0))
        ]
        return float(np.mean([np.abs(one - other).mean() for one, other in zip(*made, strict=True)]))

    assert apart(student, 0, None) < 0.7 * apart(teacher, 2, 2.0)
    with pytest.raises(WorldsimError, match="was distilled itself"):
        train_few_step_clips(clips, student, tmp_path / "again", few, EAGER)


def test_the_command(clips: CaptionedClips, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_tiny_run(tmp_path / "run")
    flags = ["--clips", str(clips.path), "--device", "cpu", "--steps", "1", "--batch", "1"]
    assert main(["train", "few-step-clips", str(run), *flags, "--out", str(run)]) == 2
    assert "is the run of the teacher" in capsys.readouterr().err
    assert main(["train", "few-step-clips", str(run), *flags, "--out", str(tmp_path / "x"), "--play-steps", "9"]) == 2
    assert "--play-steps 9: give 1 to 8" in capsys.readouterr().err
    assert main(["train", "few-step-clips", str(run), *flags, "--out", str(tmp_path / "fast")]) == 0
    assert load_imaginer(tmp_path / "fast").defaults.steps == 2
    made = ["imagine", "--model", str(tmp_path / "fast"), "--prompt", "a red ball", "--size", "48x32"]
    assert main([*made, "--out", str(tmp_path / "x.png")]) == 0


def test_a_hostile_sampler_is_one_error(tmp_path: Path) -> None:
    from worldsim.artifact import digest

    export_imaginer(tmp_path / "out", tiny_networks(), {"tiny": (32, 48)}, {"source": "", "licence": ""})
    manifest = json.loads((tmp_path / "out" / "imaginer.json").read_text())
    manifest["sampler"] = {"steps": 10**9, "guidance": 3.0}
    manifest["digest"] = digest(manifest)
    (tmp_path / "out" / "imaginer.json").write_text(json.dumps(manifest))
    with pytest.raises(WorldsimError, match="give 1 to 1000"):
        ImaginerBundle(tmp_path / "out")
