"""Captions in other words: the same things, whatever the generator draws."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.data.synonyms import Synonyms
from worldsim.evals.permanence.scene import COLOURS
from worldsim.models.words import split_words
from worldsim_envs.registry import WORLDS, load
from worldsim_envs.toybox.synonyms import SYNONYMS


def variants(synonyms: Synonyms, text: str, draws: int = 300) -> set[str]:
    rng = np.random.default_rng(0)
    return {synonyms.vary(text, rng) for _ in range(draws)}


def test_a_phrase_is_replaced_as_a_whole_and_alike_throughout() -> None:
    synonyms = Synonyms({"red ball": ("crimson ball",), "ball": ("sphere",), "box": ("crate",)})
    found = variants(synonyms, "a red ball; the red ball is in the box's lid; ballroom")
    assert "a crimson ball; the crimson ball is in the box's lid; ballroom" in found
    assert all("sphere" not in text and "crate" not in text for text in found)
    assert all(("crimson ball" in text) != ("red ball" in text) for text in found)


def test_things_that_are_listed_come_in_any_order() -> None:
    lists = variants(Synonyms(joins=(" with ",)), "a red ball and two green cones, at night")
    assert {"two green cones with a red ball, at night", "at night, a red ball and two green cones"} <= lists
    assert "a cone, a cross and a ball here." in variants(Synonyms(), "A ball, a cone and a cross here.")


@pytest.mark.parametrize("text", ["a red ball left of a blue cone, by day", "the box and the lid are open"])
def test_what_is_no_list_keeps_its_order(text: str) -> None:
    words = [w for w in split_words(text) if w not in ("a", "the", "by", "day")]
    for varied in variants(Synonyms(joins=(" with ",)), text):
        assert [w for w in split_words(varied) if w in words] == words


def test_the_same_draws_say_the_same() -> None:
    text = "a magenta block and a cyan cone, in the dark"
    once, again = ([SYNONYMS.vary(text, np.random.default_rng(i)) for i in range(50)] for _ in range(2))
    assert once == again and len(set(once)) > 20 and once.count(text) > 10


def test_a_box_without_a_colour_is_what_toys_are_put_into() -> None:
    found = variants(SYNONYMS, "a red block; the red block is in the closed box; the box is closed")
    assert any("red box" in text for text in found) and any("red cube" in text for text in found)
    for text in found:
        assert split_words(text).count("box") == 2 * (1 + text.count("red box") // 2)
        assert split_words(text).count("red") == 2 and "blue" not in text


@pytest.mark.parametrize("world", [name for name, entry in WORLDS.items() if entry.clips])
def test_worlds_with_captions_have_synonyms(world: str) -> None:
    synonyms: Synonyms = load(WORLDS[world].synonyms)
    assert synonyms.phrases and all(p == p.lower() and others for p, others in synonyms.phrases.items())


def test_no_colour_of_the_toy_box_is_called_another() -> None:
    for colour in COLOURS:
        for text in variants(SYNONYMS, f"a {colour} ball and a {colour} block"):
            assert not {*split_words(text)} & {*COLOURS} - {colour, "blue"}
            assert colour in ("blue", "cyan") or "blue" not in text
            assert "blue" not in text.replace("light blue", "") or colour == "blue"


def test_a_contradiction_changes_one_word_throughout() -> None:
    rng = np.random.default_rng(0)
    text = "A red ball left of a blue block; the red ball is rolling."
    found = {SYNONYMS.contradict(text, rng) for _ in range(200)}
    assert "a red ball right of a blue block; the red ball is rolling." in found
    assert "a red cone left of a blue block; the red cone is rolling." in found
    for other in found:
        changed = {(a, b) for a, b in zip(split_words(text), split_words(other), strict=True) if a != b}
        assert len(changed) == 1
    assert SYNONYMS.contradict("the hand is empty", rng) == "the hand is empty"
