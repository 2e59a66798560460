"""Live play, judged: right looks and events score, wrong ones do not; the command, on the shipped toy box."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from worldsim.cli.main import main
from worldsim.evals.instruments.imagine import LookReader
from worldsim.evals.instruments.live import LATER, Restyled, Told, events, restyle
from worldsim.evals.permanence.scene import COLOURS
from worldsim.runtime.events import parse_event, picture_after, region_of
from worldsim_envs.toybox.live import NOUNS, Brush, areas, in_looks, restored

SIZE = (64, 64)


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    return in_looks(16, 0, *SIZE)


def test_rooms_are_the_same_in_every_look(frames: dict[str, np.ndarray]) -> None:
    assert next(iter(frames)) == "day" and all(made.shape == (16, *SIZE, 3) for made in frames.values())
    assert all((frames["day"] != made).mean() > 0.5 for look, made in frames.items() if look != "day")
    assert len(np.unique(frames["day"].reshape(16, -1), axis=0)) == 16


def judged(frames: dict[str, np.ndarray], drawn: dict[str, np.ndarray]) -> dict[str, float]:
    """Figures of real frames as if they were one rollout."""
    other = in_looks(16, 50, *SIZE)
    reader = LookReader([f for v in other.values() for f in v], [look for look, v in other.items() for _ in v])
    looks = {
        look: Restyled(made[None], frames[look], made, partial(restored, look=look)) for look, made in drawn.items()
    }
    section = restyle(frames["day"][None], frames["day"], looks, reader, areas(SIZE[0]), np.ones(3), 30.0)
    return {figure.key: figure.value for figure in section.figures}


def test_exact_looks_are_right_and_others_are_not(frames: dict[str, np.ndarray]) -> None:
    others = [look for look in frames if look != "day"]
    right = judged(frames, {look: frames[look] for look in others})
    assert all(right[f"restyle.{look}.kept"] > 0.9 and right[f"restyle.{look}.look"] > 0.9 for look in others)
    assert right["restyle.fps"] == 30 and right["restyle.ms"] == 1 and right["restyle.night.psnr"] >= 60
    wrong = judged(frames, {"night": frames["day"], "ink": np.full_like(frames["day"], 240)})
    assert wrong["restyle.night.look"] < 0.2 and wrong["restyle.ink.kept"] == 0 and wrong["restyle.night.psnr"] < 20


def told(frame: np.ndarray, words: str, colour: int, shape: int, forgotten: bool) -> Told:
    event, brush = parse_event(words), Brush(SIZE[0])
    after, region = picture_after(frame, event, brush), region_of(frame, event, brush)
    later = dict.fromkeys(LATER, frame if forgotten else after)
    return Told(event.kind, words, colour, shape, frame, after, region, later, dict.fromkeys(LATER, frame))


def test_what_happens_and_stays_scores_and_what_is_forgotten_does_not() -> None:
    empty = np.full((*SIZE, 3), (168, 146, 120), np.uint8)
    full = picture_after(empty, parse_event("a green cone drops in"), Brush(SIZE[0]))
    colour, shape = list(COLOURS).index("yellow"), NOUNS.index("ball")
    green, cone = list(COLOURS).index("green"), NOUNS.index("cone")
    for forgotten in (False, True):
        made = [
            told(full, "a yellow ball drops in", colour, shape, forgotten),
            told(full, "the green cone is gone", green, cone, forgotten),
        ]
        found = {figure.key: figure for figure in events(made, areas(SIZE[0]), "exact brush", 1).figures}
        for kind in ("appears", "vanishes"):
            key = f"events-exact.{kind}"
            assert found[f"{key}.happened"].value == 1 and found[f"{key}.happened"].reference.endswith(" 0.0 %")
            assert found[f"{key}.else"].value == 1
            assert found[f"{key}.stays.64"].value == (not forgotten) and found[f"{key}.else.64"].value == 1


@pytest.mark.slow
def test_the_shipped_toy_box_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--out", str(tmp_path), "--rollouts", "2", "--frames", "16", "--events", "4"]
    assert main(["eval", "live", "toybox", *options]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    found = {name: figure["value"] for name, figure in figures.items()}
    assert found["restyle.night.kept"] > 0.9 and found["restyle.night.look"] > 0.9
    assert found["events-exact.vanishes.happened"] > 0.5


def test_a_world_that_nobody_can_judge_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "live", "doom-maze"]) == 2
    assert "nobody can judge live play of 'doom-maze'; there are judges of toybox" in capsys.readouterr().err
