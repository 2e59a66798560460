"""`worldsim train few-step-clips`: teach what imagines to need few passes. Knows folders and flags, no losses."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import tyro

from worldsim.cli import train_video
from worldsim.errors import WorldsimError

MOST_STEPS = 8  # of play


@dataclasses.dataclass(frozen=True)
class FewStepClipsConfig(train_video.TrainConfig):
    """Distil a run: worldsim train few-step-clips runs/imagine --clips recordings/toybox-clips --out runs/fast

    Then: worldsim eval imagine --model runs/fast ..., worldsim export imaginer runs/fast ...

    Attributes:
        run: folder of the training that is the teacher.
        play_steps: passes that are needed afterwards.
        guidance, source_guidance: how much the teacher leans on words, and on a source; the student learns to.
    """

    run: tyro.conf.Positional[Path] = Path("runs/imagine")
    play_steps: int = 2
    guidance: float = 3.0
    source_guidance: float = 1.5


def few_step_clips(config: FewStepClipsConfig) -> None:
    """Train, going on from the last checkpoint.

    Raises:
        WorldsimError: for flags that don't go together, missing clips, or a run that is missing or was distilled.
    """
    if not 1 <= config.play_steps <= MOST_STEPS:
        raise WorldsimError(f"--play-steps {config.play_steps}: give 1 to {MOST_STEPS}")
    if config.run.resolve() == config.out.resolve():
        raise WorldsimError(f"--out {config.out} is the run of the teacher; give another folder")
    with train_video.prepared(config) as (clips, options):
        from worldsim.train import video_autoencoder
        from worldsim.train.few_step_clips import FewStepClipsTraining, train_few_step_clips
        from worldsim.train.video_dit import load_imaginer

        teacher = load_imaginer(config.run)
        training = dataclasses.replace(
            FewStepClipsTraining(seed=config.seed),
            play_steps=config.play_steps,
            guidance=config.guidance,
            source_guidance=config.source_guidance,
            **train_video.flags(config),
        )
        shutil.copyfile(config.run / video_autoencoder.FILE, config.out / video_autoencoder.FILE)
        train_few_step_clips(clips, teacher, config.out, training, options)
        print(f"done; next: worldsim imagine --model {config.out} --prompt 'a red ball' --out ball.mp4")
