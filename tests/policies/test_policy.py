"""Learned policies: the network's symmetry, the folder on disk, and how a policy plays rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import HEIGHT, WIDTH
from tiny_game import tiny_policy

from worldsim.errors import WorldsimError
from worldsim_policies.learned.network import PolicyConfig
from worldsim_policies.learned.policy import POLICY, SHIPPED, WEIGHTS, LearnedPolicy, load_policy


def test_a_symmetric_policy_mirrors_its_action_with_its_frames():
    network = tiny_policy(symmetric=True).network
    seen = torch.randint(256, (6, 6, HEIGHT, WIDTH), dtype=torch.uint8)
    (logits, values), (others, same) = network(seen), network(seen.flip(-1))
    assert torch.allclose(logits[:, [0, 2, 1]], others, atol=1e-5) and torch.allclose(values, same, atol=1e-5)
    assert (logits[:, 1] - logits[:, 2]).abs().min() > 1e-4
    plain = tiny_policy().network
    assert not torch.allclose(plain(seen)[0][:, [0, 2, 1]], plain(seen.flip(-1))[0], atol=1e-3)
    with pytest.raises(WorldsimError, match=r"stay, left are not symmetric.*leave symmetric out"):
        PolicyConfig("tiny", HEIGHT, WIDTH, ("stay", "left"), symmetric=True)


def test_an_action_is_held_for_as_many_frames_as_in_training():
    """A policy that repeats acts as one that doesn't, asked every third frame; a new episode begins with a choice."""
    frames = np.random.default_rng(0).integers(0, 256, (9, 2, HEIGHT, WIDTH, 3), np.uint8)
    slow = LearnedPolicy(tiny_policy(repeat=3), 2, sample=True)
    quick = [LearnedPolicy(tiny_policy(), 2, sample=True) for _ in range(2)]
    for policy in (slow, *quick):
        policy.begin(np.arange(2), [7, 8])
    actions = []
    for t, seen in enumerate(frames):
        if t == 4:  # a new episode in row 1
            slow.begin(np.array([1]), [9]), quick[1].begin(np.array([1]), [9])
        actions.append(slow.act(seen, {}))
    zero = [quick[0].act(frames[t], {})[0] for t in (0, 3, 6)]
    other = LearnedPolicy(tiny_policy(), 2, sample=True)
    other.begin(np.arange(2), [7, 8])
    one = [other.act(frames[t], {})[1] for t in (0, 3)] + [quick[1].act(frames[t], {})[1] for t in (4, 7)]
    assert [int(a[0]) for a in actions] == np.repeat(zero, 3).tolist()
    assert [int(a[1]) for a in actions] == [*[one[0]] * 3, one[1], *[one[2]] * 3, *[one[3]] * 2]
    assert len({int(a) for row in actions for a in row}) > 1


def test_sampled_actions_follow_the_distribution_and_the_seed():
    policy = tiny_policy()
    with torch.no_grad():
        policy.network.policy_head[-1].weight.zero_()
        policy.network.policy_head[-1].bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    frames, many = np.zeros((400, HEIGHT, WIDTH, 3), np.uint8), np.arange(400)
    assert (LearnedPolicy(policy, 400).act(frames, {}) == 1).all()
    drawn = []
    for seeds in (many, many, many + 400):
        player = LearnedPolicy(policy, 400, sample=True)
        player.begin(many, seeds.tolist())
        drawn.append(player.act(frames, {}))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert np.mean(drawn[0] == 1) == pytest.approx(np.e**2 / (np.e**2 + 2), abs=0.08)


def test_a_stored_policy_is_the_policy(tmp_path):
    policy = tiny_policy()
    policy.save(tmp_path / "p")
    policy.save(tmp_path / "p")  # replaces itself
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["p", "policy.json", "policy.safetensors"]
    again = load_policy(tmp_path / "p")
    assert (again.config, again.training) == (policy.config, policy.training)
    stacks = torch.randint(0, 256, (3, 6, HEIGHT, WIDTH), dtype=torch.uint8)
    for one, other in zip(again.network(stacks), policy.network(stacks), strict=True):
        assert torch.equal(one, other)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    with pytest.raises(WorldsimError, match="not a policy. Give another --out"):
        policy.save(tmp_path / "thesis")


def test_the_policy_that_ships_keeps_its_older_names():
    """Its files say eye, policy, value, mirror and choosing."""
    policy, stored = load_policy("doom-take-cover"), load_file(SHIPPED / "doom-take-cover" / WEIGHTS)
    assert (policy.config.symmetric, policy.config.head_width, policy.config.repeat) == (True, 128, 2)
    weights = policy.network.state_dict()
    assert len(weights) == len(stored)
    for new, old in (("encoder.layers.0", "eye.layers.0"), ("policy_head.2", "policy.2"), ("value_head.0", "value.0")):
        assert torch.equal(weights[f"{new}.weight"], stored[f"{old}.weight"])


@pytest.mark.parametrize("name", [POLICY.manifest, WEIGHTS])
@pytest.mark.parametrize("harm", ["missing", "cut", "changed"])
def test_a_broken_policy_is_one_error_that_names_the_file(tmp_path, name, harm):
    tiny_policy().save(tmp_path / "p")
    path = tmp_path / "p" / name
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if harm == "cut" else data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    with pytest.raises(WorldsimError, match=name) as caught:
        load_policy(tmp_path / "p")
    assert "\n" not in str(caught.value) and "rain" in str(caught.value)


def test_weights_of_another_network_are_one_error(tmp_path):
    tiny_policy().save(tmp_path / "p")
    folder = tmp_path / "p"
    save_file({"encoder": load_file(folder / WEIGHTS)["policy_head.2.weight"]}, folder / WEIGHTS)
    content = json.loads((folder / POLICY.manifest).read_text())
    (folder / POLICY.manifest).unlink()
    POLICY.write_manifest(folder, {name: content[name] for name in ("config", "training")})
    with pytest.raises(WorldsimError, match="does not fit its network"):
        load_policy(folder)
    for harm in ({"stack": 99}, {"hidden": "many"}, {"colour": 1}):
        (folder / POLICY.manifest).unlink()
        POLICY.write_manifest(folder, {"config": {**content["config"], **harm}, "training": {}})
        with pytest.raises(WorldsimError, match=r"policy\.json does not describe a policy"):
            load_policy(folder)
