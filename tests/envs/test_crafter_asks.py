"""Prompts for Crafter: what they say is in the real frame, the tile reader sees it there, and not in another one."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evals.instruments.imagine import shown
from worldsim_envs.crafter.asks import KINDS, LABELS, AskedScene, ask

SIZE = (64, 80)


@pytest.fixture(scope="module")
def asked() -> list[AskedScene]:
    return [ask(kind, seed, *SIZE) for kind in KINDS for seed in range(12)]


def test_prompts_say_what_is_there(asked: list[AskedScene]) -> None:
    assert len({one.text for one in asked}) > 12
    for one in asked:
        assert one.text.count(".") == 2 and ("night" in one.text or "dark" in one.text) == (one.kind == "night")
        assert ("othing is carried" in one.text or "mpty-handed" in one.text) == (not one.carried)
        assert all(item.replace("_", " ") in one.text for item in one.carried)


def test_the_reader_sees_what_was_asked_and_knows_another(asked: list[AskedScene]) -> None:
    right = [shown(one.real[None], one) for one in asked]
    others = [shown(b.real[None], a) for a, b in zip(asked, [*asked[12:], *asked[:12]], strict=True)]
    for name in LABELS:
        assert np.mean([seen[name] for seen in right]) > 0.9, name
    assert not any(seen["time"] for seen in others)
    bags = [a.carried != b.carried for a, b in zip(asked, [*asked[1:], *asked[:1]], strict=True)]
    next_ones = [shown(b.real[None], a)["carried"] for a, b in zip(asked, [*asked[1:], *asked[:1]], strict=True)]
    assert sum(bags) > 12 and not any(same and seen for same, seen in zip(bags, next_ones, strict=True))


def test_the_same_seed_asks_the_same() -> None:
    once, again = ask("night", 3, *SIZE), ask("night", 3, *SIZE)
    assert once.text == again.text and (once.real == again.real).all()
