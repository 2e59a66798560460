"""Latent actions: learned without labels, codes are the actions that were taken; then they are keys that fit them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import steered
import torch
from square import EAGER

from worldsim.data.codes import auto_keys, code_motion, codes_of_actions, parse_keys, world_of_codes
from worldsim.data.recording import Recording, relabel
from worldsim.device import policy_of
from worldsim.errors import WorldsimError
from worldsim.evals.instruments.latent_actions import contingency, purity
from worldsim.models.latent_action import DEAD_AFTER, FSQ, VQ, LatentActionConfig, LatentActionModel, with_actions
from worldsim.train.draws import Draws
from worldsim.train.labels import Labels
from worldsim.train.latent_action import (
    FILE,
    LatentActionTraining,
    check_codes,
    infer_codes,
    jitter,
    load_latent_action,
    perplexity,
    train_latent_action,
)
from worldsim.train.trainer import Trainer

SIZE = LatentActionConfig(
    steered.H, steered.W, past=1, ahead=1, channels=24, model_width=48, depth=2, heads=2
)  # of seconds
TINY = dataclasses.replace(SIZE, past=2, ahead=2, channels=8, model_width=16, depth=1)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Recording:
    return Recording(steered.record(tmp_path_factory.mktemp("steered") / "recording"))


def steps(codes: np.ndarray, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    there = codes >= 0
    return codes[there].astype(np.int64), recording.actions[there].astype(np.int64)


@pytest.mark.slow  # a minute on an idle core
def test_codes_are_the_actions_that_were_taken(recording, tmp_path):
    training = LatentActionTraining(steps=600)
    model = train_latent_action(recording, tmp_path, SIZE, training, EAGER)
    codes = infer_codes(model, recording)
    table = contingency(*steps(codes, recording), 8, 5)
    assert purity(table) >= 0.9, table
    seen = code_motion(recording, codes, 8)
    names = auto_keys(seen)
    action_of = {code: recording.spec.actions[table[code].argmax()].name for code in range(8)}
    wanted = {"none": "stay", **{name: name for name in ("left", "right", "up", "down")}}
    assert {name: action_of[code] for name, code in names.items()} == wanted, "keys go where the arrows point"
    chosen = np.random.default_rng(0).permutation(len(recording) - 1)[:200]
    chosen = chosen[codes[chosen] >= 0]
    mapped = codes_of_actions(codes[chosen], recording.actions[chosen], recording.spec, 8)
    assert [action_of[code] for code in mapped] == list(steered.MOVES)


@pytest.mark.slow  # half a minute on an idle core
def test_a_few_labels_decide_what_codes_tell_apart(recording, tmp_path):
    """Two codes for five moves, and two names that cut across what moves alike."""
    named = np.where(recording.actions[:] >= 0, np.isin(recording.actions, (0, 1, 3)), -1).astype(np.int16)
    spec = dataclasses.replace(recording.spec, actions=recording.spec.actions[:2], keys={"left": ("ArrowLeft",)})
    labelled = relabel(recording, tmp_path / "named", spec, named, {"source": "a test"})
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(named >= 0))[:200]
    config = dataclasses.replace(SIZE, bits=1)
    labels = Labels.of(labelled, chosen, config.past)
    training = LatentActionTraining(steps=300, label_weight=1.0)
    model = train_latent_action(labelled, tmp_path / "run", config, training, EAGER, labels)
    table = contingency(*steps(infer_codes(model, labelled), labelled), 2, 2)
    assert purity(table) >= 0.9, table


def test_labels_line_up_with_the_frames(recording):
    (start, _), past = recording.episodes()[3], 3
    labels = Labels.of(recording, np.array([start, start + 40]), past)
    frames = recording.frames
    assert np.array_equal(labels.clips[0], np.stack([frames[start + i] for i in (0, 0, 0, 1)]))
    assert np.array_equal(labels.clips[1], np.stack([frames[start + i] for i in (38, 39, 40, 41)]))
    assert labels.actions.tolist() == [recording.actions[start], recording.actions[start + 40]]


@pytest.mark.parametrize(("quantizer", "labelled"), [("fsq", 0), ("vq", 0), ("fsq", 20)])
def test_a_stopped_training_goes_on_to_the_same_codes(recording, tmp_path, quantizer, labelled, monkeypatch):
    config = dataclasses.replace(TINY, quantizer=quantizer)
    training = LatentActionTraining(steps=6, batch=4, frames=256)
    labels = Labels.of(recording, np.arange(labelled), config.past) if labelled else None
    whole = train_latent_action(recording, tmp_path / "whole", config, training, EAGER, labels)
    update, seen = Trainer.update, []

    def die(self, *batch):
        if len(seen) == 3:
            self.save()
            raise KeyboardInterrupt
        seen.append(0)
        return update(self, *batch)

    monkeypatch.setattr(Trainer, "update", die)
    with pytest.raises(KeyboardInterrupt):
        train_latent_action(recording, tmp_path / "stopped", config, training, EAGER, labels)
    monkeypatch.setattr(Trainer, "update", update)
    resumed = train_latent_action(recording, tmp_path / "stopped", config, training, EAGER, labels)
    loaded = load_latent_action(tmp_path / "stopped" / FILE)
    for key, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[key], atol=1e-5), key
        assert torch.equal(resumed.state_dict()[key], loaded.state_dict()[key])


def test_codes_line_up_with_the_frames(recording, tmp_path):
    """The code at t is of the change from frame t to frame t+1, whatever the batch it is read in."""
    torch.manual_seed(0)
    model = LatentActionModel(TINY).eval()
    codes = infer_codes(model, recording)
    assert (codes[recording.ends - 1] == -1).all() and (codes >= 0).sum() == len(recording) - len(recording.ends)
    start, end = recording.episodes()[3]
    frames = torch.from_numpy(recording.frames[start:end]).movedim(-1, -3).float() / 127.5 - 1
    first = model.encode(torch.stack([frames[0], frames[0], frames[1]])[None]).codes
    later = model.encode(frames[None, 40:43]).codes
    assert codes[start] == int(first) and codes[start + 41] == int(later)


def test_the_decoder_sees_the_past_and_the_codes_only():
    torch.manual_seed(0)
    model = LatentActionModel(TINY)
    torch.nn.init.normal_(model.decoder.out.weight, std=0.1)
    past = torch.rand(2, 2, 3, steered.H, steered.W)
    codes = torch.tensor([[1, 2], [1, 5]])
    made = model.decode(past, model.embed(codes))
    other = model.decode(past, model.embed(torch.tensor([[1, 6], [0, 5]])))
    assert torch.equal(made[0, 0], other[0, 0]), "a later code changes no frame before it"
    assert not torch.allclose(made[0, 1], other[0, 1]) and not torch.allclose(made[1, 0], other[1, 0])


def test_fsq_codes_are_signs():
    fsq = FSQ(TINY)
    found = fsq(torch.tensor([[-0.1, -2.0, -1.0], [0.3, -1.0, 2.0]]))
    assert found.codes.tolist() == [0, 5]
    assert torch.allclose(fsq.embed(found.codes), found.values)
    half = fsq(torch.tensor([[0.3, -1.0, 2.0]]), 0.5).values
    assert (half.abs() < 1).all() and (half.sign() == fsq.embed(torch.tensor([5]))).all()


def test_a_vq_code_that_nothing_uses_comes_back():
    torch.manual_seed(0)
    vq = VQ(dataclasses.replace(TINY, quantizer="vq")).train()
    with torch.no_grad():
        vq.codebook[1:] = 50.0
    x = torch.randn(32, vq.inputs)
    assert set(vq(x).codes.tolist()) == {0}
    for _ in range(DEAD_AFTER + 2):
        found = vq(x)
    assert len(set(found.codes.tolist())) > 4


def test_jitter_is_the_same_for_all_frames_of_a_clip_and_another_for_the_next():
    draws = Draws(0, 0, 8, 0.0, policy_of(torch.device("cpu")))
    frames = torch.rand(1, 1, 3, 16, 24).expand(8, 3, -1, -1, -1)
    moved = jitter(frames, 2, 0.1, draws)
    assert torch.allclose(moved[:, 0], moved[:, 2])
    assert len({round(float(clip.sum()), 3) for clip in moved}) > 4
    assert torch.equal(jitter(frames, 0, 0.0, draws), frames)


def test_codes_that_collapsed_are_refused():
    with pytest.raises(WorldsimError, match="collapsed.*Try"):
        check_codes(np.array([0, 995, 5, 0]))
    check_codes(np.array([500, 500, 0, 0]))
    assert perplexity(np.array([5, 5, 0, 0])) == pytest.approx(2)


@pytest.mark.parametrize("played", [steered.play, steered.follow])
def test_keys_point_where_what_is_steered_goes(tmp_path, played):
    """Also where a camera follows it, so that the picture moves the other way."""
    recording = Recording(steered.record(tmp_path / "recording", 12, played=played))
    seen = code_motion(recording, recording.actions[:], 5)
    assert seen.camera == (played is steered.follow)
    moves = list(steered.MOVES)
    named = {name: moves[code] for name, code in auto_keys(seen).items()}
    assert named == {"none": "stay", **{name: name for name in moves[1:]}}


def test_a_recording_of_codes_shares_its_frames(recording, tmp_path):
    spec = world_of_codes(recording.spec, 8, {"none": 3, "left": 0})
    codes = np.where(recording.actions >= 0, recording.actions + 3, -1).astype(np.int16)
    made = relabel(recording, tmp_path / "codes", spec, codes, {"codes_by": "a test"})
    assert np.array_equal(made.actions, codes) and np.array_equal(made.frames[:], recording.frames[:])
    assert made.spec == spec and made.origin["codes_by"] == "a test" and made.seed == recording.seed
    assert list(made.verify())[-1] == len(recording)
    assert Recording(recording.path).actions.max() == 4, "the other one stays as it is"
    linked = next((tmp_path / "codes/frames/c").rglob("0"))
    assert linked.is_dir() or linked.stat().st_nlink == 2


def test_worlds_of_codes_have_one_action_without_keys():
    spec = world_of_codes(steered.SPEC, 8, {"none": 2, "left": 7, "KeyD": 1})
    assert spec.noop == 2 and spec.action_for({"ArrowLeft"}) == 7 and spec.action_for({"KeyD"}) == 1
    assert all(spec.action_for({spec.keys[a.buttons[0]][0]}) == i for i, a in enumerate(spec.actions) if a.buttons)


def test_keys_are_read():
    assert parse_keys("none=0, ArrowLeft=3", 8) == {"none": 0, "ArrowLeft": 3}
    for wrong in ("ArrowLeft=3", "none=8", "none=0,Arrow=1", "none=0,ArrowUp=0", "none"):
        with pytest.raises(WorldsimError, match="--keys"):
            parse_keys(wrong, 8)


def test_a_vote_maps_actions_to_codes():
    codes, actions = np.array([4] * 60 + [1] + [2] * 40), np.array([0] * 61 + [1] * 20 + [3] * 20)
    assert codes_of_actions(codes, actions, steered.SPEC, 8).tolist() == [4, 2, 4, 2, 4]


def test_an_action_has_a_code_of_its_own_though_another_is_more_frequent_everywhere():
    """Code 7, where nothing much changes, is what is read most after each of them."""
    codes = [7] * 30 + [3] * 2 + [7] * 20 + [3] * 12 + [7] * 20 + [5] * 10
    actions = [0] * 32 + [1] * 32 + [2] * 30
    assert codes_of_actions(np.array(codes), np.array(actions), steered.SPEC, 8)[:3].tolist() == [7, 3, 5]


def test_a_world_of_codes_is_played_with_real_actions():
    from tiny import tiny_networks

    _, model = tiny_networks(retention=())
    played = with_actions(model, torch.tensor([2, 0, 1, 1]))
    tokens = torch.randn(1, 2, *model.to_tokens(torch.randn(1, *model.config.latent_shape)).shape[1:])
    with torch.no_grad():
        for action, code in ((0, 2), (3, 1), (4, 3)):  # the last is the null action of both
            ours, _ = played.encode_context(tokens, torch.full((1, 2), action))
            theirs, _ = model.encode_context(tokens, torch.full((1, 2), code))
            assert all(torch.equal(a, b) for a, b in zip(flat(ours), flat(theirs), strict=True))


def flat(features) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    features.map(lambda part: found.append(part) or part)
    return found
