"""`worldsim eval` and `worldsim card` on a tiny untrained world, from the command line to the files."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny

from worldsim.cli import evaluate
from worldsim.cli.bench import CALLS
from worldsim.cli.main import main
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.evals.generated import SessionSimulator
from worldsim.evals.probes import CounterProbe, EventProbe, Probes, StateGroup, TurnProbe
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.spec import WorldSpec

SMALL = evaluate.Size(
    scenes=3,
    still_scenes=2,
    still_frames=12,
    turns=4,
    outcomes=4,
    games=4,
    game_frames=8,
    runs=2,
    real_runs=2,
    run_frames=35,
    longest=16,
    reader_steps=2,
    gallery=64,
)
STATE = ("x", "y", "sin", "cos", "view", "score")


def record(path: Path, spec: WorldSpec, episodes: int = 20, length: int = 60) -> Path:
    """Waves, with a place that walks and jumps, and a heading that turns."""
    writer = RecordingWriter(path, spec, 0, {"source": "waves", "licence": "none"})
    frames, actions = tiny.tiny_clips(episodes, length)
    for i in range(episodes):
        t = np.arange(length)
        jumps = t % 30 == 29
        actions[i, : length // 2] = 0
        state = np.stack([t * 0, np.maximum(t % 30 - 15, 0), np.sin(t), np.cos(t), t * 0 + 9, t // 30], 1).astype(
            np.float32
        )
        writer.append(
            Episode(
                frames[i],
                np.append(actions[i], -1).astype(np.int16),
                jumps.astype(np.float32),
                np.zeros(length, bool),
                state[:, : len(spec.state_names)],
            )
        )
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("waves") / "waves", tiny.tiny_spec())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in a size that takes seconds."""
    monkeypatch.setattr(evaluate, "QUICK", SMALL)
    for batch in CALLS:
        monkeypatch.setitem(CALLS, batch, 4)


def test_eval_bench_and_card(tiny_world: Path, recording: Path, tmp_path: Path, small: None, capsys, monkeypatch):
    monkeypatch.setattr("worldsim.runtime.torch.has_compiler", lambda: False)  # tests/runtime/test_runtime.py compiles
    world, out = tmp_path / "world", tmp_path / "reports"
    shutil.copytree(tiny_world, world)
    assert main(["eval", str(world), "--recording", str(recording), "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "free-running PSNR at 16" in shown and "read as the action given" in shown and "Targets" not in shown
    found = json.loads((out / "eval.json").read_text())
    names = [section["name"] for section in found["sections"]]
    assert names == ["fidelity", "trust", "actions", "drift", "motion", "outcome", "stillness"]
    assert found["facts"]["weights"] == Bundle(world).digest
    html = (out / "eval.html").read_text("utf-8")
    assert html.count("data:image/png;base64,") > 8

    assert main(["card", str(world), "--reports", str(out)]) == 2
    assert "Run: worldsim bench" in capsys.readouterr().err

    assert main(["bench", str(world), "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "frames a second at batch 16" in shown and "16 rows in one step of the batch runtime" in shown
    assert main(["card", str(world), "--reports", str(out)]) == 0
    card = Bundle(world).card
    assert "random numbers" in card and "licence: MIT" in card
    assert "Target missed" in card or "met" in card
    assert "worldsim eval" in card and "worldsim bench" in card and "encode-decode PSNR" in card
    assert f"sees {Bundle(world).window} frames back, and remembers {Bundle(world).reach[-1][0]}" in card
    picture = world / "strip.png"
    assert picture.stat().st_size < 300_000 and cv2.imread(str(picture)) is not None
    assert "strip.png" in card and "worldsim eval permanence" not in card

    remembers = json.loads((out / "bench.json").read_text())
    remembers["facts"]["command"] = "worldsim eval permanence --world tiny"
    (out / "permanence.json").write_text(json.dumps(remembers))
    assert main(["card", str(world), "--reports", str(out)]) == 0
    assert "worldsim eval permanence --world tiny" in Bundle(world).card
    (out / "permanence.json").write_text(json.dumps({"facts": {"weights": "0" * 64}}))
    assert main(["card", str(world), "--reports", str(out)]) == 2
    assert f"Run: worldsim eval permanence --world {world}" in capsys.readouterr().err


def test_card_of_other_weights_is_refused(tiny_world: Path, tmp_path: Path, capsys):
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "eval.json").write_text(json.dumps({"facts": {"weights": "0" * 64}}))
    assert main(["card", str(tiny_world), "--reports", str(reports)]) == 2
    assert "other weights" in capsys.readouterr().err
    (reports / "eval.json").write_text('{"facts"')
    assert main(["card", str(tiny_world), "--reports", str(reports)]) == 2
    assert "is not a report" in capsys.readouterr().err
    assert not (tiny_world / "card.md").exists()


def test_recordings_that_do_not_fit_are_one_error(tiny_world: Path, small_recording: Path, tmp_path: Path, capsys):
    assert main(["eval", str(tiny_world), "--recording", str(small_recording)]) == 2
    assert "does not fit the world 'tiny': its world is small" in capsys.readouterr().err
    large = record(tmp_path / "large", dataclasses.replace(tiny.tiny_spec(), frame_skip=9), episodes=10, length=8)
    assert main(["eval", str(tiny_world), "--recording", str(large)]) == 2
    assert "its frame skip is 9, not 2" in capsys.readouterr().err
    short = record(tmp_path / "short", tiny.tiny_spec(), episodes=10, length=4)
    assert main(["eval", str(tiny_world), "--recording", str(short)]) == 2
    error = capsys.readouterr().err
    assert "Record longer" in error and error.count("\n") == 1
    assert main(["eval", str(tiny_world), "--recording", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("module", ["matplotlib", "jinja2", "torch", "skimage"])
def test_missing_extra_names_the_command(module: str, tiny_world: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    assert main(["eval", str(tiny_world), "--recording", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert module in error and "pip install '.[eval]'" in error


def test_world_with_state_has_all_instruments(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = Probes(
        groups=(
            StateGroup("place", ("x", "y"), unit="m", radius=2.0),
            StateGroup("heading", ("sin", "cos"), "angle", "degrees"),
        ),
        turn=TurnProbe(("left", "right"), 8, "place", "heading", 5.0, 45.0, "view", 5.0),
        counter=CounterProbe("y", (0.0, 0.5, 0.0, 0.5)),
    )
    monkeypatch.setattr("worldsim.cli.evaluate.probes_of", lambda spec: asked)
    bundle = open_world(tiny_world)
    bundle.spec = dataclasses.replace(bundle.spec, state_names=STATE)
    path = record(tmp_path / "waves", bundle.spec)
    config = evaluate.EvalConfig(str(tiny_world), path, seed=1)
    judge = evaluate.Judge(bundle, Recording(path), config, SMALL)
    sections = {section.name: section for section in judge.sections()}
    names = ["fidelity", "state", "trust", "actions", "drift", "motion", "outcome", "stillness", "turn"]
    assert list(sections) == names
    keys = {figure.key for section in sections.values() for figure in section.figures}
    assert {"state.place_16", "state.place_kept", "turn.returned"} <= keys
    assert (tmp_path / "waves.readers").is_dir()
    assert "the counter does not change whenever y jumps" in sections["motion"].notes[-1]


def test_rows_of_a_world_are_put_into_another_state(tiny_world: Path):
    simulator = SessionSimulator(load_runtime(open_world(tiny_world)))
    frames, actions = tiny.tiny_clips(3, simulator.context)
    state = simulator.reset(frames, actions[:, : simulator.context - 1], np.arange(3))
    later = simulator.step(simulator.step(state, np.zeros(3, int))[0], np.ones(3, int))[0]
    ended = np.array([False, True, False])
    mixed = simulator.put(
        later, ended, simulator.reset(frames[1:2], actions[1:2, : simulator.context - 1], np.array([9]))
    )
    assert mixed.index.tolist() == [2, 0, 2] and mixed.seed.tolist() == [0, 9, 2]
    following = simulator.step(mixed, np.full(3, 2))[1]
    np.testing.assert_array_equal(following[[0, 2]], simulator.step(later, np.full(3, 2))[1][[0, 2]])


class CountingGame:
    """Frames and rewards tell how many steps were played. It ends after a number of them that hangs on the seed."""

    def __init__(self, spec: WorldSpec):
        self._spec = spec

    def reset(self, seed: int) -> tuple[np.ndarray, dict[str, int]]:
        self._steps, self._most = 0, 12 + 5 * (seed % 4)
        return self._frame(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, int]]:
        self._steps += 1
        return self._frame(), float(self._steps), self._steps == self._most, False, {}

    def close(self) -> None:
        pass

    def _frame(self) -> np.ndarray:
        return np.full((self._spec.height, self._spec.width, 3), self._steps, np.uint8)


def test_games_go_on_where_the_real_world_left_them(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = tiny.tiny_spec()
    bundle = open_world(tiny_world)
    bundle.spec = dataclasses.replace(bundle.spec, state_names=STATE)
    path = record(tmp_path / "waves", bundle.spec)
    judge = evaluate.Judge(bundle, Recording(path), evaluate.EvalConfig(str(tiny_world), path), SMALL)
    monkeypatch.setattr("worldsim_envs.registry.make_real", lambda name, **size: CountingGame(spec))
    judge.probes = dataclasses.replace(judge.probes, events=(EventProbe("ends", "ends", "", "count"),))
    context, m = judge.simulator.context, judge.simulator.context - 1 + SMALL.game_frames
    most = np.array([12, 17, 22, 27])  # 2 * FAR is a multiple of four

    frames, keys, ended, rewards = judge._games()
    steps = np.minimum(np.arange(m + 1), most[:, None])
    np.testing.assert_array_equal(frames[:, :, 0, 0, 0], steps)
    np.testing.assert_array_equal(ended, np.arange(1, m + 1) == most[:, None])
    np.testing.assert_array_equal(rewards, np.where(steps[:, 1:] > steps[:, :-1], steps[:, 1:], 0))
    assert set(keys.ravel().tolist()) == {0, 1, 2}

    played, judged = [], []
    reset, step, judge_events = judge.simulator.reset, judge.simulator.step, evaluate.events.events
    monkeypatch.setattr(judge.simulator, "reset", lambda *past: (played.append(past), reset(*past))[1])
    monkeypatch.setattr(judge.simulator, "step", lambda state, now: (played.append(now), step(state, now))[1])
    monkeypatch.setattr(evaluate.events, "events", lambda *args: (judged.append(args), judge_events(*args))[1])
    section = judge.events(lambda frames: np.zeros((*frames.shape[:2], len(STATE))))
    begun = most > context - 1
    (seen, taken, _), *following = played
    np.testing.assert_array_equal(seen, frames[begun, :context])
    np.testing.assert_array_equal(np.column_stack([taken, *following]), keys[begun])
    real = judged[0][3]
    np.testing.assert_array_equal(real.ended, ended[begun, context - 1 :])
    np.testing.assert_array_equal(real.rewards[:, 0], np.full(begun.sum(), context))
    assert [figure.key for figure in section.figures] == ["events.ends", "events.imagined"]


def test_what_a_recording_never_shows_is_noted(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = record(tmp_path / "waves", tiny.tiny_spec())
    bundle = open_world(tiny_world)
    judge = evaluate.Judge(bundle, Recording(path), evaluate.EvalConfig(str(tiny_world), path), SMALL)
    judge.footage.actions[:] = 1  # nobody ever lets go of the key
    section = judge.stillness()
    assert not section.figures and "no held-out episode" in section.notes[0]
