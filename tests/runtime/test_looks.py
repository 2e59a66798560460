"""Looks: what is drawn is what torch paints, found by the world's name, checked when read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from looked import filled_restyler, renamed_looks

from worldsim.errors import WorldsimError
from worldsim.models.restyle import RestyleConfig, Restyler, paint
from worldsim.runtime import looks as looks_module
from worldsim.runtime.bundle import open_world
from worldsim.runtime.export_looks import export_looks
from worldsim.runtime.looks import Looks, looks_for
from worldsim_envs.toybox.clips import look_phrases

CONFIG = RestyleConfig(("ink", "night"), width=8, blocks=1, coarse_width=8, coarse_blocks=1, embedding=4)


@pytest.fixture(scope="module")
def restyler() -> Restyler:
    return filled_restyler(CONFIG)


@pytest.fixture(scope="module")
def folder(restyler: Restyler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("looks") / "looks"
    assert export_looks(out, restyler, "tiny", "day") < 100_000
    return out


def test_every_size_and_number_is_drawn_as_torch_does(folder: Path, restyler: Restyler) -> None:
    looks = Looks(folder)
    assert looks.names == ("day", "ink", "night") and looks.world == "tiny"
    for shape in ((1, 32, 48), (3, 16, 20), (5, 64, 64)):
        frames = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
        for look in looks.names[1:]:
            drawn = looks.draw(frames, look)
            assert drawn.dtype == np.uint8
            assert np.abs(drawn.astype(int) - paint(restyler, torch.from_numpy(frames), look).numpy()).max() <= 2
        assert (looks.draw(frames, "ink") != looks.draw(frames, "night")).any()
        assert looks.draw(frames, "day") is frames


def test_a_batch_is_its_rows(folder: Path) -> None:
    looks = Looks(folder)
    frames = np.random.default_rng(1).integers(0, 256, (3, 32, 48, 3), np.uint8)
    rows = np.concatenate([looks.draw(frames[i : i + 1], "night") for i in range(3)])
    assert np.abs(looks.draw(frames, "night").astype(int) - rows).max() <= 1


def test_a_world_has_those_in_its_folder_or_those_that_ship(
    folder: Path, tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tmp_path / "world"
    shutil.copytree(tiny_world, world)
    assert Looks.open(open_world(world)) is None
    with pytest.raises(WorldsimError, match="world 'tiny' has no looks, so not 'ink'"):
        looks_for(open_world(world), "ink")
    with monkeypatch.context() as patch:
        shutil.copytree(folder, tmp_path / "shipped/tiny")
        patch.setattr(looks_module, "SHIPPED", tmp_path / "shipped")
        assert Looks.open(open_world(world)) is not None
    shutil.copytree(folder, world / "looks")
    assert looks_for(open_world(world), "ink").names == ("day", "ink", "night")
    with pytest.raises(WorldsimError, match="has no look 'dusk'; it has day, ink, night"):
        looks_for(open_world(world), "dusk")


def test_words_ask_for_a_look_and_the_picture_is_in_the_worlds_own(restyler: Restyler, tmp_path: Path) -> None:
    phrases = {"day": ("by day",), "night": ("at night", "it is dark", "night"), "dusk": ("at dusk",)}
    export_looks(tmp_path / "looks", restyler, "tiny", "day", phrases)
    looks = Looks(tmp_path / "looks")
    assert looks.asked("a red ball, At night") == ("night", "a red ball, by day")
    assert looks.asked("It is dark. There is a ball.") == ("night", "by day. There is a ball.")
    assert looks.asked("a ball by day") == ("day", "a ball by day")
    for text in ("a nightingale", "a ball at dusk", ""):  # part of a word, no look of these
        assert looks.asked(text) == ("", text)


def test_looks_without_phrases_ask_for_nothing(folder: Path) -> None:
    assert Looks(folder).asked("a ball at night") == ("", "a ball at night")


def test_the_toy_box_knows_its_looks_by_all_that_captions_say() -> None:
    looks = looks_for(open_world("toybox"), "night")
    for look in looks.names:
        for said in look_phrases(look):
            assert looks.asked(f"a red ball {said}") == (look, "a red ball by day")


@pytest.mark.parametrize(
    "facts",
    [
        {"phrases": {"dusk": ["at dusk"]}},
        {"phrases": 3},
        {"phrases": {"ink": "in ink"}},
        {"phrases": {"ink": ["a" * 99]}},
        {"phrases": {"ink": ["In Ink"]}},
        {"phrases": {"ink": [""]}},
        {"phrases": {"ink": ["a"] * 101}},
        {"looks": ["day"]},
        {"looks": ["day", "day"]},
        {"looks": ["day", "a" * 99]},
        {"looks": 3},
        {"weights": ["x"]},
    ],
)
def test_what_is_out_of_bounds_is_one_error(folder: Path, tmp_path: Path, facts: dict[str, object]) -> None:
    with pytest.raises(WorldsimError, match="Train it again"):
        Looks(renamed_looks(folder, tmp_path / "bad", **facts))


def test_changed_and_missing_files_are_named(folder: Path, tmp_path: Path) -> None:
    for name in ("looks.onnx", "looks.safetensors"):
        bad = tmp_path / name
        shutil.copytree(folder, bad)
        data = bytearray((bad / name).read_bytes())
        data[-1] ^= 1
        (bad / name).write_bytes(data)
        with pytest.raises(WorldsimError, match=f"{name} was changed"):
            Looks(bad)
    with pytest.raises(WorldsimError, match="is not a set of looks"):
        Looks(tmp_path)


def test_the_looks_of_another_world_are_refused(folder: Path, tiny_world: Path, tmp_path: Path) -> None:
    world = tmp_path / "world"
    shutil.copytree(tiny_world, world)
    renamed_looks(folder, world / "looks", world="other")
    with pytest.raises(WorldsimError, match="the looks of 'other'"):
        Looks.open(open_world(world))


@pytest.mark.parametrize("shape", [(1, 30, 48, 3), (32, 48, 3), (1, 32, 48, 4)])
def test_what_is_no_picture_is_refused(folder: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(WorldsimError, match="can't be drawn in a look"):
        Looks(folder).draw(np.zeros(shape, np.uint8), "ink")
