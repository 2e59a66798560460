"""PPO: agents learn, by seed; a stopped training resumes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_spec
from tiny_game import STEPS, real_rows, record_tiny_game

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim_policies.evaluation import play_episodes
from worldsim_policies.learned import checkpoint
from worldsim_policies.learned.network import Encoder, PolicyConfig
from worldsim_policies.learned.policy import LearnedPolicy, TrainedPolicy, load_policy
from worldsim_policies.learned.ppo import PPOConfig, train_ppo
from worldsim_policies.learned.pretrain import pretrain_encoder

pytestmark = pytest.mark.usefixtures("game")


def train(config: PPOConfig, rows: int = 2, **options: Any) -> TrainedPolicy:
    """In the game."""
    return train_ppo(real_rows(rows), config, {"env": "tiny"}, **options)


@pytest.mark.parametrize(("pretrained", "steps"), [(0, 3072), (150, 2048)])
def test_an_agent_plays_as_it_was_trained(tmp_path: Path, pretrained: int, steps: int):
    """Only the order of the frames in the stack tells what pays: weights and frames are in play what they were in
    training, with an encoder that learns and with a frozen one."""
    encoder = None
    if pretrained:
        recording = Recording(record_tiny_game(tmp_path / "recording"))
        encoder, _ = pretrain_encoder(PolicyConfig.of(tiny_spec(), 2), recording, pretrained, 0, lambda _: None)
    config = PPOConfig(steps=steps, stack=2, rollout=32, batch=128, lr=2e-3, gamma=0.0, epochs=6)
    train(config, 8, encoder=encoder).save(tmp_path / "agent")
    policy = LearnedPolicy(load_policy(tmp_path / "agent"), 4)
    scores = play_episodes(real_rows(4, "Disabled"), policy, 20, 0, lambda _: None)
    assert (scores.length == STEPS).all()
    assert scores.total.mean() > 0.8 * (STEPS - 1)  # random actions: STEPS / 3


def test_the_same_seed_gives_the_same_agent():
    first, again, other = (
        train(PPOConfig(steps=64, stack=1, rollout=32, batch=32, seed=seed)).network.state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["policy_head.0.weight"], other["policy_head.0.weight"])


def test_a_pretrained_encoder_stays_frozen_and_a_new_one_learns():
    encoder = Encoder(PolicyConfig.of(tiny_spec(), 1))
    given = encoder.layers[0].weight.clone()
    config = PPOConfig(steps=32, stack=1, rollout=16, batch=32)
    assert torch.equal(train(config, encoder=encoder).network.encoder.layers[0].weight, given)
    short, long = (train(dataclasses.replace(config, steps=steps)).network.encoder for steps in (32, 64))
    assert not torch.equal(short.layers[0].weight, long.layers[0].weight)


def test_a_killed_training_resumes_from_its_last_update(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", 0.0)
    path, config = tmp_path / "agent.checkpoint", PPOConfig(steps=320, stack=1, rollout=16, batch=32)

    def kill(steps: int, *_: Any) -> None:
        if steps == 210:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, on_step=kill, checkpoint=path)
    kept = load_file(path)
    seen: list[tuple[int, dict[str, torch.Tensor]]] = []
    policy = train(
        config, on_step=lambda steps, _, now: seen.append((steps, now().network.state_dict())), checkpoint=path
    )
    assert seen[0][0] == 192 + 2 and seen[-1][0] == 320 == policy.training["steps"]
    resumed, stored = seen[0][1]["policy_head.2.weight"], kept["policy.network.policy_head.2.weight"]
    torch.testing.assert_close(resumed, stored, atol=0, rtol=0)
    assert kept["optimizer.0.step"] == 6 * 4  # of six updates, four epochs each
    assert load_file(path)["optimizer.0.step"] == 9 * 4
    with pytest.raises(WorldsimError, match=r"other settings \(lr\)"):
        train(dataclasses.replace(config, lr=1e-3), checkpoint=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WorldsimError, match="can't be read"):
        train(config, checkpoint=path)


def test_a_resumed_training_takes_its_frozen_encoder_from_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", 0.0)
    policy_config, path = PolicyConfig.of(tiny_spec(), 1), tmp_path / "agent.checkpoint"
    encoder = Encoder(policy_config)
    known = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    train(PPOConfig(64, stack=1, rollout=16), checkpoint=path, encoder=encoder)
    policy = train(PPOConfig(128, stack=1, rollout=16), checkpoint=path, encoder=Encoder(policy_config))
    assert policy.training["steps"] == 128
    assert all(torch.equal(weight, known[name]) for name, weight in policy.network.encoder.state_dict().items())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"steps": 0}, "steps 0: give 1 or more"),
        ({"repeat": 0}, "repeat 0: give 1 or more"),
        ({"stack": 99}, "a stack of 99 frames of 48x32: give 1 to 10"),
        ({"gae_lambda": 1.1}, "gae-lambda 1.1: give 0 to 1"),
        ({"gamma": float("nan")}, "gamma nan: give 0 to 1"),
        ({"lr": 0.0}, "lr 0.0: give a number above 0"),
        ({"seed": -1}, "seed -1: give 0 or more"),
        ({"entropy": -0.1}, "entropy -0.1: give 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_one_error(setting, message):
    with pytest.raises(WorldsimError, match=message):
        train(PPOConfig(**setting))
