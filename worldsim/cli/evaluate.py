"""`worldsim eval`: judge a world on held-out episodes of its recording, and write down what was found.

Knows who plays (the explorer, in the generated and in the real world) and in which order the instruments run; they
themselves are in `worldsim.evals`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from worldsim.cli.worlds import probes_of
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError, require
from worldsim.evals import report
from worldsim.evals.core import Tick, look, play, rollout
from worldsim.evals.generated import SessionSimulator, runtime_codec, runtime_ood
from worldsim.evals.instruments import actions, drift, events, fidelity, motion, outcome, state, stillness, trust, turn
from worldsim.evals.probes import Probes, TurnProbe
from worldsim.evals.scenes import Footage, check_recording
from worldsim.evals.section import Section
from worldsim.progress import ProgressBar
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.session import State
from worldsim.spec import WorldSpec

if TYPE_CHECKING:
    from worldsim.evals.reader import ActionReader, StateReader

UNLIKE = 4  # real frames of a scene that are turned upside down, to see whether the world finds that odd
TRUSTED = 24  # frames of a scene that are generated from real ones, to see whether the world knows when it errs
FAR = 10**6  # seeds of real play from here on were never recorded


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """Judge a world on held-out play: worldsim eval doom-maze --recording recordings/doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        recording: of the same real world and size; only its held-out episodes are judged on.
        out: where the report goes; `reports/NAME` if not given.
        quick: a fifth of everything, for a first look.
        runtime: onnx or torch.
        seed: of the scenes, the noise and the players.
    """

    world: tyro.conf.Positional[str]
    recording: Path
    out: Path | None = None
    quick: bool = False
    runtime: str = "onnx"
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is judged: scenes, tries and frames of each instrument, and training steps of the readers."""

    scenes: int = 24
    still_scenes: int = 6
    still_frames: int = 300
    turns: int = 100
    outcomes: int = 192
    games: int = 128
    game_frames: int = 100
    runs: int = 8
    real_runs: int = 4
    run_frames: int = 1000
    longest: int = 256
    reader_steps: int = 1500
    gallery: int = 2048


FULL = Size()
QUICK = Size(
    scenes=8,
    still_scenes=2,
    still_frames=100,
    turns=20,
    outcomes=32,
    games=24,
    game_frames=50,
    runs=4,
    real_runs=2,
    run_frames=200,
    longest=64,
    reader_steps=120,
    gallery=512,
)


def evaluate(config: EvalConfig) -> None:
    """Judge, print, and write `eval.json` and `eval.html`.

    Raises:
        WorldsimError: for a world or recording that can't be opened or don't fit each other, or a missing package.
    """
    report.needed()
    require("torch", "eval")
    require("skimage", "eval")
    bundle, recording = open_world(config.world), Recording(config.recording)
    check_recording(recording, bundle.spec)
    judge = Judge(bundle, recording, config, QUICK if config.quick else FULL)
    sections = judge.sections()
    held_out = len(recording.episodes("held-out"))
    facts = report_facts(bundle, "eval", config.world)
    facts["recording"] = f"{len(recording)} frames, seed {recording.seed}, judged on {held_out} held-out episodes"
    title = f"How good is {bundle.spec.title or bundle.spec.name}?"
    found = report.Report("eval", title, facts, sections, judge.probes.targets)
    console = report.wide_console()
    report.show(found, console)
    for path in report.write(found, config.out or Path("reports") / bundle.spec.name):
        console.print(f"wrote {path}", soft_wrap=True)


class Judge:
    """One world before its instruments."""

    def __init__(self, bundle: Bundle, recording: Recording, config: EvalConfig, size: Size):
        self.spec, self.size, self.seed = bundle.spec, size, config.seed
        self.probes: Probes = probes_of(bundle.spec)
        runtime = load_runtime(bundle, config.runtime)
        self.simulator, self.codec, self.ood = SessionSimulator(runtime), runtime_codec(runtime), runtime_ood(runtime)
        self.recording, self.footage = recording, Footage(recording)
        self.readers = recording.path.with_name(f"{recording.path.name}.readers")
        self.horizons = fidelity.horizons_within(min(size.longest, self.footage.longest(self.simulator.context)))
        if not self.horizons:
            raise WorldsimError(
                f"recording {recording.path}: its held-out episodes have {self.footage.longest(0)} frames at most; "
                f"the world needs "
                f"more than {self.simulator.context}. Record longer episodes."
            )

    def sections(self) -> list[Section]:
        """Run every instrument that fits this world."""
        from worldsim.evals.reader import train_action_reader, train_state_reader

        steps = self.size.reader_steps
        with progress("training the action reader, steps", steps) as tick:
            read_action = train_action_reader(self.recording, self.readers, steps, tick)
        read_state = None
        if self.spec.state_names:
            with progress("training the state reader, steps", steps) as tick:
                read_state = train_state_reader(self.recording, self.readers, steps, tick)
        sections, following = self._scenes(read_state)
        sections += [*self._free(read_action, read_state, following), self.outcome(), self.stillness()]
        if self.probes.events and read_state is not None:
            sections.append(self.events(read_state))
        if self.probes.turn is not None and read_state is not None:
            sections.append(self.turn(self.probes.turn, read_state))
        return sections

    def _scenes(self, read_state: StateReader | None) -> tuple[list[Section], actions.Part]:
        """What starts from the same scenes: fidelity, state over horizon, ΔPSNR."""
        simulator, horizons, longest = self.simulator, self.horizons, max(self.horizons)
        scenes = self.footage.draw(self.size.scenes, simulator.context, longest, self.seed)
        n = len(scenes)
        with progress("free-running, frames", n * longest) as tick:
            free_said = Said(simulator, n, longest, ood=True)
            free = rollout(simulator, *scenes.past, scenes.future_actions, self.seed, tick, free_said)
        with progress("teacher-forced, frames", n * len(horizons)) as tick:
            forced = fidelity.teacher_forced(simulator, scenes, horizons, tick)
        sections = [fidelity.fidelity(scenes, free, forced, self.codec, horizons)]
        if read_state is not None:
            names = self.spec.state_names
            sections.append(state.state_error(self.probes.groups, names, read_state, scenes, free, self.codec))
        every = range(1, longest + 1, max(1, longest // TRUSTED))
        with progress("one frame from real ones, frames", n * len(every)) as tick:
            said = Said(simulator, n, len(every))
            next_frames = fidelity.teacher_forced(simulator, scenes, every, tick, said)
        one_frame = trust.Heard(next_frames, scenes.truth[:, every.start - 1 :: every.step], said.uncertainty)
        real = np.concatenate(scenes.truth[:, :: max(1, longest // UNLIKE)])
        unlike = trust.Unlike(free_said.ood, self.ood(real), self.ood(np.ascontiguousarray(real[:, ::-1])))
        free_run = trust.Heard(free, scenes.truth, free_said.uncertainty)
        sections.append(trust.trust(one_frame, free_run, unlike, self.codec))
        with progress("other actions, frames", 2 * n * max(h for h in actions.HORIZONS if h <= longest)) as tick:
            following = actions.following(simulator, scenes, free, len(self.spec.actions), self.seed, tick)
        return sections, following

    def outcome(self) -> Section:
        """What pays and what ends, one frame from real ones."""
        footage, context, most = self.footage, self.simulator.context, self.size.outcomes
        usual = outcome.usual_reward(footage)
        ends = outcome.sample(footage, footage.terminated, context, most, self.seed)
        pays = outcome.sample(footage, footage.rewards != usual, context, most, self.seed)
        said = []
        for drawn in (ends, pays):
            n = len(drawn.scenes) if drawn else 0
            said.append(Said(self.simulator, n, 1))
            if drawn:
                with progress("ends and rewards, frames", n) as tick:
                    scenes = drawn.scenes
                    rollout(self.simulator, *scenes.past, scenes.future_actions, self.seed, tick, said[-1])
        return outcome.outcome(ends, said[0].cont[:, 0], pays, said[1].reward[:, 0], usual)

    def events(self, read_state: StateReader) -> Section:
        """Games that the real world begins, and both go on with."""
        frames, keys, ended, rewards = self._games()
        context = self.simulator.context
        begun = ~ended[:, : context - 1].any(1)
        frames, keys, ended, rewards = frames[begun], keys[begun], ended[begun], rewards[begun]
        past, future = (frames[:, :context], keys[:, : context - 1]), keys[:, context - 1 :]
        said = Said(self.simulator, *future.shape)
        with progress("generated games, frames", future.size) as tick:
            generated = rollout(self.simulator, *past, future, self.seed, tick, said)
        real = self.codec(frames[:, context:]), ended[:, context - 1 :], rewards[:, context - 1 :]
        return events.events(
            self.probes.events,
            self.spec.state_names,
            read_state,
            events.Watched.of(*real),
            events.Watched.of(generated, said.ended, said.reward),
        )

    def _games(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The real world under random keys that are held a while: frames `[B, m + 1, H, W, 3]`; keys, ended and rewards
        `[B, m]`, the last frame again and no reward after an end."""
        from worldsim_envs.registry import make_real
        from worldsim_policies.base import StickyExplorer

        b, m = self.size.games, self.simulator.context - 1 + self.size.game_frames
        env: Any = make_real(self.spec.name, height=self.spec.height, width=self.spec.width)
        frames = np.empty((b, m + 1, self.spec.height, self.spec.width, 3), np.uint8)
        keys, ended, rewards = np.empty((b, m), np.int64), np.zeros((b, m), bool), np.zeros((b, m))
        with progress("real games, frames", b * m) as tick:
            for row in range(b):
                explorer = StickyExplorer(len(self.spec.actions), np.random.default_rng([self.seed, row, 3]))
                frames[row, 0], info = env.reset(seed=2 * FAR + self.seed + row)
                for t in range(m):
                    keys[row, t] = explorer(frames[row, t], info)
                    over = ended[row, :t].any()
                    frames[row, t + 1] = frames[row, t]
                    if not over:
                        frames[row, t + 1], rewards[row, t], ended[row, t], _, info = env.step(keys[row, t])
                    tick(1)
        env.close()
        return frames, keys, ended, rewards

    def stillness(self) -> Section:
        """No key pressed, where the recording has such moments."""
        try:
            idle, still = stillness.idle_starts(self.footage, self.spec.noop, self.seed)
            scenes = self.footage.draw(self.size.still_scenes, self.simulator.context, 0, self.seed, idle)
        except WorldsimError as error:
            return Section("stillness", "No-op stillness", "Not measured.", notes=[str(error)])
        future = np.full((len(scenes), self.size.still_frames), self.spec.noop)
        with progress("no key pressed, frames", future.size) as tick:
            generated = rollout(self.simulator, *scenes.past, future, self.seed, tick)
        return stillness.stillness(scenes, generated, still, self.codec)

    def turn(self, probe: TurnProbe, read_state: StateReader) -> Section:
        """Whole turns, where the recording has somewhere to turn."""
        groups = self.probes.groups
        starts = turn.turn_starts(self.footage, probe, groups, self.spec)
        try:
            scenes = self.footage.draw(self.size.turns, self.simulator.context, 0, self.seed, starts)
        except WorldsimError as error:
            return Section("turn", "A whole turn on the spot", "Not measured.", notes=[str(error)])
        future = turn.turn_actions(probe, self.spec, len(scenes))
        with progress("whole turns, frames", future.size) as tick:
            generated = rollout(self.simulator, *scenes.past, future, self.seed, tick)
        return turn.whole_turn(probe, groups, self.spec.state_names, read_state, scenes, generated, self.codec)

    def _free(
        self, read_action: ActionReader, read_state: StateReader | None, following: actions.Part
    ) -> list[Section]:
        """The long free run beside real play by the same explorer: agreement, drift, motion."""
        runs, frames, context = self.size.runs, self.size.run_frames, self.simulator.context
        with progress("real play, frames", self.size.real_runs * frames) as tick:
            real, real_actions, walls = self._real_play(read_state, tick)
        crew = Crew(self.spec, runs, self.seed, read_state, walls)
        scenes = self.footage.draw(runs, context, 0, self.seed)

        def renew(state: State, t: int) -> State:
            """What has ended begins again where it began, as a game does, and goes another way."""
            ended = self.simulator.seen.ended
            if not ended.any():
                return state
            past, taken = (part[ended] for part in scenes.past)
            seeds = self.seed + (t + 1) * len(scenes) + np.flatnonzero(ended)
            return self.simulator.put(state, ended, look(self.simulator, past, taken, seeds))

        with progress("free run under the explorer, frames", len(scenes) * frames) as tick:
            generated, taken = play(self.simulator, *scenes.past, crew, frames, self.seed, tick, renew)

        clips = self.footage.draw(8 * self.size.scenes, 16, 0, self.seed)
        agreement = actions.agreement(
            read_action,
            [action.name for action in self.spec.actions],
            (clips.frames, clips.actions),
            (real, real_actions),
            (generated, taken),
        )
        gallery = Footage(self.recording, "train").draw(self.size.gallery // 8, 16, 0, self.seed).frames[:, ::2]
        sections = [
            actions.action_section([following, agreement], self.size.scenes, (len(scenes), frames)),
            drift.drift(generated, real, gallery.reshape(-1, *gallery.shape[2:]), self.codec),
        ]
        section = motion.motion_section(len(scenes), frames)
        figures, table, notes = motion.moving(generated, real)
        section.figures.extend(figures)
        section.notes.extend(notes)
        if figures:
            section.tables.append(table)
        if self.probes.counter is not None and read_state is not None:
            try:
                names = self.spec.state_names
                counter = motion.Counter(self.probes.counter, names, self.footage, self.codec, self.seed)
            except WorldsimError as error:
                section.notes.append(f"Counting was not measured: {error}")
            else:
                figures, table, strips = motion.counting(counter, read_state, generated, self.codec(real))
                section.figures.extend(figures)
                section.tables.append(table)
                section.strips.extend(strips)
        return [*sections, section]

    def _real_play(
        self, read_state: StateReader | None, tick: Tick
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Play the real world as the generated one is played: frames `[B, n + 1, H, W, 3]`, actions `[B, n]`, walls."""
        from worldsim_envs.registry import WORLDS, make_real

        runs, n = self.size.real_runs, self.size.run_frames
        try:
            env: Any = make_real(self.spec.name, height=self.spec.height, width=self.spec.width)
        except WorldsimError:
            if self.spec.name in WORLDS:
                raise
            recorded = self.footage.draw(runs, 1, min(n, self.footage.longest(1)), self.seed)  # stands for it
            tick(runs * n)
            return recorded.frames, recorded.actions, None
        frames = np.empty((runs, n + 1, self.spec.height, self.spec.width, 3), np.uint8)
        taken = np.empty((runs, n), np.int64)
        for row in range(runs):
            frames[row, 0], info = env.reset(seed=FAR + self.seed + row)
            walls = info.get("walls")
            crew = Crew(self.spec, 1, self.seed + row, read_state, walls)
            for t in range(n):
                taken[row, t] = crew(frames[row, t][None])[0]
                frames[row, t + 1], _, terminated, truncated, _ = env.step(taken[row, t])
                if terminated or truncated:
                    env.reset(seed=FAR + self.seed + row + runs * (t + 1))
                tick(1)
        env.close()
        return frames, taken, walls


class Said:
    """Notes what a world says of its frames, each `[N, n]`: float32 uncertainty, reward, cont and, if asked, ood; bool
    ended."""

    def __init__(self, simulator: SessionSimulator, rows: int, frames: int, ood: bool = False):
        self._simulator, self._ood = simulator, ood
        self.uncertainty, self.reward, self.cont, self.ood = (np.zeros((rows, frames), np.float32) for _ in range(4))
        self.ended = np.zeros((rows, frames), bool)

    def __call__(self, rows: slice, t: int, state: State) -> None:
        """As `Note`."""
        seen = self._simulator.seen
        self.uncertainty[rows, t] = state.uncertainty
        self.reward[rows, t], self.cont[rows, t], self.ended[rows, t] = seen.reward, seen.cont, seen.ended
        if self._ood:
            self.ood[rows, t] = self._simulator.ood(state)


class Crew:
    """One explorer a row, each seeing nothing but frames: what it wants to know of the state is read off them.

    Args:
        rows: how many worlds are played at once.
        read_state: None for a world without state, whose explorer needs none.
        walls: what the explorer of a maze is told at the start.
    """

    def __init__(self, spec: WorldSpec, rows: int, seed: int, read_state: StateReader | None, walls: np.ndarray | None):
        from worldsim_policies.base import make_explorer

        actions = len(spec.actions)
        self._explorers = [
            make_explorer(spec.name, np.random.default_rng([seed, row, 2]), actions) for row in range(rows)
        ]
        self._read, self._walls = read_state, walls

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, H, W, 3]` -> actions int64 `[B]`."""
        states: Sequence[Any] = [None] * len(frames) if self._read is None else list(self._read(frames))
        infos = [{"state": row, "walls": self._walls} for row in states]
        chosen = [explore(f, info) for explore, f, info in zip(self._explorers, frames, infos, strict=False)]
        return np.array(chosen, np.int64)


def report_facts(bundle: Bundle, command: str, world: str) -> dict[str, str]:
    """Who was judged, by which command line, and when."""
    typed = sys.argv[1:] if sys.argv[1:2] == [command] else [command, world]
    return {
        "world": f"{bundle.spec.name}, {bundle.spec.width}x{bundle.spec.height}",
        "weights": bundle.digest,
        "command": shlex.join(["worldsim", *typed]),
        "date": datetime.date.today().isoformat(),
    }


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Tick]:
    """A bar, and what to tell it."""
    with ProgressBar(title, total) as bar:
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            bar.update(done)

        yield tick
