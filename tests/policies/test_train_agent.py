"""`worldsim train agent`: what it writes, and that a mistake is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_game import STEPS, TINY_ID, generated_rows, record_tiny_game, tiny_policy

from worldsim.data.recording import Recording
from worldsim_envs.sources import find_env
from worldsim_policies.learned.policy import load_policy

pytestmark = pytest.mark.usefixtures("game", "generated")
TRAIN = ("train", "agent", "--env", TINY_ID)
SHORT = ("--num-envs", 2, "--rollout", 8, "--stack", 1, "--batch", 8)


def test_a_policy_says_how_it_was_trained(tmp_path, command, tiny_recording):
    short = (*SHORT, "--steps", 64, "--keep", 3, "--symmetric", "--temperature", 1.5)
    assert command(*TRAIN, "--out", tmp_path / "p", *short, "--recording", tiny_recording) == 0
    policy = load_policy(tmp_path / "p")
    facts = policy.training
    assert (facts["env"], facts["steps"], facts["temperature"], facts["episode_steps"]) == (TINY_ID, 64, 1.5, STEPS)
    assert facts["world_digest"] == find_env(TINY_ID).digest and "torch" in facts["versions"]
    assert facts["recording"] == tiny_recording.name and policy.config.symmetric
    assert list(tmp_path.glob("p.curves/events*")) and not (tmp_path / "p.checkpoint").exists()
    assert sorted(int(path.name[2:]) for path in tmp_path.glob("p-*")) == [4, 16, 36]  # closer together early
    assert load_policy(tmp_path / "p-16").training["steps"] == 16


def test_episodes_begin_in_the_training_split_of_the_recording(tiny_recording):
    recording = Recording(tiny_recording)
    begun = generated_rows(64, steps=3, recording=tiny_recording).reset(seed=1)[0]
    known, held_out = (
        {frame.tobytes() for a, b in recording.episodes(split) for frame in np.asarray(recording.frames[a:b])}
        for split in ("train", "held-out")
    )
    seen = {frame.tobytes() for frame in begun}
    assert seen <= known and len(seen) > 20 and not seen & held_out


def test_a_pretrained_encoder_can_be_taken_by_another_agent(tmp_path, command, capsys):
    recording = record_tiny_game(tmp_path / "recording")
    short = (*TRAIN, *SHORT, "--steps", 16, "--repeat", 2, "--recording", recording)
    assert command(*short, "--out", tmp_path / "p", "--pretrain", 20) == 0
    assert "% of the variance of the state in held-out play" in capsys.readouterr().out
    policy = load_policy(tmp_path / "p")
    assert policy.training["pretrain"] == 20 and policy.training["steps"] == 32 and policy.config.repeat == 2
    assert command(*short, "--out", tmp_path / "heir", "--encoder", tmp_path / "p", "--seed", 1) == 0
    heir, old = load_policy(tmp_path / "heir").network.state_dict(), policy.network.state_dict()
    assert torch.equal(heir["encoder.layers.0.weight"], old["encoder.layers.0.weight"])
    assert not torch.equal(heir["policy_head.0.weight"], old["policy_head.0.weight"])


def test_a_mistake_is_one_line(tmp_path, refused, tiny_world, tiny_recording):
    train = ("train", "agent", "--out", tmp_path / "p", "--env")
    game, recording = (*train, "worldsim/ToyboxReal-v0"), record_tiny_game(tmp_path / "recording")
    assert "no environment 'worldsim/Nope-v0'; there are" in refused(*train, "worldsim/Nope-v0")
    assert "CartPole-v1 is no world of worldsim" in refused(*train, "CartPole-v1")
    assert "temperature -1" in refused(*train, TINY_ID, "--temperature", -1)
    assert "are 0 or more" in refused(*train, TINY_ID, "--episode-steps", -1)
    assert "are 0 or more" in refused(*train, TINY_ID, "--pretrain", -1)
    assert "ToyboxReal-v0 is a real game" in refused(*game, "--max-ood", 0.5)
    assert "ToyboxReal-v0 is a real game" in refused(*game, "--recording", recording)
    assert "has no temperature" in refused(*game, "--temperature", 1.1)
    assert "leave --size out" in refused(*train, tiny_world, "--size", "64x48")
    assert "gae-lambda 1.1: give 0 to 1" in refused(*train, TINY_ID, "--gae-lambda", 1.1)
    assert "a stack of 99 frames of 48x32: give 1 to 10" in refused(*train, TINY_ID, "--stack", 99)
    assert "give --recording" in refused(*train, TINY_ID, "--pretrain", 5)
    assert "no recording" in refused(*train, TINY_ID, "--recording", tmp_path / "gone")
    assert "no exact state" in refused(*train, TINY_ID, "--pretrain", 5, "--recording", tiny_recording)
    assert "is of 'tiny'" in refused(*game, "--pretrain", 5, "--recording", recording)
    both = ("--pretrain", 5, "--recording", recording, "--encoder", "doom-take-cover")
    assert "leave --pretrain or --encoder out" in refused(*train, TINY_ID, *both)
    assert "no policy 'nobody'" in refused(*train, TINY_ID, "--encoder", "nobody")
    (tmp_path / "p").write_text("years of work")
    assert "not a policy. Give another --out" in refused(*train, TINY_ID)
    assert "can't write" in refused("train", "agent", "--out", tmp_path / "p" / "x", "--env", TINY_ID)


def test_the_encoder_of_a_policy_with_other_settings_is_refused(tmp_path, refused):
    tiny_policy(repeat=2).save(tmp_path / "other")
    message = refused(*TRAIN, "--out", tmp_path / "p", "--stack", 3, "--encoder", tmp_path / "other")
    assert "for another agent (stack 2, repeat 2): give the same settings" in message
