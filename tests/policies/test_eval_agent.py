"""`worldsim eval agent`: tables and agents.json, imagined beside real, and that a mistake is one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_game import TINY_ID, tiny_policy

from worldsim.cli.eval_agent import verdict
from worldsim_envs.registry import WORLDS

EVAL = ("eval", "agent")
TOYBOX = "worldsim/ToyboxReal-v0"


def test_imagined_and_real_scores_are_side_by_side(tmp_path, command, capsys, game, generated):
    policy = tmp_path / "policy"
    tiny_policy().save(policy)
    policies = [word for name in (policy, "random", "sticky") for word in ("--policy", name)]
    assert command(*EVAL, *policies, "--env", TINY_ID, "--episodes", 5, "--sample", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert f"{TINY_ID} (imagined)" in shown and "imagined - real" in shown and "rank correlation" in shown
    found = json.loads((tmp_path / "agents.json").read_text())
    assert [(r["policy"], r["imagined"]) for r in found["results"]] == [
        (name, imagined) for name in (str(policy), "random", "sticky") for imagined in (True, False)
    ]
    assert all(len(r["scores"]) == 5 and r["mean"] == pytest.approx(np.mean(r["scores"])) for r in found["results"])
    assert found["score"] == "bars named" and found["no_game"] is None
    assert found["rank_correlations"][TINY_ID]["policies"] == 3
    imagined, real = found["results"][:2]
    assert found["gaps"][0]["policy"] == str(policy)
    assert found["gaps"][0]["gap"] == pytest.approx(imagined["mean"] - real["mean"])


@pytest.mark.slow
def test_an_agent_that_was_trained_in_the_generated_world_is_good_there(tmp_path, command, game, generated):
    training = ("--num-envs", 8, "--rollout", 32, "--batch", 64, "--gamma", 0.9, "--stack", 2)
    out = tmp_path / "agent"
    assert command("train", "agent", "--env", TINY_ID, "--out", out, "--steps", 2048, *training) == 0
    assert command(*EVAL, "--policy", out, "--policy", "random", "--env", TINY_ID, "--out", tmp_path) == 0
    results = json.loads((tmp_path / "agents.json").read_text())["results"]
    agent, random = (next(r for r in results if r["policy"] == n and r["imagined"]) for n in (str(out), "random"))
    assert agent["interval"][0] > random["interval"][1]


def test_the_scripted_policy_plays_the_game_alone(tmp_path, command, capsys):
    where = ("--env", TOYBOX, "--episodes", 2, "--episode-steps", 4, "--out", tmp_path)
    assert command(*EVAL, "--policy", "scripted", *where) == 0
    found = json.loads((tmp_path / "agents.json").read_text())
    assert [r["lengths"] for r in found["results"]] == [[4, 4]] and found["gaps"] == []
    assert "imagined" not in capsys.readouterr().out


def test_a_generated_world_without_its_game_says_so(tmp_path, command, refused, capsys, generated):
    assert "tiny" not in WORLDS
    where = ("--env", TINY_ID, "--episodes", 2, "--episode-steps", 4, "--out", tmp_path)
    assert command(*EVAL, "--policy", "random", *where) == 0
    assert "There are no real scores to compare with" in capsys.readouterr().out
    assert "tiny" in json.loads((tmp_path / "agents.json").read_text())["no_game"]
    assert "no scripted policy for 'tiny'" in refused(*EVAL, "--policy", "scripted", *where)


@pytest.mark.parametrize(
    ("share", "meaning"),
    [
        (1.0, "the generated world pays more than the game"),
        (-0.5, "the generated world pays less than the game"),
        (0.02, "within 20%"),
        (float("nan"), "-"),
    ],
)
def test_what_a_gap_means(share, meaning):
    assert verdict(share) == meaning


def test_a_mistake_is_one_line(tmp_path, refused, game, generated):
    evaluate = (*EVAL, "--policy", "random", "--env")
    assert "no environment 'worldsim/Nope-v0'; there are" in refused(*evaluate, "worldsim/Nope-v0")
    assert "CartPole-v1 is no world of worldsim" in refused(*evaluate, "CartPole-v1")
    assert "temperature -1" in refused(*evaluate, TINY_ID, "--temperature", -1)
    assert "0 or more" in refused(*evaluate, TINY_ID, "--episode-steps", -1)
    assert "episodes and num-envs are 1 or more" in refused(*evaluate, TINY_ID, "--episodes", 0)
    assert "no policy 'gone'" in refused(*EVAL, "--policy", "gone", "--env", TINY_ID)
    assert "different worlds" in refused(*evaluate, TINY_ID, "--env", TOYBOX)
    tiny_policy(world="other").save(tmp_path / "other")
    for env in (TINY_ID, TOYBOX):
        assert "plays 'other'" in refused(*EVAL, "--policy", tmp_path / "other", "--env", env)
    (tmp_path / "file").write_text("years of work")
    assert "can't write" in refused(*evaluate, TINY_ID, "--episodes", 1, "--out", tmp_path / "file")
