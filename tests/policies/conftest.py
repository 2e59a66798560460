"""The tiny world by an id, and its game in the registry of worlds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from tiny_game import STEPS, TINY_ID

from worldsim.cli.main import main
from worldsim_envs import GENERATED, VECTOR
from worldsim_envs.registry import WORLDS, WorldEntry


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch):
    """Compiling takes a minute; tests/runtime/test_runtime.py does it once."""
    monkeypatch.setattr("worldsim.runtime.torch.has_compiler", lambda: False)


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch):
    """The game of the tiny world, as a world of worldsim."""
    monkeypatch.setitem(
        WORLDS, "tiny", WorldEntry("tiny", env="tiny_game:TinyGame", agent_steps=STEPS, score="bars named")
    )


@pytest.fixture
def generated(tiny_world: Path):
    """The id of the tiny world. Its networks are untrained, but its rewards depend on the action."""
    gym.register(TINY_ID, entry_point=GENERATED, vector_entry_point=VECTOR, kwargs={"world": str(tiny_world)})
    yield TINY_ID
    del gym.registry[TINY_ID]


@pytest.fixture
def command() -> Callable[..., int]:
    """`command("eval", "agent", ...)`: runs `worldsim eval agent ...`, and returns its exit code."""
    return lambda *words: main([str(word) for word in words])


@pytest.fixture
def refused(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refused("eval", "agent", ...)`: the one line with which a command exits with code 2."""

    def run(*words: Any) -> str:
        capsys.readouterr()
        assert command(*words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    return run
