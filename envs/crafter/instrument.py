"""Judges a generated Crafter by what its frames say: tiles, inventory, memory and rules, beside the game itself.

Scenes are held-out play in which the player goes away and comes back. The generated world gets their past, then the
recorded keys alone. The game is asked the same: begun anew, brought to the same moment, and continued under the same
keys with other chance. Where a cow then stands in the way the walk is another one, so the game isn't always right.

N scenes, T frames of past, n frames after them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.core import rollout
from worldsim.evals.scenes import RecordingSplit, Scenes
from worldsim.evals.section import Curves, Section, Strip, Table, mean_figure, share_figure
from worldsim.evals.world_judge import Judged
from worldsim_envs.crafter import measures
from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.judge import RULES, Kept, judge
from worldsim_envs.crafter.names import ITEMS
from worldsim_envs.crafter.reader import Reading, TileReader

HORIZON = 64  # frames after the past
AWAY = 32  # steps out of view after which something is asked for again
CUT_FRAMES = 8  # of a scene, at which the world is also asked with its memory cut


class Read(NamedTuple):
    """What the n frames of each scene show, by who made them: tiles `[N, n, 7, 9]` and inventory `[N, n, 16]`."""

    tiles: np.ndarray
    items: np.ndarray


def judge_crafter(judged: Judged) -> Section:
    """The section of the report.

    Raises:
        WorldsimError: if crafter is not installed, or no held-out episode is long enough.
    """
    scenes = draw_scenes(judged.split, judged.scenes, judged.simulator.context, judged.seed)
    with judged.progress("Crafter: the recorded keys, frames", len(scenes) * HORIZON) as on_progress:
        free = rollout(judged.simulator, *scenes.past, scenes.future_actions, judged.seed, on_progress)
    reader = TileReader(*free.shape[2:4])
    decoded = judged.codec(scenes.truth)
    readings = {
        "generated": [reader.read(frames) for frames in free],
        "real, encoded and decoded": [reader.read(frames) for frames in decoded],
    }
    real = [reader.read(frames) for frames in scenes.truth]
    asked = measures.asked(scenes.state, scenes.context)
    legible = np.stack([reading.legible for reading in real])  # what the night hides nobody can be asked for
    asked = asked._replace(known=asked.known & legible)
    shown = {name: Read(*measures.stacked(found)) for name, found in readings.items()}
    start = Reading.of_states(scenes.state[:, scenes.context - 1])
    still = (np.broadcast_to(x[:, None], (len(x), HORIZON, *x.shape[1:])) for x in (start.tiles, start.inventory))
    shown["as at the start"] = Read(*still)
    section = Section(
        "crafter",
        "Crafter: tiles, inventory, memory, rules",
        f"{len(scenes)} held-out scenes in which the player goes away and comes back, {scenes.context} frames of past, "
        f"then {HORIZON} free-running frames under the recorded keys, read with the game's own textures. Tiles: of "
        "those that the past had shown, that noise doesn't hide by night, and on which no creature stands. Inventory: "
        f"of the items that there are or that are shown. Came back: tiles that were out of view for {AWAY} steps or "
        "more. Memory cut: the same frame, made after no more than its own last frames. The game itself: brought to "
        "the same moment and continued under the same keys with other chance.",
    )
    if isinstance(judged.env, CrafterEnv):
        states = continued(judged.env, judged.split, scenes, judged.seed)
        if states is None:
            section.notes.append("The game does not play the recorded episodes again: it is of another version.")
        else:
            shown["the game itself"] = Read(measures.tiles_of(states), measures.items_of(states))
    _add_tiles(section, shown, scenes, asked)
    _add_items(section, shown, scenes)
    cut = _with_memory_cut(judged, scenes, free, asked, reader)
    _add_memory(section, shown, scenes, asked, cut)
    _add_rules(section, scenes, reader, free, decoded)
    _add_daylight(section, readings, scenes)
    section.strips.extend(_strips(scenes, free, asked))
    return section


def draw_scenes(split: RecordingSplit, count: int, context: int, seed: int) -> Scenes:
    """Scenes in which something comes back into view; any, where a recording has none of those."""
    where = np.zeros(len(split.state), bool)
    for start, end in split.episodes:
        where[start:end] = measures.comes_back(split.state[start:end], context, HORIZON, AWAY)
    try:
        return split.draw(count, context, HORIZON, seed, where)
    except WorldsimError:
        return split.draw(count, context, HORIZON, seed)


def continued(env: CrafterEnv, split: RecordingSplit, scenes: Scenes, seed: int) -> np.ndarray | None:
    """The game's states `[N, n, S]` under the scenes' keys, with other chance; None if it does not get to a scene's
    last known frame by its episode's seed and keys. After a death the last state stays."""
    recording, states = split.recording, []
    for row, last in enumerate(scenes.lasts):
        episode = int(np.searchsorted(recording.ends, last, side="right"))
        frame, info = env.reset(seed=int(recording.seeds[episode]))
        for action in split.actions[recording.ends[episode - 1] if episode else 0 : last]:
            frame, _, over, _, info = env.step(action)
            if over:
                return None
        if not np.array_equal(frame, scenes.frames[row, scenes.context - 1]):
            return None
        env.reseed(seed + row)
        states.append(_play_on(env, scenes.future_actions[row], info["state"]))
    return np.stack(states)


def _play_on(env: CrafterEnv, actions: np.ndarray, state: np.ndarray) -> np.ndarray:
    states, over = [], False
    for action in actions:
        if not over:
            _, _, over, _, info = env.step(action)
            state = info["state"]
        states.append(state)
    return np.stack(states)


def _add_tiles(section: Section, shown: dict[str, Read], scenes: Scenes, asked: measures.Asked) -> None:
    truth = measures.tiles_of(scenes.true_state)
    right = {name: measures.tiles_right(read.tiles, truth, asked.known) for name, read in shown.items()}  # [N, n]
    for frame in (1, HORIZON):
        others = _others({name: share[:, frame - 1] for name, share in right.items()})
        label = f"tiles right after {frame} step{'s' if frame > 1 else ''}, of what was seen"
        section.figures.append(
            mean_figure(f"crafter.tiles_{frame}", label, right["generated"][:, frame - 1], "%", others)
        )
    frames = np.arange(1, HORIZON + 1)
    lines = {name: (frames, 100 * _mean(share, 0)) for name, share in right.items()}
    section.curves.append(Curves("Tiles right", "frames", "%, of what was seen", lines, y_range=(0.0, 100.0)))


def _add_items(section: Section, shown: dict[str, Read], scenes: Scenes) -> None:
    truth = measures.items_of(scenes.true_state)
    right = {name: measures.items_right(read.items, truth) for name, read in shown.items()}  # [N]
    label = f"numbers of the inventory right, over {HORIZON} steps"
    section.figures.append(mean_figure("crafter.inventory", label, right["generated"], "%", _others(right)))
    label = "numbers of the inventory legible after encode-decode"
    section.figures.append(mean_figure("crafter.codec_digits", label, right["real, encoded and decoded"], "%"))
    rows = []
    for i, item in enumerate(ITEMS):
        each = [measures.items_right(read.items[..., i : i + 1], truth[..., i : i + 1]) for read in shown.values()]
        rows.append((item, *(100 * _mean(share) for share in each)))
    section.tables.append(Table("Right by item, %", ("", *shown), rows))


def _with_memory_cut(
    judged: Judged, scenes: Scenes, free: np.ndarray, asked: measures.Asked, reader: TileReader
) -> tuple[np.ndarray, np.ndarray]:
    """Some frames in which something comes back, made after the last of the world's own frames alone.

    Returns:
        (scene, frame) of each, int `[K, 2]`; what they show, `[K, 7, 9]`.
    """
    frames = np.concatenate([scenes.past[0], free], axis=1)
    at = []
    back = np.asarray(asked.returned(AWAY).any((-1, -2)))  # [N, n]
    for scene in range(len(scenes)):
        found = np.flatnonzero(back[scene])
        some = np.unique(np.linspace(0, len(found) - 1, min(CUT_FRAMES, len(found))).round().astype(int))
        at += [(scene, frame) for frame in found[some]]
    if not at:
        return np.zeros((0, 2), int), np.zeros((0, *asked.known.shape[-2:]), int)
    length = min(judged.window + 1, scenes.context)
    made = []
    with judged.progress("Crafter: memory cut, frames", len(at)) as on_progress:
        for scene, frame in at:  # each by itself: it begins with its own past
            end = scenes.context + frame
            past = frames[None, scene, end - length : end], scenes.actions[None, scene, end - length : end - 1]
            made.append(
                rollout(
                    judged.simulator,
                    *past,
                    scenes.actions[None, scene, end - 1 : end],
                    judged.seed + frame,
                    on_progress,
                )
            )
    shown = [reader.read(frame[0]).tiles[0] for frame in made]
    return np.array(at), np.stack(shown).astype(int)


def _add_memory(
    section: Section,
    shown: dict[str, Read],
    scenes: Scenes,
    asked: measures.Asked,
    cut: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, back = measures.tiles_of(scenes.true_state), asked.returned(AWAY)
    at, tiles = cut
    if not back.any():
        section.notes.append(f"Nothing comes back after {AWAY} steps in the held-out play: memory was not measured.")
        return
    # Every scene counts once: the share over all its frames' returning tiles.
    right = {name: _pooled(read.tiles, truth, back) for name, read in shown.items()}
    label = f"what was left {AWAY} steps ago or more is there again"
    section.figures.append(mean_figure("crafter.back_32", label, right["generated"], "%", _others(right)))
    scene, frame = at.T
    own, without = (
        measures.tiles_right(made, truth[scene, frame], back[scene, frame])
        for made in (shown["generated"].tiles[scene, frame], tiles)
    )
    reference = f"with memory, in the same {len(at)} frames: {100 * _mean(own):.1f} %"
    section.figures.append(mean_figure("crafter.back_32_cut", f"{label}, memory cut", without, "%", reference))
    rows = []
    for least, most in ((1, 2), (2, 8), (8, 16), (16, 32), (32, 48), (48, 999)):
        which = asked.known & (asked.away >= least) & (asked.away < most)
        title = f"{least}" if most == least + 1 else f"{least} to {most - 1}" if most < 999 else f"{least} or more"
        rows.append((title, int(which.sum()), *(100 * _mean(_pooled(r.tiles, truth, which)) for r in shown.values())))
    section.tables.append(Table("Tiles right by steps since they were in view, %", ("", "tiles", *shown), rows))


def _add_rules(section: Section, scenes: Scenes, reader: TileReader, free: np.ndarray, decoded: np.ndarray) -> None:
    first = scenes.frames[:, scenes.context - 1 : scenes.context]
    found = {}
    for name, frames in (("generated", free), ("real, encoded and decoded", decoded), ("real", scenes.truth)):
        runs = [reader.read(run) for run in np.concatenate([first, frames], axis=1)]
        kept = [judge(run, actions) for run, actions in zip(runs, scenes.future_actions, strict=True)]
        found[name] = {rule: _sum([one[rule] for one in kept]) for rule in RULES}
    total = {name: _sum(list(rules.values())) for name, rules in found.items()}
    reference = "; ".join(f"{name} {100 * total[name].share:.1f} %" for name in total if name != "generated")
    own = total["generated"]
    section.figures.append(
        share_figure("crafter.rules", "rules kept: collect, place, make, move, ...", own.kept, own.occasions, reference)
    )
    rows = [
        (rule, found["generated"][rule].occasions, *(100 * rules[rule].share for rules in found.values()))
        for rule in RULES
    ]
    section.tables.append(Table("Rules kept, %", ("rule", "occasions", *found), rows))


def _add_daylight(section: Section, readings: dict[str, list[Reading]], scenes: Scenes) -> None:
    truth = np.stack([Reading.of_states(states).daylight for states in scenes.true_state])
    error = {name: np.abs(np.stack([r.daylight for r in found]) - truth).mean(1) for name, found in readings.items()}
    reference = f"after encode-decode {error['real, encoded and decoded'].mean():.3f}; it goes from 0 to 1"
    label = "error of the daylight: night falls when it should"
    section.figures.append(mean_figure("crafter.daylight_error", label, error["generated"], reference=reference))


def _strips(scenes: Scenes, free: np.ndarray, asked: measures.Asked) -> list[Strip]:
    """The two scenes in which most comes back."""
    at = np.linspace(0, HORIZON - 1, 12).round().astype(int)
    strips = []
    for scene in np.argsort(-asked.returned(AWAY).sum((1, 2, 3)))[:2]:
        rows = {"real": scenes.truth[scene, at], "generated": free[scene, at]}
        strips.append(Strip(f"Going away and coming back (scene {scene + 1})", rows, tuple(str(t + 1) for t in at)))
    return strips


def _others(values: dict[str, np.ndarray]) -> str:
    """The means of all but the generated world, in words."""
    return "; ".join(f"{name} {100 * _mean(share):.1f} %" for name, share in values.items() if name != "generated")


def _pooled(tiles: np.ndarray, truth: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The share of the chosen tiles that are right in each scene, `[N]`."""
    rows = (x.reshape(len(x), -1, x.shape[-1]) for x in (tiles, truth, which))
    return measures.tiles_right(*rows)


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """The mean of what is a number; not a number where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def _sum(kept: list[Kept]) -> Kept:
    return Kept(sum(k.occasions for k in kept), sum(k.kept for k in kept))
