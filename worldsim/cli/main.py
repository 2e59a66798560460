"""The command line: assembles the subcommands, and turns errors the user can fix into one line and exit code 2.

Each subcommand is imported only when it is asked for, so that playing needs nothing that training does.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Sequence

from worldsim import terminal
from worldsim.errors import WorldsimError


@dataclasses.dataclass(frozen=True)
class Command:
    """One subcommand: `function(config)` in `module`, where `config` is that module's dataclass of its flags."""

    module: str
    function: str
    config: str
    help: str


COMMANDS = {
    "record": Command(
        "worldsim.cli.record", "record", "RecordConfig", "play a real world headless and write what was seen"
    ),
    "record permanence": Command(
        "worldsim.cli.record_permanence", "record_permanence", "RecordConfig", "record probes to learn from"
    ),
    "record clips": Command(
        "worldsim.cli.record_clips", "record_clips", "RecordConfig", "record clips in words, at many sizes"
    ),
    "play": Command("worldsim.cli.play", "play", "PlayConfig", "play a generated world, in a window or into a video"),
    "inspect": Command("worldsim.cli.inspect", "inspect", "InspectConfig", "show what is in a recording"),
    "import": Command("worldsim.cli.import_", "import_", "ImportConfig", "make a recording of videos"),
    "from-video": Command(
        "worldsim.cli.from_video", "from_video", "FromVideoConfig", "make a playable world of videos, in one command"
    ),
    "minari export": Command(
        "worldsim.cli.minari", "export_dataset", "ExportConfig", "make a Minari dataset of a recording"
    ),
    "minari import": Command(
        "worldsim.cli.minari", "import_dataset", "ImportConfig", "make a recording of a Minari dataset"
    ),
    "train": Command("worldsim.cli.train", "train", "TrainConfig", "learn a world from a recording"),
    "train agent": Command(
        "worldsim.cli.train_agent", "train_agent", "TrainAgentConfig", "let an agent learn in a world, imagined or real"
    ),
    "train few-step-clips": Command(
        "worldsim.cli.few_step_clips", "few_step_clips", "FewStepClipsConfig", "teach what imagines to need two passes"
    ),
    "train few-step": Command(
        "worldsim.cli.few_step", "few_step", "FewStepConfig", "teach a world to need one or two passes a frame"
    ),
    "train video-autoencoder": Command(
        "worldsim.cli.train_video", "train_autoencoder", "TrainConfig", "learn to compress clips of any size"
    ),
    "train video-decoder": Command(
        "worldsim.cli.train_video", "train_decoder", "TrainConfig", "train the decoder of clips alone"
    ),
    "train video-dit": Command(
        "worldsim.cli.train_video", "train_dit", "TrainDiTConfig", "learn to imagine clips from words and pictures"
    ),
    "train clip": Command(
        "worldsim.cli.train_clip", "train_clip", "TrainClipConfig", "learn how well words fit clips and pictures"
    ),
    "train reward": Command(
        "worldsim.cli.train_clip", "train_reward", "TrainRewardConfig", "learn which of several pictures is right"
    ),
    "train restyle": Command(
        "worldsim.cli.train_restyle", "train_looks", "RestyleConfig", "learn to draw a world's frames in other looks"
    ),
    "train captioner": Command(
        "worldsim.cli.train_clip", "train_captioner", "TrainCaptionerConfig", "learn to say in words what clips show"
    ),
    "caption": Command("worldsim.cli.caption", "caption", "CaptionConfig", "write captions of clips, to train on"),
    "imagine": Command(
        "worldsim.cli.imagine", "imagine", "ImagineConfig", "words, pictures and clips to a picture or a clip"
    ),
    "find": Command("worldsim.cli.find", "find", "FindConfig", "find frames of a recording by words"),
    "export": Command("worldsim.cli.export", "export", "ExportConfig", "make a trained world playable"),
    "export imaginer": Command(
        "worldsim.cli.export_imaginer", "export_imaginer", "ExportImaginerConfig", "make what imagines paint for worlds"
    ),
    "unpack": Command("worldsim.cli.unpack", "unpack", "UnpackConfig", "make a run of what ships, to train it on"),
    "export web": Command(
        "worldsim.cli.export_web", "export_web", "ExportWebConfig", "put worlds into a folder that any browser plays"
    ),
    "serve": Command("worldsim.cli.serve", "serve", "ServeConfig", "let many players play in their browsers"),
    "eval": Command("worldsim.cli.evaluate", "evaluate", "EvalConfig", "judge a world on held-out play"),
    "eval agent": Command(
        "worldsim.cli.eval_agent", "eval_agent", "EvalAgentConfig", "judge agents, imagined return beside the real one"
    ),
    "eval few-step": Command(
        "worldsim.cli.eval_few_step", "eval_few_step", "FewStepEvalConfig", "quality against passes, by every sampler"
    ),
    "eval imagine": Command(
        "worldsim.cli.eval_imagine", "eval_imagine", "EvalConfig", "judge what is imagined from words and clips"
    ),
    "eval live": Command(
        "worldsim.cli.eval_live", "eval_live", "EvalLiveConfig", "judge other looks, and events in words, in live play"
    ),
    "eval latent-actions": Command(
        "worldsim.cli.latent_actions", "latent_actions", "LatentActionsConfig", "judge the codes that stand for actions"
    ),
    "eval permanence": Command(
        "worldsim.cli.permanence", "permanence", "PermanenceConfig", "judge what a world, or any model, remembers"
    ),
    "eval permanence export": Command(
        "worldsim.cli.permanence", "export", "ExportConfig", "write down what a model is asked, to answer it elsewhere"
    ),
    "eval permanence score": Command(
        "worldsim.cli.permanence", "score", "ScoreConfig", "judge the frames that were brought back"
    ),
    "eval permanence compare": Command(
        "worldsim.cli.leaderboard", "compare", "CompareConfig", "two models on the same trials, in pairs"
    ),
    "eval permanence leaderboard": Command(
        "worldsim.cli.leaderboard", "leaderboard", "LeaderboardConfig", "check a folder of results, and rank them"
    ),
    "eval permanence calibrate": Command(
        "worldsim.cli.permanence", "calibrate", "CalibrateConfig", "the detector over its threshold, on its own seeds"
    ),
    "bench": Command("worldsim.cli.bench", "bench", "BenchConfig", "measure how fast a world is"),
    "bench train": Command(
        "worldsim.cli.bench_train", "bench_train", "BenchTrainConfig", "measure how fast a world learns"
    ),
    "curve": Command("worldsim.cli.curve", "curve", "CurveConfig", "fit how quality grows with frames and with size"),
    "bench serve": Command(
        "worldsim.cli.bench_serve", "bench_serve", "BenchServeConfig", "measure a server with many players"
    ),
    "bench web": Command("worldsim.cli.bench_web", "bench_web", "BenchWebConfig", "measure a world in a browser"),
    "bench play": Command("worldsim.cli.bench_play", "bench_play", "BenchPlayConfig", "measure play in the window"),
    "card": Command("worldsim.cli.card", "card", "CardConfig", "write a world's card from what was measured"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `worldsim ARGUMENTS`.

    Returns:
        0; 2 for an error the user can fix (one line on stderr says what and the way out); 130 if interrupted; 141 if
        whoever read the output has gone, as for a program that SIGPIPE ends.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    terminal.use_any_encoding()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush when Python ends
        return 141
    except KeyboardInterrupt:
        print("worldsim: interrupted", file=sys.stderr)
        return 130
    except WorldsimError as error:
        reason = str(error)
    except OSError as error:  # that nobody explained; its own text may say too little, but names the file
        reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    except MemoryError:
        reason = "not enough memory. Close other programs, or give smaller sizes."
    print(f"worldsim: {terminal.printable(' '.join(reason.splitlines()))}", file=sys.stderr)
    return 2


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: worldsim COMMAND ...\n")
        for name, command in COMMANDS.items():
            print(f"  {name:29}{command.help}")
        print("\nworldsim COMMAND --help lists its options.")
        return 0 if arguments else 2
    _check_text(*arguments, os.getcwd())
    name, rest = split_command(arguments)
    if name not in COMMANDS:
        raise WorldsimError(f"no command {name!r}; there are {', '.join(COMMANDS)}")
    if any(re.match(r"[A-Za-z_][\w.]+:\w", word) for word in rest) and os.getcwd() not in sys.path:
        # `module:Id` asks for a module of the user's, which may lie here, as for `python -m`; but last, so that a file
        # of any other folder can't take the place of an installed package.
        sys.path.append(os.getcwd())
    command = COMMANDS[name]
    import tyro

    module = importlib.import_module(command.module)
    config = tyro.cli(getattr(module, command.config), args=rest, prog=f"worldsim {name}")
    getattr(module, command.function)(config)
    return 0


def _check_text(*texts: str) -> None:
    """Names of files that are not UTF-8 end some of the libraries below in a segmentation fault."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise WorldsimError(f"{text} is not UTF-8. Give the file or folder another name.") from error


def split_command(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command that arguments begin with, the longest that there is, and the arguments after it."""
    for words in range(min(3, len(arguments)), 1, -1):
        if " ".join(arguments[:words]) in COMMANDS:
            return " ".join(arguments[:words]), list(arguments[words:])
    return arguments[0], list(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
