"""The command line itself: whatever goes wrong outside the engine is one line and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.main import main
from worldsim.data.recording import Recording, RecordingWriter
from worldsim.spec import slug

WORLDSIM = (sys.executable, "-m", "worldsim.cli.main")
SQUARE = """
import gymnasium as gym, numpy as np
class Square(gym.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)
    def __init__(self, render_mode=None): self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed == 3: raise ValueError("level 3 has\\nno exit")
        self.t = 0
        return np.zeros(2, np.float32), {}
    def reward(self): return 1.0
    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), self.reward(), self.t >= 20, False, {}
    def render(self): return np.full((32, 48, 3), self.t, np.uint8)
class Nan(Square):
    def reward(self): return float("nan") if self.t == 7 else 1.0
class Huge(Square):
    def reward(self): return 1e39
class Array(Square):
    def reward(self): return np.array([1.5], np.float32)
class Broken(Square):
    def reward(self): raise RuntimeError("out of order")
for kind in (Square, Nan, Huge, Array, Broken): gym.register(f"Case/{kind.__name__}-v0", kind)
"""


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The installed command, which does not have the current folder on its path as `python -m` has."""
    script = "import sys; sys.path = sys.path[1:]; from worldsim.cli.main import main; sys.exit(main())"
    path = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)
    return subprocess.run(
        [sys.executable, "-c", script, *map(os.fsencode, map(str, arguments))],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        timeout=240,
    )


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """A folder with a module that registers environments."""
    (tmp_path / "beside.py").write_text(SQUARE)
    return tmp_path


def test_a_module_beside_the_user_is_found_but_nothing_else_there(square):
    (square / "numpy.py").write_text("raise SystemExit('numpy of the folder')")
    ran = run("record", "beside:Case/Square-v0", "--frames", "30", "--workers", "1", "--out", "rec", cwd=square)
    assert ran.returncode == 0 and b"42 frames in 2 episodes" in ran.stdout, ran.stderr.decode()


def test_a_reward_may_be_an_array_of_one(square):
    ran = run("record", "beside:Case/Array-v0", "--frames", "30", "--workers", "1", "--out", "rec", cwd=square)
    assert ran.returncode == 0, ran.stderr.decode()
    assert np.unique(Recording(square / "rec").rewards).tolist() == [0, 1.5]


@pytest.mark.parametrize(("kind", "value"), [("Nan", "nan"), ("Huge", "1e+39")])
def test_a_reward_that_nothing_can_learn_from_is_named_with_its_seed(square, kind, value):
    ran = run("record", f"beside:Case/{kind}-v0", "--frames", "30", "--workers", "1", "--out", "rec", cwd=square)
    (line,) = ran.stderr.decode().splitlines()
    assert ran.returncode == 2 and "seed 0" in line and value in line


def test_one_bad_seed_is_named_and_can_be_left_out(square):
    command = ("record", "beside:Case/Square-v0", "--frames", "100", "--workers", "1", "--out", "rec")
    ran = run(*command, cwd=square)
    (line,) = ran.stderr.decode().splitlines()
    assert ran.returncode == 2 and "fails with seed 3 (ValueError: level 3 has no exit)" in line and "--skip" in line
    ran = run(*command, "--skip", cwd=square)
    assert ran.returncode == 0 and b"105 frames in 5 episodes" in ran.stdout and b"seed 3" in ran.stderr
    ran = run("inspect", "rec", "--verify", cwd=square, PYTHONIOENCODING="ascii")
    assert ran.returncode == 0 and b"all 105 frames are as they were written" in ran.stdout and b"###" in ran.stdout


def test_a_world_that_fails_with_every_seed_is_given_up(square):
    command = ("record", "beside:Case/Broken-v0", "--frames", "99", "--workers", "1", "--out", "rec", "--skip")
    ran = run(*command, cwd=square)
    last = ran.stderr.decode().splitlines()[-1]
    assert ran.returncode == 2 and "RuntimeError: out of order" in last and "20 in a row" in last


def test_a_reader_that_has_gone_is_no_error(tmp_path):
    for arguments in ("--help", "inspect --help"):
        ran = subprocess.run(
            f"{' '.join(WORLDSIM)} {arguments} | true; echo ${{PIPESTATUS[0]}}",
            shell=True,
            executable="/bin/bash",
            capture_output=True,
            text=True,
        )
        assert ran.stderr == "" and int(ran.stdout) in (0, 141)


def test_a_name_that_is_not_utf8_is_one_line(tmp_path):
    ran = run("inspect", os.fsdecode(b"caf\xe9"), cwd=tmp_path)
    assert ran.returncode == 2 and b"is not UTF-8" in ran.stderr and ran.stderr.count(b"\n") == 1


def test_names_are_printed_and_never_obeyed(tmp_path, small_spec, make_episode, capsys):
    """Neither by the terminal nor by the library that draws tables."""
    origin = {"source": "a \x1b[31mred\x1b[0m source [/x] [bold]", "licence": "none"}
    with RecordingWriter(tmp_path / "r", small_spec, 0, origin) as writer:
        writer.append(make_episode(0, 20))
    assert main(["inspect", str(tmp_path / "r")]) == 0
    out = capsys.readouterr().out
    assert "\x1b[31m" not in out and r"a \x1b[31mred\x1b[0m source [/x] [bold]" in " ".join(out.split())
    assert main(["inspect", "no\x1b[31mwhere"]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error and r"no\x1b[31mwhere" in error


def test_what_nobody_explained_is_one_line_too(tmp_path, small_recording, capsys):
    """The operating system's own errors, wherever they come from."""
    (tmp_path / "file").write_text("")
    assert main(["inspect", str(small_recording), "--sheet", str(tmp_path / "file" / "x.png")]) == 2
    assert main(["inspect", str(tmp_path / "file" / "x")]) == 2
    assert main(["inspect", "x" * 5000]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("worldsim: ") for line in lines)


def test_names_of_games_become_names_of_worlds():
    assert slug("ALE/Boxing-v5") == "ale-boxing-v5"
    assert slug("module:Some Id-v0") == "module-some-id-v0"
    assert slug("../../outside") == "outside" and slug("…") == "world"
