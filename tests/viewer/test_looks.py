"""Looks in the window and headless: a key draws all in another look, films show it, and no state changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from looked import with_looks

from worldsim.cli.main import main
from worldsim.data.video import read_frames
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.imaginer import ImaginerBundle
from worldsim.runtime.looks import looks_for
from worldsim.runtime.painter import Painter
from worldsim.runtime.pictures import fitted
from worldsim.viewer.capture import Capture
from worldsim.viewer.playing import Extras
from worldsim.viewer.prompt import PromptBox


@pytest.fixture(scope="module")
def world(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle(with_looks(tiny_world, tmp_path_factory.mktemp("looked") / "world"))


def test_a_key_draws_all_in_the_next_look_and_play_stays(staged, keyboard, world):
    stage, looks = staged(), looks_for(world, "night")
    keyboard.tap("KeyP")
    stage.until(lambda: stage.player.paused)
    stage.run(0.3)
    made, generated = len(stage.session.frames), stage.player.view.frame
    for look in (*looks.names[1:], looks.names[0]):
        keyboard.tap("KeyL")
        stage.until(lambda: stage.player.notice[0] == f"Look: {look}")  # noqa: B023
        stage.run(0.1)
        np.testing.assert_array_equal(stage.player.view.frame, looks.draw(generated[None], look)[0])
        np.testing.assert_array_equal(stage.player.view.generated, generated)
    assert len(stage.session.frames) == made


def test_a_film_is_of_what_is_seen(staged, keyboard, world, tmp_path):
    path = tmp_path / "film.mkv"
    stage = staged(capture=Capture(path, world), extras=Extras(look="night"))
    stage.frames(3)
    keyboard.tap("KeyL")
    stage.until(lambda: stage.player.notice[0].startswith("Look: "))
    stage.frames(3)
    stage.viewer.__exit__(None)
    said, frames = json.loads(Path(f"{path}.json").read_text()), list(read_frames(path, 32, 48))
    assert [change["look"] for change in said["looks"]] == ["night", "pastel"] and said["looks"][0]["first_frame"] == 0
    changed = said["looks"][1]["first_frame"]
    looks = looks_for(world, "night")
    for i, (seen, generated) in enumerate(zip(frames, stage.session.frames, strict=False)):
        drawn = looks.draw(generated[None], "night" if i < changed else "pastel")[0]
        assert np.abs(seen.astype(int) - drawn).mean() < np.abs(seen.astype(int) - generated).mean()


def test_words_that_ask_for_a_look_are_painted_without_it_and_drawn_in_it(staged, keyboard, world, tiny_imaginer):
    looks, imaginer = looks_for(world, "night"), ImaginerBundle(tiny_imaginer)
    box = PromptBox([imaginer], "cpu", asked=lambda name, text: looks.asked(text))
    stage = staged(prompt=box, extras=Extras(prompts=True))
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open)
    keyboard.type("a ball at night")
    keyboard.tap("Enter")
    stage.until(lambda: not box.is_open and stage.player.view.start is None)
    painted = fitted(Painter(imaginer, "cpu").paint("a ball by day", seed=0), world.spec)
    stage.until(lambda: np.array_equal(stage.player.view.generated, painted))
    np.testing.assert_array_equal(stage.player.view.frame, looks.draw(painted[None], "night")[0])


def test_a_prompt_on_the_command_line_asks_for_a_look(world, tiny_imaginer, tmp_path, capsys):
    def film(*arguments: str) -> np.ndarray:
        path = tmp_path / "film.mkv"
        flags = ["--world", str(world.path), "--imaginer", str(tiny_imaginer), "--headless", "--frames", "3"]
        assert main(["play", *flags, "--record", str(path), *arguments]) == 0
        return np.stack(list(read_frames(path)))

    asked = film("--prompt", "a ball at night")
    assert "drawn in the look 'night'" in capsys.readouterr().out
    np.testing.assert_array_equal(asked, film("--prompt", "a ball by day", "--look", "night"))
    assert not np.array_equal(asked, film("--prompt", "a ball by day"))


def test_a_world_without_looks_has_no_key_for_them(tiny_world, watched):
    from worldsim.viewer.playing import Playing

    playing = Playing(Bundle(tiny_world), lambda _: watched())
    assert "look" not in playing.keys
    playing.close()


def test_headless_play_is_drawn_in_a_look(world, tmp_path, capsys):
    for name, options in (("day", []), ("night", ["--look", "night"])):
        out = str(tmp_path / f"{name}.mkv")
        options = [*options, "--world", str(world.path), "--headless", "--frames", "3", "--record", out]
        assert main(["play", *options]) == 0
    day, night = (np.stack(list(read_frames(tmp_path / f"{name}.mkv", 32, 48))) for name in ("day", "night"))
    drawn = looks_for(world, "night").draw(day, "night")
    assert np.abs(night.astype(int) - drawn).mean() < 0.5 * np.abs(night.astype(int) - day).mean()
    assert main(["play", "--world", str(world.path), "--headless", "--look", "dusk"]) == 2
    assert "has no look 'dusk'; it has day, ink, night, pastel" in capsys.readouterr().err
    assert main(["play", "--world", "doom-maze", "--headless", "--look", "night"]) == 2
    assert "'doom-maze' has no looks" in capsys.readouterr().err
