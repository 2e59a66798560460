"""Evaluation: which instruments run on a generated world, in which order, on which scenes.

Everything that it needs from elsewhere comes as arguments: the recording, what is asked of the world (probes), the real
world and its policies. It prints nothing and writes nothing but the readers it trains.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.evals.core import ProgressCallback, policy_rollout, reset_from_context, rollout
from worldsim.evals.generated import PredictionRecorder, SessionSimulator, runtime_codec, runtime_ood
from worldsim.evals.instruments import (
    actions,
    detail,
    drift,
    events,
    fidelity,
    motion,
    outcome,
    state,
    stillness,
    trust,
    turn,
)
from worldsim.evals.instruments.state import ReadState
from worldsim.evals.probes import Probes, TurnProbe
from worldsim.evals.real_play import RealPlay, play_policy, play_random
from worldsim.evals.scenes import RecordingSplit, Scenes
from worldsim.evals.section import Section
from worldsim.evals.world_judge import Judged
from worldsim.runtime.base import Runtime
from worldsim.runtime.session import State

OOD_FRAMES = 4  # real frames of a scene that are also scored upside down
ONE_FRAME_TESTS = 24  # frames of a scene that are generated from real ones

Progress = Callable[[str, int], contextlib.AbstractContextManager[ProgressCallback]]  # (title, total)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is evaluated: scenes, trials and frames of each instrument, and training steps of the readers."""

    scenes: int = 24
    still_scenes: int = 6
    still_frames: int = 300
    turns: int = 100
    outcomes: int = 192
    episodes: int = 128
    episode_frames: int = 100
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
    episodes=24,
    episode_frames=50,
    runs=4,
    real_runs=2,
    run_frames=200,
    longest=64,
    reader_steps=120,
    gallery=512,
)


@dataclasses.dataclass
class Readers:
    """Nets trained on real frames: the action that was taken, and the exact state, where the world has one."""

    action: actions.ReadActions
    state: ReadState | None


class Evaluation:
    """One generated world and what it is compared with.

    Args:
        runtime: of the world.
        recording: of the same real world (see `check_recording`).
        probes: what is asked of this world alone.
        real: the real world, if it can be played, and policies.
        size: how much is evaluated.
        seed: of scenes, noise and policies.
        progress: opens a progress bar.

    Raises:
        WorldsimError: if the held-out episodes are too short.
    """

    def __init__(
        self,
        runtime: Runtime,
        recording: Recording,
        probes: Probes,
        real: RealPlay,
        size: Size,
        seed: int,
        progress: Progress,
    ):
        self._runtime, self._spec, self._probes, self._real = runtime, runtime.spec, probes, real
        self._size, self._seed, self._progress = size, seed, progress
        self._simulator = SessionSimulator(runtime)
        self._codec, self._ood = runtime_codec(runtime), runtime_ood(runtime)
        self._recording, self._split = recording, RecordingSplit(recording)
        self._horizons = fidelity.horizons_within(min(size.longest, self._split.longest(self._simulator.context)))
        if not self._horizons:
            raise WorldsimError(
                f"recording {recording.path}: its held-out episodes have {self._split.longest(0)} frames at most; "
                f"the world needs more than {self._simulator.context}. Record longer episodes."
            )

    def run(self) -> list[Section]:
        """Run every instrument that fits this world."""
        return [section for part in self.parts for section in self.run_part(part)]

    @property
    def parts(self) -> list[str]:
        """The names of what can be run by itself, here or elsewhere, in the order of the report."""
        reads_state = bool(self._spec.state_names)
        asked = {
            "events": bool(self._probes.events) and reads_state,
            "turn": self._probes.turn is not None and reads_state,
            "judge": self._probes.judge is not None,
        }
        return ["scenes", "outcome", "stillness", *(part for part, fits in asked.items() if fits)]

    def run_part(self, part: str) -> list[Section]:
        """Run one of `parts`."""
        readers = self.readers
        if part == "scenes":
            return self._from_scenes(readers)
        if part == "outcome":
            return [self._outcome()]
        if part == "stillness":
            return [self._stillness()]
        if part == "judge":
            assert self._probes.judge is not None
            return [self._probes.judge(self._judged())]
        assert readers.state is not None
        if part == "events":
            return [self._events(readers.state)]
        assert part == "turn" and self._probes.turn is not None
        return [self._turn(self._probes.turn, readers.state)]

    @functools.cached_property
    def readers(self) -> Readers:
        """Trained when first asked for, if they are not beside the recording."""
        return self._train_readers()

    def _judged(self) -> Judged:
        window, size = self._runtime.sizes.window, self._size
        judged = self._simulator, self._codec, self._split, self._real.env, size.scenes, window, self._seed
        return Judged(*judged, self._progress)

    def _train_readers(self) -> Readers:
        from worldsim.evals.reader import train_action_reader, train_state_reader

        folder = self._recording.path.with_name(f"{self._recording.path.name}.readers")
        steps = self._size.reader_steps
        with self._progress("training the action reader, steps", steps) as on_progress:
            read_action = train_action_reader(self._recording, folder, steps, on_progress)
        if not self._spec.state_names:
            return Readers(read_action, None)
        if self._probes.make_reader is not None:
            return Readers(read_action, self._probes.make_reader(self._spec.height, self._spec.width))
        with self._progress("training the state reader, steps", steps) as on_progress:
            return Readers(read_action, train_state_reader(self._recording, folder, steps, on_progress))

    def _from_scenes(self, readers: Readers) -> list[Section]:
        """The instruments that share scenes, fidelity to ΔPSNR, and those on long runs, which end the actions'."""
        simulator, horizons, longest = self._simulator, self._horizons, max(self._horizons)
        scenes = self._split.draw(self._size.scenes, simulator.context, longest, self._seed)
        n = len(scenes)
        recorder = PredictionRecorder(simulator, n, longest, ood=True)
        with self._progress("free-running, frames", n * longest) as on_progress:
            free = rollout(simulator, *scenes.past, scenes.future_actions, self._seed, on_progress, recorder)
        with self._progress("teacher-forced, frames", n * len(horizons)) as on_progress:
            forced = fidelity.teacher_forced(simulator, scenes, horizons, on_progress)
        sections = [fidelity.fidelity(scenes, free, forced, self._codec, horizons)]
        if readers.state is not None:
            groups, names = self._probes.groups, self._spec.state_names
            sections.append(state.state_error(groups, names, readers.state, scenes, free, self._codec))
        sections.append(self._trust(scenes, free, recorder))
        counterfactual = 2 * n * max(h for h in actions.HORIZONS if h <= longest)
        with self._progress("other actions, frames", counterfactual) as on_progress:
            following = actions.following(simulator, scenes, free, len(self._spec.actions), self._seed, on_progress)
        return [*sections, *self._long_runs(readers, following, scenes, free)]

    def _trust(self, scenes: Scenes, free: np.ndarray, recorder: PredictionRecorder) -> Section:
        n, longest = free.shape[:2]
        every = range(1, longest + 1, max(1, longest // ONE_FRAME_TESTS))
        one_frame = PredictionRecorder(self._simulator, n, len(every))
        with self._progress("one frame from real ones, frames", n * len(every)) as on_progress:
            frames = fidelity.teacher_forced(self._simulator, scenes, every, on_progress, one_frame)
        real = np.concatenate(scenes.truth[:, :: max(1, longest // OOD_FRAMES)])
        ood = trust.OODScores(recorder.ood, self._ood(real), self._ood(np.ascontiguousarray(real[:, ::-1])))
        truth = scenes.truth[:, every.start - 1 :: every.step]
        return trust.trust(
            trust.Predictions(frames, truth, one_frame.uncertainty),
            trust.Predictions(free, scenes.truth, recorder.uncertainty),
            ood,
            self._codec,
        )

    def _long_runs(self, readers: Readers, following: actions.Part, known: Scenes, free: np.ndarray) -> list[Section]:
        """Long free runs beside real play under the same policy: action agreement, drift, detail, motion. `free` are
        the frames of the `known` scenes under their own keys."""
        size, split, seed = self._size, self._split, self._seed
        real, real_actions, info = self._real_runs(readers.state)
        scenes = split.draw(size.runs, self._simulator.context, 0, seed)
        policy = self._real.make_policy(len(scenes), seed, readers.state, info)

        def restart(current: State, t: int) -> State:
            """Episodes that ended restart from their own context, with other random numbers."""
            ended = self._simulator.output.ended
            if not ended.any():
                return current
            past, taken = (part[ended] for part in scenes.past)
            seeds = seed + (t + 1) * len(scenes) + np.flatnonzero(ended)
            fresh = reset_from_context(self._simulator, past, taken, seeds)
            return self._simulator.replace_rows(current, ended, fresh)

        with self._progress("free run under the policy, frames", len(scenes) * size.run_frames) as on_progress:
            generated, taken = policy_rollout(
                self._simulator, *scenes.past, policy, size.run_frames, seed, on_progress, restart
            )
        clips = split.draw(8 * size.scenes, 16, 0, seed)
        agreement = actions.agreement(
            readers.action,
            [action.name for action in self._spec.actions],
            (clips.frames, clips.actions),
            (real, real_actions),
            (generated, taken),
        )
        gallery = RecordingSplit(self._recording, "train").draw(size.gallery // 8, 16, 0, seed).frames[:, ::2]
        played = len(scenes), size.run_frames
        sections = [
            actions.action_section([following, agreement], size.scenes, played),
            drift.drift(generated, real, gallery.reshape(-1, *gallery.shape[2:]), self._codec),
            detail.detail(free, known.truth, generated, real, self._codec),
            self._motion(generated, real, readers.state),
        ]
        if self._real.env is None:
            for section in sections:
                section.notes.append("The real world can't be played here: held-out episodes stand for real play.")
        return sections

    def _real_runs(self, read_state: ReadState | None) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
        """Real play under the policy, or held-out episodes where there is no real world to play."""
        runs, n = self._size.real_runs, self._size.run_frames
        if self._real.env is None:
            recorded = self._split.draw(runs, 1, min(n, self._split.longest(1)), self._seed)
            return recorded.frames, recorded.actions, {}
        with self._progress("real play, frames", runs * n) as on_progress:
            return play_policy(self._real, read_state, runs, n, self._seed, on_progress)

    def _motion(self, generated: np.ndarray, real: np.ndarray, read_state: ReadState | None) -> Section:
        section = motion.motion_section(len(generated), generated.shape[1] - 1)
        figures, table, notes = motion.moving(generated, real)
        section.figures.extend(figures)
        section.notes.extend(notes)
        if figures:
            section.tables.append(table)
        if self._probes.counter is None or read_state is None:
            return section
        try:
            names = self._spec.state_names
            counter = motion.Counter(self._probes.counter, names, self._split, self._codec, self._seed)
        except WorldsimError as error:
            section.notes.append(f"Counting was not measured: {error}")
            return section
        figures, table, strips = motion.counting(counter, read_state, generated, self._codec(real))
        section.figures.extend(figures)
        section.tables.append(table)
        section.strips.extend(strips)
        return section

    def _outcome(self) -> Section:
        """Rewards and ends, one frame from real ones."""
        split, context, most = self._split, self._simulator.context, self._size.outcomes
        usual = outcome.usual_reward(split)
        ends = outcome.sample(split, split.terminated, context, most, self._seed)
        rewarded = outcome.sample(split, split.rewards != usual, context, most, self._seed)
        of_ends, of_rewards = self._predict(ends), self._predict(rewarded)
        return outcome.outcome(ends, of_ends.cont[:, 0], rewarded, of_rewards.reward[:, 0], usual)

    def _predict(self, sample: outcome.Sample | None) -> PredictionRecorder:
        """What the world predicts of a sample's one frame; of none, nothing."""
        n = len(sample.scenes) if sample else 0
        recorder = PredictionRecorder(self._simulator, n, 1)
        if sample:
            with self._progress("ends and rewards, frames", n) as on_progress:
                scenes = sample.scenes
                rollout(self._simulator, *scenes.past, scenes.future_actions, self._seed, on_progress, recorder)
        return recorder

    def _stillness(self) -> Section:
        """No key pressed, where the recording has such moments, and from the starts that the world ships with."""
        try:
            idle, still = stillness.idle_starts(self._split, self._spec.noop, self._seed)
            scenes = self._split.draw(self._size.still_scenes, self._simulator.context, 0, self._seed, idle)
        except WorldsimError as error:
            return Section("stillness", "No-op stillness", "Not measured.", notes=[str(error)])
        generated = self._idle(*scenes.past)
        starts = self._runtime.starts
        from_starts = None if starts is None else self._idle(starts.frames, starts.actions)
        return stillness.stillness(scenes, generated, from_starts, still, self._codec)

    def _idle(self, frames: np.ndarray, taken: np.ndarray) -> np.ndarray:
        future = np.full((len(frames), self._size.still_frames), self._spec.noop)
        with self._progress("no key pressed, frames", future.size) as on_progress:
            return rollout(self._simulator, frames, taken, future, self._seed, on_progress)

    def _events(self, read_state: ReadState) -> Section:
        """Episodes that the real world begins, and that both continue."""
        if self._real.env is None:
            notes = ["The real world can't be played here."]
            return Section("events", "Do events happen as often?", "Not measured.", notes=notes)
        b, context = self._size.episodes, self._simulator.context
        n = context - 1 + self._size.episode_frames
        with self._progress("real episodes, frames", b * n) as on_progress:
            played = play_random(self._real, b, n, self._seed, on_progress)
        begun = ~played.ended[:, : context - 1].any(1)
        frames, taken, ended, rewards = (part[begun] for part in played)
        future = taken[:, context - 1 :]
        recorder = PredictionRecorder(self._simulator, *future.shape)
        with self._progress("generated episodes, frames", future.size) as on_progress:
            past = frames[:, :context], taken[:, : context - 1]
            generated = rollout(self._simulator, *past, future, self._seed, on_progress, recorder)
        decoded = self._codec(frames[:, context:])
        return events.events(
            self._probes.events,
            self._spec.state_names,
            read_state,
            events.Episodes.of(decoded, ended[:, context - 1 :], rewards[:, context - 1 :]),
            events.Episodes.of(generated, recorder.ended, recorder.reward),
        )

    def _turn(self, probe: TurnProbe, read_state: ReadState) -> Section:
        """Full turns, where the recording has somewhere to turn."""
        groups, names = self._probes.groups, self._spec.state_names
        starts = turn.turn_starts(self._split, probe, groups, self._spec)
        try:
            scenes = self._split.draw(self._size.turns, self._simulator.context, 0, self._seed, starts)
        except WorldsimError as error:
            return Section("turn", "A full turn on the spot", "Not measured.", notes=[str(error)])
        future = turn.turn_actions(probe, self._spec, len(scenes))
        with self._progress("full turns, frames", future.size) as on_progress:
            generated = rollout(self._simulator, *scenes.past, future, self._seed, on_progress)
        return turn.whole_turn(probe, groups, names, read_state, scenes, generated, self._codec)
