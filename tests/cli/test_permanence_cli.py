"""`worldsim eval permanence` and its companions, and `worldsim record permanence`, on a tiny real world."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import hideaway
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from worldsim.cli import record_permanence
from worldsim.cli.main import main
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.evals.permanence import offline, results, tiers
from worldsim.evals.permanence.adapter import AdapterSimulator, check_adapter, load_adapter
from worldsim.evals.permanence.results import RESULTS, TRIALS, read_results, read_trials
from worldsim.evals.permanence.scene import CONTEXT, PALETTE
from worldsim_envs.registry import WORLDS, WorldEntry

ROOT = Path(__file__).parents[2]
TINY = tiers.Tier(
    {"P1": (1, 33), "P2": (2,), "P5": (0, 1), "P6": (1,), "P7": (1,)}, dict.fromkeys(hideaway.PROBES, 1), 1
)


FROZEN_SMOKE = tiers.TIERS["smoke"]


def stage_hideaway(patch: pytest.MonkeyPatch) -> None:
    """The hideaway is a real world whose probes can be staged, in a tier that takes seconds."""
    entry = WorldEntry("hideaway", env="hideaway:HideawayEnv", staging="hideaway")
    patch.setitem(WORLDS, "hideaway", entry)
    patch.setitem(tiers.TIERS, "smoke", TINY)


@pytest.fixture(autouse=True)
def staged(monkeypatch: pytest.MonkeyPatch) -> None:
    stage_hideaway(monkeypatch)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run on the true world wrote; not to be changed."""
    out = tmp_path_factory.mktemp("judged") / "true"
    with pytest.MonkeyPatch.context() as patch:
        stage_hideaway(patch)
        ask = ("eval", "permanence", "--world", "hideaway", "--model", "hideaway:TrueModel", "--tier", "smoke")
        assert run(*ask, "--out", out) == 0
    return out


def test_a_run_writes_results_trials_and_a_page(judged: Path):
    found = read_results(judged / RESULTS)
    assert (
        found["valid"]
        and found["version"] == "1"
        and found["model"] == "hideaway:TrueModel"
        and len(found["digest"]) == 64
    )
    cells = {(c["arm"], c["probe"], c["point"], c["metric"]): c["value"] for c in found["cells"]}
    for probe in hideaway.PROBES:
        assert cells["model", probe, None, "right"] == cells["model", probe, None, "G1"] == 1
    assert cells["model", "P8", None, "hallucination"] == 0 and cells["model", "P9", None, "right"] == 1
    assert cells["cut", "P1", 33, "right_strict"] < 1 and cells["model", "P1", None, "half_life"] == 34
    trials = read_trials(judged)
    assert set(trials["arm"]) == {"model", "cut", "control", "oracle", "freeze", "velocity"}
    assert json.loads(trials["conditions"][0])["objects"] == 2
    page = (judged / "permanence.html").read_text()
    assert page.count("data:image/png;base64,") > 15 and "At a glance" in page and "The detector is valid" in page
    assert (judged / "permanence-strips" / "P1-0.png").exists()


def test_a_world_of_ours_is_judged_with_its_codec(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A learned world that never saw a hideaway remembers nothing of it, and its codec blurs it beyond belief."""
    monkeypatch.setitem(WORLDS, "tiny", WorldEntry("tiny", env="small_hideaway:SmallEnv", staging="small_hideaway"))
    assert run("eval", "permanence", "--world", tiny_world, "--tier", "smoke", "--out", tmp_path) == 0
    found = read_results(tmp_path / RESULTS)
    checks = {check["frames"]: check["recall"]["value"] for check in found["detector"]["checks"]}
    assert checks["real"] > 0.98 > checks["codec"] and not found["valid"]
    cells = {(c["arm"], c["point"], c["metric"]): c["value"] for c in found["cells"] if c["probe"] == "P1"}
    assert cells["model", None, "right_strict"] < 0.5 and cells["oracle", None, "right"] == 1
    assert ("codec", None, "right_strict") in cells and "INVALID" in (tmp_path / "permanence.html").read_text()
    assert json.loads((tmp_path / "permanence.json").read_text())["facts"]["weights"] == found["digest"]


def test_offline_gives_the_same_trials(judged: Path, tmp_path: Path, capsys):
    asks, out = tmp_path / "asks", tmp_path / "scored"
    assert run("eval", "permanence", "export", "--world", "hideaway", "--out", asks) == 0
    asked = json.loads((asks / "ask.json").read_text())
    assert asked["actions"] == ["stand", "down", "up", "swap", "paint"] and "answers/ID.npz" in asked["files"]
    model = hideaway.TrueModel()
    for name in asked["asks"]:
        with np.load(asks / "asks" / f"{name}.npz") as ask:
            state, seen, states = model.reset(ask["context"], ask["context_actions"], int(ask["seed"])), [], []
            for action in ask["hidden_actions"]:
                state, frame = model.step(state, int(action))
                seen.append(frame)
                states.append(state)
            answer = {"hidden": np.stack(seen)}
            for key in ask:
                if key.startswith("begin_"):
                    point = key.removeprefix("begin_")
                    state, seen = states[int(ask[key]) - 1], []
                    for action in ask[f"reveal_actions_{point}"]:
                        state, frame = model.step(state, int(action))
                        seen.append(frame)
                    answer[f"reveal_{point}"] = np.stack(seen)
        np.savez_compressed(asks / "answers" / f"{name}.npz", **answer)
    assert run("eval", "permanence", "score", asks, "--name", "mine", "--context", 4, "--out", out) == 0
    online, scored = read_trials(judged), read_trials(out)
    for name in ("label", "error", "probe"):
        np.testing.assert_array_equal(scored.where(arm="model")[name], online.where(arm="model")[name])
    assert read_results(out / RESULTS)["context"] == 4
    capsys.readouterr()

    name = f"{asked['asks'][3]}.npz"
    with np.load(asks / "answers" / name) as answer:
        whole = dict(answer)
    for key, broken, words in (
        ("hidden", whole["hidden"][1:], r"hidden is uint8 \[36, 48, 72, 3\]; give uint8 \[37, 48, 72, 3\]"),
        ("reveal_33", None, "has no 'reveal_33'"),
        ("reveal_1", whole["reveal_1"].astype(np.float32), "reveal_1 is float32"),
    ):
        given = {**whole, key: broken} if broken is not None else {k: v for k, v in whole.items() if k != key}
        np.savez_compressed(asks / "answers" / name, **given)
        assert run("eval", "permanence", "score", asks, "--name", "mine", "--out", out) == 2
        error = capsys.readouterr().err
        assert re.search(words, error) and error.count("\n") == 1
    np.savez_compressed(asks / "answers" / name, **whole)
    packed = (asks / "answers" / name).read_bytes()
    for broken in (packed[:-50], packed[:60] + bytes(99) + packed[159:], b"not a zip"):
        (asks / "answers" / name).write_bytes(broken)
        assert run("eval", "permanence", "score", asks, "--name", "mine", "--out", out) == 2
        error = capsys.readouterr().err
        assert str(asks / "answers" / name) in error and error.count("\n") == 1
    (asks / "answers" / name).unlink()
    assert run("eval", "permanence", "score", asks, "--name", "mine", "--out", out) == 2
    assert f"there is no {asks / 'answers' / name}" in capsys.readouterr().err
    (asks / "ask.json").write_text(json.dumps({**asked, "version": "0"}))
    assert run("eval", "permanence", "score", asks, "--name", "mine", "--out", out) == 2
    assert "exported by version '0' of the suite; this is version '1'" in capsys.readouterr().err
    for broken in (
        "{}",
        "[" * 100_000,
        json.dumps({**asked, "tier": ["smoke"]}),
        json.dumps({**asked, "tier": "huge"}),
        json.dumps({**asked, "width": 10**9}),
        json.dumps({**asked, "world": "no such world"}),
    ):
        (asks / "ask.json").write_text(broken)
        assert run("eval", "permanence", "score", asks, "--name", "mine", "--out", out) == 2
        error = capsys.readouterr().err
        assert ("Export again" in error or "no probes can be staged" in error) and error.count("\n") == 1


def test_private_seeds_come_from_the_secret_and_are_not_written(tmp_path: Path, capsys):
    secret, asks = tmp_path / "secret", tmp_path / "asks"
    secret.write_text("a sentence nobody knows")
    assert run("eval", "permanence", "export", "--world", "hideaway", "--out", asks, "--secret", secret) == 0
    assert json.loads((asks / "ask.json").read_text())["split"] == "private"
    name = json.loads((asks / "ask.json").read_text())["asks"][0]
    with np.load(asks / "asks" / f"{name}.npz") as ask:
        assert int(ask["seed"]) in tiers.judged_seeds(TINY, hideaway.PROBES, b"a sentence nobody knows")["P1"]
    assert run("eval", "permanence", "score", asks, "--name", "mine") == 2
    assert "give the same --secret" in capsys.readouterr().err
    secret.write_text("short")
    assert run("eval", "permanence", "export", "--world", "hideaway", "--out", asks, "--secret", secret) == 2
    assert "at least 8" in capsys.readouterr().err


# adapters


class WrongShape(hideaway.TrueModel):
    """Loses a column."""

    def step(self, state, action):
        state, frame = super().step(state, action)
        return state, frame[:, :-1]


class NotANumber(hideaway.TrueModel):
    """Divides by nothing."""

    def step(self, state, action):
        state, frame = super().step(state, action)
        return state, frame / np.float32(255) * np.nan


class Chatty(hideaway.TrueModel):
    """Returns no state."""

    def step(self, state, action):
        return super().step(state, action)[1]


class Restless(hideaway.TrueModel):
    """Has noise of its own."""

    def step(self, state, action):
        state, frame = super().step(state, action)
        return state, np.bitwise_xor(frame, np.random.default_rng().integers(0, 2, frame.shape, dtype=np.uint8))


class Careless(hideaway.TrueModel):
    """Keeps one state for all."""

    def reset(self, context_frames, context_actions, seed):
        return [super().reset(context_frames, context_actions, seed)]

    def step(self, state, action):
        state[0], frame = super().step(state[0], action)
        return state, frame


@pytest.mark.parametrize(
    ("adapter", "words"),
    [
        (WrongShape, r"a frame of uint8 \[48, 71, 3\]; return uint8 RGB \[48, 72, 3\]"),
        (NotANumber, "NaN"),
        (Chatty, "returned a ndarray; return .state, frame."),
        (Restless, "is not deterministic"),
        (Careless, "changes the state it is given"),
    ],
)
def test_a_faulty_adapter_is_one_clear_error(adapter: type, words: str):
    scene = hideaway.stage("P1", 0, (1,), hideaway.H, hideaway.W)[0]
    check_adapter(AdapterSimulator(hideaway.TrueModel(), "true"), scene)
    with pytest.raises(WorldsimError, match=words):
        check_adapter(AdapterSimulator(adapter(), "mine"), scene)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hideaway", "is not package.module:Adapter"),
        ("no_such_module:Adapter", "can't import no_such_module"),
        ("hideaway:Nobody", "has no Nobody"),
        ("hideaway:Room", r"Room\(\) failed"),
        ("fractions:Fraction", r"Fraction has no reset\(\)"),
    ],
)
def test_an_adapter_that_is_not_there_is_one_clear_error(name: str, words: str):
    with pytest.raises(WorldsimError, match=words):
        load_adapter(name)


def test_the_adapter_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = (ROOT / "docs" / "permanence.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "copied_model.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    ask = ("eval", "permanence", "--world", "hideaway", "--model", "copied_model:Adapter", "--tier", "smoke")
    assert run(*ask) == 0
    found = read_results(tmp_path / "reports" / "copied_model-Adapter" / RESULTS)
    cells = {(c["probe"], c["point"], c["metric"]): c["value"] for c in found["cells"] if c["arm"] == "model"}
    assert found["context"] == 1 and cells["P1", None, "right_strict"] == 0 and cells["P1", None, "G1"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--world", "doom-maze", "--model", "hideaway:TrueModel"], "no probes can be staged in 'doom-maze'"),
        (["--world", "no-such-world"], "no-such-world"),
        (["--world", "hideaway", "--model", "hideaway:TrueModel", "--size", "64"], "WIDTHxHEIGHT"),
        (["--world", "hideaway", "--model", "hideaway:TrueModel", "--secret", "nothing"], "--secret nothing"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(arguments: list[str], words: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("eval", "permanence", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []


# results beside each other


def test_compare_pairs_the_trials(judged: Path, tmp_path: Path, capsys):
    assert run("eval", "permanence", "compare", judged, judged) == 0
    assert "0.0 %" in capsys.readouterr().out
    worse = tmp_path / "worse"
    shutil.copytree(judged, worse)
    trials = read_trials(judged)
    trials.columns["right"] = np.where(trials["point"] == 33, 0.0, trials["right"])
    found = {(p, k): e.value for p, k, e in results.compare_trials(read_trials(judged), trials)}
    assert found["P1", 33] == 1 and found["P1", 1] == 0
    whole = (worse / TRIALS).read_bytes()
    table = parquet.read_table(worse / TRIALS)
    right = table.column_names.index("right")
    for broken, words in (
        (b"no parquet", "can't be read"),
        (whole[:-100], "can't be read"),
        (whole[:200] + bytes(200) + whole[400:], "can't be read"),
        (table.drop_columns(["right", "gates"]), "no column right, gates"),
        (table.set_column(right, "right", pyarrow.array(["yes"] * len(table))), "column right is of type string"),
        (table.set_column(right, "right", pyarrow.array([None] * len(table), "float64")), "column right has nulls"),
    ):
        if isinstance(broken, bytes):
            (worse / TRIALS).write_bytes(broken)
        else:
            parquet.write_table(broken, worse / TRIALS)
        assert run("eval", "permanence", "compare", judged, worse) == 2
        error = capsys.readouterr().err
        assert words in error and str(worse / TRIALS) in error and error.count("\n") == 1
    (worse / TRIALS).unlink()
    assert run("eval", "permanence", "compare", judged, worse) == 2
    assert f"there is no {worse / TRIALS}" in capsys.readouterr().err


def test_leaderboard_checks_every_entry(judged: Path, tmp_path: Path, capsys):
    board = tmp_path / "board"
    shutil.copytree(judged, board / "true")
    assert run("eval", "permanence", "leaderboard", board) == 0
    assert "hideaway:TrueModel" in capsys.readouterr().out
    path = board / "true" / RESULTS
    honest = json.loads(path.read_text())

    def refused(words: str, **changes: object) -> None:
        path.write_text(json.dumps({**honest, **changes}))
        assert run("eval", "permanence", "leaderboard", board) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1

    refused("version '2' of the suite", version="2")
    refused("no tier 'huge'", tier="huge")
    refused("no split 'secret'", split="secret")
    refused("its 'model' is a list", model=["a"])
    refused("its 'width' is a str", width="64")
    refused("its 'cells' is a dict", cells={})
    refused("a cell is a int", cells=[1])
    refused("has no share of right answers", cells=[])
    refused("seeds are not those of the smoke tier", seeds={**honest["seeds"], "digest": "0" * 64})
    cell = {**honest["cells"][0], "value": 1.2}
    refused("can't be 1.2", cells=[cell, *honest["cells"][1:]])
    refused("text for a number", cells=[{**cell, "value": "0.5"}, *honest["cells"][1:]])
    refused("is not the results of this suite", suite="another")
    for broken in (json.dumps(honest)[:-9], "[" * 100_000, "[]", "\xff"):
        path.write_text(broken, "latin-1")
        assert run("eval", "permanence", "leaderboard", board) == 2
        error = capsys.readouterr().err
        assert str(path) in error and "can't be read" in error and error.count("\n") == 1
    path.write_text(json.dumps(honest))
    shutil.copytree(board / "true", board / "again")
    refused("same model, world and tier")
    refused("another version of 'hideaway'", model="another", world_digest="0" * 64)
    assert run("eval", "permanence", "leaderboard", tmp_path / "none") == 2
    assert "there is no results.json" in capsys.readouterr().err


def test_the_leaderboard_of_this_repository_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(tiers.TIERS, "smoke", FROZEN_SMOKE)
    assert run("eval", "permanence", "leaderboard", ROOT / "leaderboard") == 0


def test_calibration_prints_the_threshold_s_neighbours(capsys):
    assert run("eval", "permanence", "calibrate", "--world", "hideaway", "--seeds", "1") == 0
    shown = capsys.readouterr().out
    assert "frozen at 32" in shown and "recall, real" in shown and "codec" not in shown
    assert run("eval", "permanence", "calibrate", "--world", "hideaway", "--seeds", "0") == 2
    assert "--seeds 0 must be at least 1" in capsys.readouterr().err


def test_an_export_leaves_other_folders_alone(tmp_path: Path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert run("eval", "permanence", "export", "--world", "hideaway", "--out", tmp_path) == 2
    assert "holds something that is not an export" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# training data


def test_recorded_probes_are_whole_trials_on_seeds_of_their_own():
    performer = record_permanence.ProbePerformer("hideaway", {}, longest=40)
    first, again, other = (performer.play(seed) for seed in (3, 3, 4))
    for name in ("frames", "actions", "state"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert len(first) != len(other) or (first.frames != other.frames).any()
    assert first.actions[-1] == -1 and len(first) > CONTEXT + 20 and first.state.max() == hideaway.STEPS
    red = np.array(list(PALETTE.values()))
    seen = [(np.abs(frame[..., None, :] - red).sum(-1) < 9).any() for frame in first.frames.astype(int)]
    assert seen[CONTEXT - 1] and not all(seen)


def test_record_permanence_is_a_recording(tmp_path: Path, capsys):
    out = tmp_path / "probes"
    ask = ("record", "permanence", "--split", "train", "--world", "toybox", "--frames", 60, "--workers", 1)
    assert run(*ask, "--size", "32x32", "--out", out) == 0
    recording = Recording(out)
    assert recording.spec.name == "toybox" and len(recording) >= 60
    assert recording.origin["suite"] == "worldsim-permanence, train split"
    assert run("record", "permanence", "--world", "doom-maze", "--out", tmp_path / "x") == 2
    assert "no probes can be staged" in capsys.readouterr().err
    assert run(*ask, "--play", 1.0, "--out", tmp_path / "x") == 2
    assert "--play is a share" in capsys.readouterr().err
    for longest in (0, 1025):
        assert run(*ask, "--longest", longest, "--out", tmp_path / "x") == 2
        assert f"--longest is hidden frames, from 1 to 1024, not {longest}" in capsys.readouterr().err


def test_the_longest_hiding_is_as_asked():
    def lengths(longest: int) -> list[int]:
        performer = record_permanence.ProbePerformer("hideaway", {}, longest=longest)
        return [len(performer.play(seed)) for seed in range(8)]

    shortest, longer = lengths(1), lengths(40)
    assert min(longer) >= min(shortest) and max(shortest) < max(longer) <= max(shortest) + 39


def test_free_play_among_recorded_probes():
    performer = record_permanence.ProbePerformer("toybox", {"height": 32, "width": 32}, play=0.5)
    lengths = [len(performer.play(seed)) for seed in range(6)]
    free = WORLDS["toybox"].episode_frames
    assert free in lengths and min(lengths) < free  # the longest probe is shorter
    assert performer.origin()["free play"] == 0.5


def test_asks_hold_nothing_but_frames_and_actions(tmp_path: Path):
    scene = hideaway.stage("P1", 0, (1,), hideaway.H, hideaway.W)[0]
    asked = offline.Asked("hideaway", "smoke", "test", hideaway.W, hideaway.H)
    assert offline.write_asks(tmp_path, asked, ["stand"], iter([scene])) == 1
    (name,) = json.loads((tmp_path / "ask.json").read_text())["asks"]
    with np.load(tmp_path / "asks" / f"{name}.npz") as ask:
        assert {
            "context",
            "context_actions",
            "hidden_actions",
            "seed",
            "begin_1",
            "reveal_actions_1",
            "control_actions",
        } == set(ask)
