"""The registry: every entry names what there is, and a name out of a file imports nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import toy

from worldsim.cli.bench import real_speed
from worldsim.cli.worlds import permanence_targets, probes_of, recipe_of
from worldsim.errors import WorldsimError
from worldsim.evals.probes import Probes
from worldsim.runtime.bundle import shipped_worlds
from worldsim.train.recipes.base import Recipe
from worldsim_envs import GENERATED, IDS, VECTOR, register_envs
from worldsim_envs.base import RealEnv
from worldsim_envs.registry import WORLDS, import_real, load, make_real


@pytest.mark.parametrize("name", [name for name, entry in WORLDS.items() if entry.env])
def test_an_entry_names_what_there_is(name):
    entry = WORLDS[name]
    env = make_real(name)
    asked, spec = probes_of(env.world), env.world
    assert isinstance(env, RealEnv) and spec.name == entry.name == name
    env.close()
    assert spec.noop == 0  # what gymnasium.utils.play does when no key is held
    assert isinstance(recipe_of(name), Recipe) and isinstance(asked, Probes)
    assert callable(load(entry.explorer)) and callable(load(entry.expert or entry.explorer))
    if entry.staging:
        assert load(entry.staging).PROBES and callable(load(entry.staging).stage)
    assert bool(permanence_targets(name)) == bool(entry.staging)
    groups = {group.name for group in asked.groups}
    assert {component for group in asked.groups for component in group.components} <= set(spec.state_names)
    if asked.turn is not None:
        assert {asked.turn.place, asked.turn.heading} <= groups
        assert asked.turn.view in spec.state_names and set(asked.turn.actions) <= {a.name for a in spec.actions}
    if asked.counter is not None:
        assert asked.counter.mover in spec.state_names


def test_a_world_without_an_entry_has_each_component_of_its_state_measured():
    assert [group.name for group in probes_of(toy.SPEC).groups] == list(toy.SPEC.state_names)
    assert recipe_of("toy") is None


def test_every_world_has_two_ids_and_registering_again_changes_nothing():
    before = dict(gym.registry)
    register_envs()
    assert gym.registry == before and set(IDS) <= set(gym.registry)
    for entry in WORLDS.values():
        if entry.env:
            assert gym.registry[entry.real_id].entry_point == entry.env
        else:
            assert not entry.real_id, "known from videos alone"
        assert (entry.generated_id in IDS) == (entry.name in shipped_worlds())  # the others have nothing to open
        if entry.generated_id in IDS:
            spec = gym.registry[entry.generated_id]
            assert (spec.entry_point, spec.vector_entry_point) == (GENERATED, VECTOR)
            assert spec.kwargs == {"world": entry.name}
    assert IDS[:2] == ("worldsim/Freeway-v0", "worldsim/FreewayReal-v0")


def test_the_registry_loads_neither_games_nor_networks():
    script = """
import sys, worldsim_envs.registry
heavy = {"torch", "onnxruntime", "vizdoom", "ale_py", "pygame", "worldsim.train", "worldsim.runtime"}
print(sorted(heavy & set(sys.modules)), [name for name in sys.modules if name.startswith("worldsim_envs.")])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = "['worldsim_envs.window', 'worldsim_envs.base', 'worldsim_envs.registry']"
    assert ran.stdout.strip() == f"[] {loaded}"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder that registers an environment, and says so when it is imported."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    monkeypatch.chdir(tmp_path)
    lines = (
        "from pathlib import Path; import gymnasium",
        "Path('imported').touch()",
        "gymnasium.register('BesideTheUser-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv')",
    )
    (tmp_path / "beside_the_user.py").write_text("\n".join(lines))
    yield "beside_the_user"
    gym.registry.pop("BesideTheUser-v0", None)
    sys.modules.pop("beside_the_user", None)


def test_a_name_out_of_a_file_imports_nothing(module):
    with pytest.raises(WorldsimError, match="imports a module is taken from the command line alone"):
        make_real(f"{module}:BesideTheUser-v0")
    with pytest.raises(WorldsimError, match="can't be a world's name"):  # nor does a bundle have that name
        dataclasses.replace(toy.SPEC, name=f"{module}:BesideTheUser-v0")
    assert real_speed(dataclasses.replace(toy.SPEC, name=module)) is None
    assert module not in sys.modules and not Path("imported").exists()


def test_a_name_that_was_typed_imports_its_module_from_the_current_folder(module):
    env = import_real(f"{module}:BesideTheUser-v0")
    assert (env.world.name, env.world.title) == ("besidetheuser-v0", "BesideTheUser-v0")
    env.close()
    for name in ("BesideTheUser-v0", "besidetheuser-v0"):  # from now on it is registered
        make_real(name).close()
