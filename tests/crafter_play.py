"""Recorded play of Crafter: the first and the last episode are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.recording import Episode, RecordingWriter
from worldsim_envs.crafter.env import CrafterEnv, crafter_spec
from worldsim_policies.scripted.crafter import CrafterExplorer

FIRST_SEED, EPISODES, LONG = 5, 11, (0, 10)


def record_crafter(path: Path, steps: int = 260, others: int = 2) -> Path:
    """Record episodes of so many steps in the first and the last, held out, and in the `others` between them."""
    env = CrafterEnv()
    with RecordingWriter(path, crafter_spec(), 9, {"source": "Crafter", "licence": "MIT"}) as writer:
        for number in range(EPISODES):
            writer.append(_episode(env, number, steps if number in LONG else others), FIRST_SEED + number)
    return path


def _episode(env: CrafterEnv, number: int, steps: int) -> Episode:
    explorer = CrafterExplorer(np.random.default_rng(number))
    frame, info = env.reset(seed=FIRST_SEED + number)
    frames, states, actions, rewards, dead = [frame], [info["state"]], [], [0.0], False
    while not dead and len(actions) < steps:
        actions.append(explorer(frame, info))
        frame, reward, dead, _, info = env.step(np.int64(actions[-1]))
        frames.append(frame)
        states.append(info["state"])
        rewards.append(reward)
    ended = np.zeros(len(frames), bool)
    ended[-1] = dead
    rows = np.array([*actions, -1], np.int16), np.array(rewards, np.float32), ended
    return Episode(np.stack(frames), *rows, np.stack(states))
