"""The built wheel: what is in it, and that it plays in a clean environment with the base dependencies alone.

The clean environment holds the wheel, and links to exactly the packages that its base dependencies need. An import
that the metadata does not declare, torch's first of all, fails here.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SOURCES = {"worldsim": "worldsim", "worldsim_envs": "envs", "worldsim_policies": "policies"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that neither old builds nor new litter matter."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for folder in SOURCES.values():
        for path in source_files(ROOT / folder):
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, copy)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment: the wheel and its base dependencies, no more."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel)
    (metadata,) = importlib.metadata.distributions(name="worldsim-engine", path=[str(site)])
    for distribution in closure(metadata.requires or []):
        for file in distribution.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    return python


def test_wheel_holds_the_three_packages_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for package, folder in SOURCES.items()
        for path in source_files(ROOT / folder)
    }
    assert names == expected
    assert {f"{package}/py.typed" for package in SOURCES} <= names


def test_wheel_carries_its_licence_and_its_name(wheel):
    assert wheel.name.startswith("worldsim_engine-")
    assert any(name.endswith("/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_clean_environment_is_whole_and_without_torch(clean_python):
    run(sys.executable, "-m", "pip", "--python", clean_python, "check")
    assert "No module named 'torch'" in run(clean_python, "-c", "import torch", code=1).stderr


def test_plays_headless_without_torch(clean_python, tiny_world, tmp_path):
    frames = ["--world", tiny_world, "--headless", "--frames", "4"]
    run(clean_python.with_name("worldsim"), "play", *frames, "--record", tmp_path / "play.mp4")
    assert (tmp_path / "play.mp4").stat().st_size > 0
    run(clean_python, ROOT / "play.py", *frames)


def test_generated_environment_without_torch(clean_python, tiny_world):
    run(
        clean_python,
        "-W",
        "error",
        "-c",
        "import sys\n"
        "from worldsim_envs.generated.env import GeneratedEnv\n"
        f"env = GeneratedEnv({str(tiny_world)!r})\n"
        "env.reset(seed=1); env.step(env.action_space.sample()); env.close()\n"
        "assert 'torch' not in sys.modules",
    )


@pytest.mark.parametrize("world", ["atari-freeway", "doom-maze"])
def test_missing_extra_names_the_command(clean_python, tmp_path, world):
    done = run(clean_python.with_name("worldsim"), "record", world, "--frames", "8", "--out", tmp_path / "r", code=2)
    assert f"pip install '.[{world.split('-')[0]}]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "command",
    [
        "train doom-maze",
        "export runs/r --recording recordings/r --out worlds/r",
        "eval doom-maze --recording recordings/r",
        "eval permanence --world doom-maze",
        "bench doom-maze",
        "train agent --env worldsim/DoomMaze-v0 --out p",
    ],
)
def test_commands_that_need_torch_name_the_extra(clean_python, command):
    done = run(clean_python.with_name("worldsim"), *command.split(), code=2)
    assert "pip install '.[" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def source_files(folder: Path) -> list[Path]:
    """The files of a source folder that belong in a wheel."""
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


def closure(requirements: list[str]) -> list[importlib.metadata.Distribution]:
    """The installed distributions that `requirements` and theirs need, extras of this package left out."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(Requirement(text), frozenset({""})) for text in requirements]
    while waiting:
        requirement, extras = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and not requirement.extras:
            continue
        found[name] = importlib.metadata.distribution(name)
        wanted = frozenset({"", *requirement.extras})
        waiting += [(Requirement(text), wanted) for text in found[name].requires or []]
    return list(found.values())


def run(*command: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in an empty shell, outside the clone, and hold it to its exit code."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment.update(SDL_VIDEODRIVER="dummy", SDL_AUDIODRIVER="dummy")
    done = subprocess.run(
        [str(part) for part in command], env=environment, cwd="/", capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done
