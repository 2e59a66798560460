"""Genie's last figure: how well does an agent play that was cloned from videos and saw 200 actions (section 3.4)?

Three agents play CoinRun levels that nobody recorded: one cloned from the true actions of a recording, one cloned from
the codes that a latent action model read, each of whose codes is played as the action that 200 labelled steps name, and
one that acts at random.

    python scripts/clone_coinrun.py --recording recordings/coinrun --codes runs/coinrun/codes \\
        --python coinrun-env/bin/python
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.data.recording import Recording
from worldsim.evals.instruments.latent_actions import contingency
from worldsim.progress import ProgressBar

LONGEST = 400  # frames of a level
SIZE = 64  # of a frame
MOST = 80_000  # frames that are learned from


def network(outputs: int) -> nn.Module:
    """Two frames `[B, 6, 64, 64]` -> logits `[B, outputs]`."""
    layers: list[nn.Module] = []
    for inputs, width in ((6, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 64, 256), nn.SiLU(), nn.Linear(256, outputs))


def seen(frames: np.ndarray) -> Tensor:
    """uint8 `[B, 2, 64, 64, 3]` -> `[B, 6, 64, 64]`."""
    return torch.from_numpy(frames).movedim(-1, 2).flatten(1, 2).float() / 127.5 - 1


def clone(recording: Recording, labels: np.ndarray, outputs: int, steps: int, name: str) -> nn.Module:
    """Behaviour cloning of `labels` `[N]` on the recording's training episodes."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = network(outputs)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4, weight_decay=0.01)
    spans = [(start, end) for start, end in recording.episodes("train") if end <= MOST]
    places = np.concatenate([np.arange(start + 1, end - 1) for start, end in spans])
    pictures = recording.frames[: spans[-1][1]]
    with ProgressBar(name, steps) as bar:
        for step in range(steps):
            index = rng.choice(places, 128)
            frames = pictures[index[:, None] + np.arange(-1, 1)]
            loss = nn.functional.cross_entropy(model(seen(frames)), torch.from_numpy(labels[index].astype(np.int64)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update(step + 1, f"loss {loss.item():.3f}")
    return model.eval()


def play(python: Path, names: list[str], levels: int, act: nn.Module | None, actions: np.ndarray) -> float:
    """The share of levels solved by sampling from `act`, or at random; its outputs stand for `actions`, by name."""
    generator = torch.Generator().manual_seed(0)
    script = Path(__file__).with_name("coinrun_levels.py")
    command = [str(python), str(script), "--levels", str(levels), "--actions", *names]
    before = None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin and process.stdout
        for _ in range(LONGEST):
            data = process.stdout.read(levels * (SIZE * SIZE * 3 + 1))
            now = np.frombuffer(data, np.uint8, levels * SIZE * SIZE * 3).reshape(levels, SIZE, SIZE, 3)
            state = np.frombuffer(data, np.uint8, offset=now.size)
            if state.all():
                break
            pair = np.stack([now if before is None else before, now], axis=1)
            with torch.no_grad():
                logits = act(seen(pair)) if act else torch.zeros(levels, len(actions))
            chosen = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0].numpy()
            process.stdin.write(actions[chosen].astype(np.uint8).tobytes())
            process.stdin.flush()
            before = now
        process.stdin.close()
        process.stdout.read()
    return float((state == 2).mean())


def main() -> None:
    """Train, play and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recording", type=Path, required=True, help="with true actions")
    parser.add_argument("--codes", type=Path, required=True, help="the same frames with codes")
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has procgen2")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--levels", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3000, help="of each cloning")
    arguments = parser.parse_args()
    true, codes = Recording(arguments.recording), Recording(arguments.codes)
    names = [action.name for action in true.spec.actions]
    every = np.arange(len(names))
    steps = np.concatenate([np.arange(start, end - 1) for start, end in true.episodes("train")])
    labelled = np.random.default_rng(0).permutation(steps)[: arguments.labels]
    votes = contingency(codes.actions[labelled], true.actions[labelled], len(codes.spec.actions), len(names))
    named = np.where(votes.any(1), votes.argmax(1), true.spec.noop)
    cloned = clone(true, true.actions, len(names), arguments.steps, "true actions")
    from_codes = clone(codes, codes.actions, len(named), arguments.steps, "codes")
    agents = {
        "true actions": (cloned, every),
        f"codes and {arguments.labels} labels": (from_codes, named),
        "at random": (None, every),
    }
    print("codes are played as", [names[i] for i in named])
    for name, (act, actions) in agents.items():
        solved = play(arguments.python, names, arguments.levels, act, actions)
        print(f"{name}: {solved:.1%} of {arguments.levels} new levels solved", flush=True)


if __name__ == "__main__":
    main()
