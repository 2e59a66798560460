"""What commands look up of a world by its name: probes and recipe, and whether a recording is of it. Its entry is in
worldsim_envs.registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, Target
from worldsim.spec import WorldSpec
from worldsim_envs.registry import WORLDS, load, world_entry

if TYPE_CHECKING:
    from worldsim.train.recipes.base import Recipe


VIDEO = "video"  # the recipe for recordings that were imported


def probes_of(spec: WorldSpec) -> Probes:
    """What is measured of a world; of one whose entry names no probes, each component of its state by itself."""
    if entry_point := world_entry(spec.name).probes:
        probes: Probes = load(entry_point)
        return probes
    return Probes(groups=tuple(StateGroup(name, (name,)) for name in spec.state_names), targets=EVERY_WORLD)


def permanence_targets(world: str) -> tuple[Target, ...]:
    """What a model should reach in the permanence suite on a world; () where nothing is asked."""
    entry_point = world_entry(world).probes
    probes = load(entry_point) if entry_point else Probes()
    targets: tuple[Target, ...] = probes.permanence_targets
    return targets


def recipe_of(name: str) -> Recipe | None:
    """How a world is trained, an arm of the experiments on it, "WORLD-ARM", or "video", what is imported; None for any
    other name. Needs torch."""
    if name == VIDEO:
        from worldsim.train.recipes.video import RECIPE

        return RECIPE
    if entry_point := world_entry(name).recipe:
        recipe: Recipe = load(entry_point)
        return recipe
    if (world := world_of_arm(name)) and (entry_point := world_entry(world).arms):
        arms: dict[str, Recipe] = load(entry_point)
        return arms.get(name.removeprefix(f"{world}-"))
    return None


def world_of_arm(name: str) -> str:
    """The world of an arm called "WORLD-ARM", whether there is such an arm or not; "" where no world has arms."""
    return next((world for world, entry in WORLDS.items() if entry.arms and name.startswith(f"{world}-")), "")


def worlds_with_recipes() -> list[str]:
    """Names of the worlds that have a recipe."""
    return [name for name, entry in WORLDS.items() if entry.recipe]


def check_same_world(world: WorldSpec, recording: Recording) -> None:
    """Refuse a recording of another world than the one the autoencoder was trained on."""
    if world.name != recording.spec.name or (world.height, world.width) != (
        recording.spec.height,
        recording.spec.width,
    ):
        raise WorldsimError(
            f"the autoencoder is of {world.name!r} at {world.width}x{world.height}; {recording.path} is of "
            f"{recording.spec.name!r} at {recording.spec.width}x{recording.spec.height}"
        )
