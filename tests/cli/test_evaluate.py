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

from worldsim.cli.bench import CALLS
from worldsim.cli.main import main
from worldsim.cli.reporting import progress
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.evals import evaluation
from worldsim.evals.generated import SessionSimulator
from worldsim.evals.probes import CounterProbe, EventProbe, Probes, StateGroup, TurnProbe
from worldsim.evals.real_play import RealPlay, play_random
from worldsim.evals.section import Section
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
from worldsim.spec import WorldSpec

SMALL = evaluation.Size(
    scenes=3,
    still_scenes=2,
    still_frames=12,
    turns=4,
    outcomes=4,
    episodes=4,
    episode_frames=8,
    runs=2,
    real_runs=2,
    run_frames=35,
    longest=16,
    reader_steps=2,
    gallery=64,
)
STATE = ("x", "y", "sin", "cos", "view", "score")


def record(path: Path, spec: WorldSpec, episodes: int = 20, length: int = 60, idle: bool = True) -> Path:
    """Waves, with a place that walks and jumps, and a heading that turns; no key is pressed in the first half."""
    writer = RecordingWriter(path, spec, 0, {"source": "waves", "licence": "none"})
    frames, actions = tiny.tiny_clips(episodes, length)
    frames[:, :, :4] = 100  # is always still
    for i in range(episodes):
        t = np.arange(length)
        jumps = t % 30 == 29
        actions[i, : length // 2] = 0
        if not idle:
            actions[i] = 1
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
    monkeypatch.setattr(evaluation, "QUICK", SMALL)
    for batch in CALLS:
        monkeypatch.setitem(CALLS, batch, 4)


def test_eval_bench_and_card(tiny_world: Path, recording: Path, tmp_path: Path, small: None, capsys, monkeypatch):
    monkeypatch.setattr("worldsim.runtime.torch.has_compiler", lambda: False)  # tests/runtime/test_runtime.py compiles
    world, out = tmp_path / "world", tmp_path / "reports"
    shutil.copytree(tiny_world, world)
    assert main(["eval", str(world), "--recording", str(recording), "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "free-running PSNR at 16" in shown and "actions read as given" in shown and "Targets" not in shown
    found = json.loads((out / "eval.json").read_text())
    names = [section["name"] for section in found["sections"]]
    assert names == ["fidelity", "trust", "actions", "drift", "detail", "motion", "outcome", "stillness"]
    assert found["facts"]["weights"] == Bundle(world).digest
    assert "stillness.starts_psnr_12" in {f["key"] for section in found["sections"] for f in section["figures"]}
    html = (out / "eval.html").read_text("utf-8")
    assert html.count("data:image/png;base64,") > 8

    assert main(["card", str(world), "--reports", str(out)]) == 2
    assert "Run: worldsim bench" in capsys.readouterr().err

    assert main(["bench", str(world), "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "frames a second at batch 16" in shown and "speed-up of 16 rows in one step of the batch runtime" in shown
    assert main(["card", str(world), "--reports", str(out)]) == 0
    card = Bundle(world).card
    assert "random numbers" in card and "licence: MIT" in card
    assert "Target missed" in card or "met" in card
    assert "worldsim eval" in card and "worldsim bench" in card and "encode-decode PSNR" in card
    assert (
        f"sees {Bundle(world).sizes.window} frames back, and remembers {Bundle(world).sizes.retention[-1][0]}" in card
    )
    picture = world / "strip.png"
    assert picture.stat().st_size < 300_000 and cv2.imread(str(picture)) is not None
    assert "strip.png" in card and "worldsim eval permanence" not in card
    figures = json.loads((out / "figures.json").read_text())["figures"]
    stored = json.loads((world / "card.json").read_text())
    assert stored["figures"] == figures and stored["weights"] == Bundle(world).digest
    assert {figures[key]["report"] for key in ("fidelity.codec_psnr", "bench.fps_batch_1")} == {"eval", "bench"}
    assert figures["fidelity.codec_psnr"]["n"] == SMALL.scenes
    assert "not stated whether the recipe reproduces" in card

    stated = "Not reproduced by its recipe."
    assert main(["card", str(world), "--reports", str(out), "--training", stated]) == 0
    assert main(["card", str(world), "--reports", str(out)]) == 0  # keeps what was said of these weights
    assert f"training: {stated}" in Bundle(world).card
    assert json.loads((world / "card.json").read_text())["training"] == stated

    remembers = json.loads((out / "bench.json").read_text())
    remembers["facts"]["command"] = "worldsim eval permanence --world tiny"
    (out / "permanence.json").write_text(json.dumps(remembers))
    assert main(["card", str(world), "--reports", str(out)]) == 0
    assert "worldsim eval permanence --world tiny" in Bundle(world).card
    remembers["facts"]["weights"] = "0" * 64
    (out / "permanence.json").write_text(json.dumps(remembers))
    assert main(["card", str(world), "--reports", str(out)]) == 2
    assert f"Run: worldsim eval permanence --world {world}" in capsys.readouterr().err


def test_card_of_other_weights_is_refused(tiny_world: Path, tmp_path: Path, capsys):
    reports = tmp_path / "reports"
    reports.mkdir()
    facts = {"weights": "0" * 64, "command": "worldsim eval tiny", "date": "2026-01-01"}
    whole = {"kind": "eval", "title": "Tiny", "facts": facts, "targets": [], "sections": []}
    (reports / "eval.json").write_text(json.dumps(whole))
    assert main(["card", str(tiny_world), "--reports", str(reports)]) == 2
    assert "other weights" in capsys.readouterr().err
    section = {"name": "a", "title": "A", "method": "", "notes": [], "figures": [{"key": "a.b"}]}
    broken = (
        '{"facts"',
        "[" * 100_000,
        "[]",
        json.dumps({**whole, "facts": {}}),
        json.dumps({**whole, "sections": [3]}),
        json.dumps({**whole, "sections": [section]}),
        json.dumps({**whole, "targets": [{"key": 1}]}),
    )
    for text in broken:
        (reports / "eval.json").write_text(text)
        assert main(["card", str(tiny_world), "--reports", str(reports)]) == 2
        error = capsys.readouterr().err
        assert "eval.json" in error and "Run: worldsim eval" in error and error.count("\n") == 1
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


def evaluate_tiny(
    world: Path, recording: Path, probes: Probes, env: CountingGame | None = None, seed: int = 0
) -> dict[str, Section]:
    """The sections of a tiny world that knows its state, by name."""
    bundle = open_world(world)
    bundle.spec = dataclasses.replace(bundle.spec, state_names=STATE)
    record(recording, bundle.spec)
    found = evaluation.Evaluation(
        load_runtime(bundle), Recording(recording), probes, real_play(env), SMALL, seed, progress
    )
    return {section.name: section for section in found.run()}


def real_play(env: CountingGame | None) -> RealPlay:
    def random_actions(rows: int, steps: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(3, size=(rows, steps))

    return RealPlay(env, lambda rows, seed, read, info: lambda frames: frames[:, 0, 0, 0] % 3, random_actions)


def test_world_with_state_has_all_instruments(tiny_world: Path, tmp_path: Path):
    asked = Probes(
        groups=(
            StateGroup("place", ("x", "y"), unit="m", radius=2.0),
            StateGroup("heading", ("sin", "cos"), "angle", "degrees"),
        ),
        turn=TurnProbe(("left", "right"), 8, "place", "heading", 5.0, 45.0, "view", 5.0),
        counter=CounterProbe("y", (0.0, 0.5, 0.0, 0.5)),
        events=(EventProbe("ends", "ends", "", "count"),),
    )
    sections = evaluate_tiny(tiny_world, tmp_path / "waves", asked, seed=1)
    names = [
        "fidelity",
        "state",
        "trust",
        "actions",
        "drift",
        "detail",
        "motion",
        "outcome",
        "stillness",
        "events",
        "turn",
    ]
    assert list(sections) == names
    keys = {figure.key for section in sections.values() for figure in section.figures}
    assert {"state.place_16", "state.place_kept", "turn.returned", "stillness.starts_psnr_12"} <= keys
    assert (tmp_path / "waves.readers").is_dir()
    assert any("the counter does not change whenever y jumps" in note for note in sections["motion"].notes)
    assert "held-out episodes stand for real play" in sections["drift"].notes[-1]
    assert not sections["events"].figures and "can't be played" in sections["events"].notes[0]


def test_rows_of_a_state_are_replaced(tiny_world: Path):
    simulator = SessionSimulator(load_runtime(open_world(tiny_world)))
    frames, actions = tiny.tiny_clips(3, simulator.context)
    state = simulator.reset(frames, actions[:, : simulator.context - 1], np.arange(3))
    later = simulator.step(simulator.step(state, np.zeros(3, int))[0], np.ones(3, int))[0]
    ended = np.array([False, True, False])
    mixed = simulator.replace_rows(
        later, ended, simulator.reset(frames[1:2], actions[1:2, : simulator.context - 1], np.array([9]))
    )
    assert mixed.index.tolist() == [2, 0, 2] and mixed.seed.tolist() == [0, 9, 2]
    following = simulator.step(mixed, np.full(3, 2))[1]
    np.testing.assert_array_equal(following[[0, 2]], simulator.step(later, np.full(3, 2))[1][[0, 2]])


class CountingGame:
    """Frames and rewards tell how many steps were played. It ends after a number of them that depends on the seed."""

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


def test_the_real_world_is_played_from_its_seeds():
    spec = tiny.tiny_spec()
    m, most = 20, np.array([12, 17, 22, 27])  # the first of those seeds is a multiple of four
    played = play_random(real_play(CountingGame(spec)), 4, m, 0)
    steps = np.minimum(np.arange(m + 1), most[:, None])
    np.testing.assert_array_equal(played.frames[:, :, 0, 0, 0], steps)
    np.testing.assert_array_equal(played.ended, np.arange(1, m + 1) == most[:, None])
    np.testing.assert_array_equal(played.rewards, np.where(steps[:, 1:] > steps[:, :-1], steps[:, 1:], 0))


def test_events_are_compared_with_the_real_world(tiny_world: Path, tmp_path: Path):
    env = CountingGame(tiny.tiny_spec())
    asked = Probes(events=(EventProbe("ends", "ends", "", "count"),))
    events = evaluate_tiny(tiny_world, tmp_path / "waves", asked, env)["events"]
    context = SessionSimulator(load_runtime(open_world(tiny_world))).context
    begun = sum(most > context - 1 for most in (12, 17, 22, 27))
    assert [(figure.key, figure.n) for figure in events.figures] == [("events.ends", begun), ("events.imagined", begun)]
    real = [sum(range(context, min(most, context - 1 + SMALL.episode_frames) + 1)) for most in (12, 17, 22, 27)]
    mean = np.mean([total for total, most in zip(real, (12, 17, 22, 27), strict=True) if most > context - 1])
    assert f"real {mean:.4g}" in events.figures[1].reference


def test_what_a_recording_never_shows_is_noted(tiny_world: Path, tmp_path: Path):
    bundle = open_world(tiny_world)
    path = record(tmp_path / "waves", bundle.spec, idle=False)
    found = evaluation.Evaluation(load_runtime(bundle), Recording(path), Probes(), real_play(None), SMALL, 0, progress)
    (section,) = (section for section in found.run() if section.name == "stillness")
    assert not section.figures and "no held-out episode" in section.notes[0]


def test_a_name_in_a_bundle_imports_nothing(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bundle or recording may be called like a module that registers environments."""
    from worldsim.cli.bench import real_speed
    from worldsim.cli.evaluate import real_play as own_real_play

    (tmp_path / "named_by_a_bundle.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    spec = dataclasses.replace(tiny.tiny_spec(), name="named_by_a_bundle")
    assert real_speed(spec) is None
    with own_real_play(spec) as real:
        assert real.env is None


def test_a_name_in_a_bundle_is_no_path():
    from worldsim.cli.reporting import report_folder

    assert report_folder(None, "../../x").parent == Path("reports")
    assert report_folder(None, "..").parent == report_folder(None, "a/b").parent == Path("reports")
    assert report_folder(Path("here"), "../x") == Path("here")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_parts_in_a_cluster_are_the_evaluation(tiny_world: Path, recording: Path, tmp_path: Path):
    ray = pytest.importorskip("ray")
    figures = {}
    try:
        for where in ("cluster", "here"):
            if where == "cluster":
                ray.init(num_cpus=2, log_to_driver=False)
            flags = ["--quick", "--out", str(tmp_path / where), *(["--ray"] if where == "cluster" else [])]
            assert main(["eval", str(tiny_world), "--recording", str(recording), *flags]) == 0
            found = json.loads((tmp_path / where / "figures.json").read_text())["figures"]
            figures[where] = {key: figure["value"] for key, figure in found.items()}
    finally:
        ray.shutdown()
    assert list(figures["cluster"]) == list(figures["here"])
    for key, value in figures["here"].items():
        assert figures["cluster"][key] == (value if value is None else pytest.approx(value, rel=0.02, abs=0.02)), key
