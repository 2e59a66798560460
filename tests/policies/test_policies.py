"""Agents by command: they learn, are stored, are judged in the dream and in the game, and what is wrong is one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import HEIGHT, ORIGIN, WIDTH, tiny_spec

from worldsim.cli import eval_agent
from worldsim.cli.main import main
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError
from worldsim_envs import GENERATED, VECTOR
from worldsim_envs.base import RealEnv
from worldsim_envs.registry import WORLDS, WorldEntry
from worldsim_envs.sources import EnvSource, find_env, world_of
from worldsim_policies import unfinished
from worldsim_policies.evaluation import JUDGED, Scores, play_episodes
from worldsim_policies.learned.action_repeat import ActionRepeat
from worldsim_policies.learned.ood_termination import OODTermination
from worldsim_policies.learned.policy import (
    POLICY,
    WEIGHTS,
    Eye,
    LearnedPlayer,
    Network,
    Policy,
    PolicyConfig,
    load_policy,
)
from worldsim_policies.learned.ppo import PPOTraining, learn
from worldsim_policies.learned.pretrain import LESSONS, Lesson, learn_to_see
from worldsim_policies.players import RandomPlayer, make_player
from worldsim_policies.scripted.doom_take_cover import mirrored, passing

DREAM = "worldsim/TinyPolicies-v0"
STEPS = 8


class TinyGame(RealEnv):
    """The game of the tiny world: one of three bars is bright. A frame later it pays 1 to name the bar that was."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH):
        assert (height, width) == (HEIGHT, WIDTH)
        super().__init__(tiny_spec(), ORIGIN, "rgb_array")

    def _reset(self, seed: int | None, options: dict[str, Any]):
        self._before = -1
        return self._next(), self._told()

    def _step(self, action: int):
        paid = float(action == self._before)
        return self._next(), paid, False, False, self._told()

    def _told(self) -> dict[str, Any]:
        return {"bars": np.array([self._bright, self._before], np.float32)}

    def _next(self) -> np.ndarray:
        self._before, self._bright = getattr(self, "_bright", -1), int(self.np_random.integers(3))
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[:, 16 * self._bright : 16 * self._bright + 16] = 255
        return frame


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch):
    """Compiling takes a minute; tests/runtime/test_runtime.py does it once."""
    monkeypatch.setattr("worldsim.runtime.torch.has_compiler", lambda: False)


@pytest.fixture(autouse=True)
def places(tiny_world: Path, monkeypatch: pytest.MonkeyPatch):
    """The tiny world by an id, and its game."""
    gym.register(DREAM, entry_point=GENERATED, vector_entry_point=VECTOR, kwargs={"world": str(tiny_world)})
    game = WorldEntry("tiny", env="test_policies:TinyGame", agent_steps=STEPS, score="bars named")
    monkeypatch.setitem(WORLDS, "tiny", game)
    yield
    del gym.registry[DREAM]


def a_policy(seed: int = 0, **changes: Any) -> Policy:
    torch.manual_seed(seed)
    config = PolicyConfig(**{**vars(PolicyConfig.of(tiny_spec(), 2)), **changes})
    return Policy(config, Network(config).eval(), {"env": DREAM})


def command(*words: Any) -> int:
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    """The one line that a command says no with."""
    assert command(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_an_agent_learns_in_the_dream_and_is_judged_in_both(tmp_path, capsys):
    """It is paid well there, and the table says what that is worth in the game."""
    out = tmp_path / "agent"
    learning = ("--num-envs", 8, "--rollout", 32, "--batch", 64, "--discount", 0.9, "--stack", 2, "--keep", 1)
    assert command("train", "agent", "--env", DREAM, "--out", out, "--steps", 3072, *learning) == 0
    (kept,) = tmp_path.glob("agent-*")
    assert list(tmp_path.glob("agent.curves/events*")) and load_policy(kept).training["steps"] < 3072
    told = load_policy(out).training
    assert (told["env"], told["steps"], told["temperature"], told["episode_steps"]) == (DREAM, 3072, 1.0, STEPS)
    assert told["world_digest"] == find_env(DREAM).digest and "torch" in told["versions"]
    capsys.readouterr()
    players = [word for name in (out, "random", kept) for word in ("--policy", name)]
    judged = ("eval", "agent", *players, "--env", DREAM, "--episodes", 60, "--out", tmp_path / "report")
    assert command(*judged) == 0
    shown = capsys.readouterr().out
    assert f"{DREAM} (imagined)" in shown and "imagined - real" in shown and "rank correlation" in shown
    found = json.loads((tmp_path / "report" / "agents.json").read_text())
    scores = {(r["player"], r["imagined"]): r for r in found["results"]}
    assert len(scores) == 6 and found["score"] == "bars named" and found["no_game"] is None
    agent, random = scores[str(out), True], scores["random", True]
    assert agent["interval"][0] > random["interval"][1]
    gap = next(row for row in found["gaps"] if row["player"] == str(out))
    assert gap["gap"] == pytest.approx(agent["mean"] - scores[str(out), False]["mean"])
    assert command(*judged, "--num-envs", 3) == 0  # rows decide nothing
    again = json.loads((tmp_path / "report" / "agents.json").read_text())
    for one, other in zip(found["results"], again["results"], strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], atol=5e-2)


def test_who_leaves_what_the_world_knows_has_lost():
    """And who is only cut has not."""
    place = find_env(DREAM)
    actions = np.zeros(4, np.int64)
    told = place.make(4, "SameStep", 3, max_ood=1e-6)
    lost = OODTermination(place.make(4, "SameStep", 3, max_ood=1e-6), 1e-6)
    assert world_of(lost) == world_of(told)
    told.reset(seed=1), lost.reset(seed=1)
    cut, ended = told.step(actions), lost.step(actions)
    assert cut[3].all() and not cut[2].all()  # of some, play ended as well
    assert ended[2].all() and not ended[3].any()
    patient, plain = OODTermination(place.make(4, "SameStep", 3, max_ood=99.0), 99.0), place.make(4, "SameStep", 3)
    patient.reset(seed=1), plain.reset(seed=1)
    for _ in range(4):
        own, others = patient.step(actions), plain.step(actions)
        np.testing.assert_array_equal(own[2:4], others[2:4])


def test_held_actions_are_the_same_action_again():
    """And what ends while one is held is told as it ended; what comes after it is not paid."""
    plain, held = (EnvSource("tiny", "tiny").make(3, "SameStep", STEPS) for _ in range(2))
    held = ActionRepeat(held, 3)
    assert world_of(held) == world_of(plain)
    plain.reset(seed=5), held.reset(seed=5)
    for chosen in ([0, 1, 2], [2, 0, 0], [1, 1, 0]):
        paid, over, last = np.zeros(3), np.zeros(3, bool), {}
        for _ in range(3):
            seen, rewards, _, cut, infos = plain.step(np.array(chosen))
            paid += np.where(over, 0, rewards)
            ends = np.flatnonzero(cut & ~over)
            last |= {row: (infos["final_obs"][row], infos["final_info"]["bars"][row]) for row in ends}
            over |= cut
        own = held.step(np.array(chosen))
        np.testing.assert_array_equal(own[0], seen)
        np.testing.assert_array_equal(own[1], paid)
        np.testing.assert_array_equal(own[3], over)
        assert not own[2].any() and ("final_obs" in own[4]) == over.any()
        for row, (frame, bars) in last.items():
            np.testing.assert_array_equal(own[4]["final_obs"][row], frame)
            np.testing.assert_array_equal(own[4]["final_info"]["bars"][row], bars)
    assert over.all() and own[4]["_final_obs"].all() and own[4]["_final_info"].all()


def test_a_player_holds_what_it_chose_for_as_long_as_it_learned_to():
    frames = np.random.default_rng(0).integers(0, 256, (9, 2, HEIGHT, WIDTH, 3), np.uint8)
    slow = LearnedPlayer(a_policy(repeat=3), 2, sample=True)
    quick = [LearnedPlayer(a_policy(), 2, sample=True) for _ in range(2)]
    for player in (slow, *quick):
        player.begin(np.arange(2), [7, 8])
    actions = []
    for t, seen in enumerate(frames):
        if t == 4:  # a new episode in row 1, which chooses at once
            slow.begin(np.array([1]), [9]), quick[1].begin(np.array([1]), [9])
        actions.append(slow(seen, {}))
    zero = [quick[0](frames[t], {})[0] for t in (0, 3, 6)]
    other = LearnedPlayer(a_policy(), 2, sample=True)
    other.begin(np.arange(2), [7, 8])
    one = [other(frames[t], {})[1] for t in (0, 3)] + [quick[1](frames[t], {})[1] for t in (4, 7)]
    assert [int(a[0]) for a in actions] == np.repeat(zero, 3).tolist()
    assert [int(a[1]) for a in actions] == [*[one[0]] * 3, one[1], *[one[2]] * 3, *[one[3]] * 2]
    assert len({int(a) for row in actions for a in row}) > 1


def test_an_agent_learns_from_recorded_play_on(tmp_path, tiny_recording):
    """Every episode begins in play that worlds learn from, and what is judged begins elsewhere."""
    place, recording = find_env(DREAM), Recording(tiny_recording)
    begun = place.make(64, "SameStep", 3, recording=tiny_recording).reset(seed=1)[0]
    known, held_out = (
        {frame.tobytes() for a, b in recording.episodes(split) for frame in np.asarray(recording.frames[a:b])}
        for split in ("train", "held-out")
    )
    seen = {frame.tobytes() for frame in begun}
    assert seen <= known and len(seen) > 20 and not seen & held_out
    words = ("train", "agent", "--env", DREAM, "--out", tmp_path / "p", "--num-envs", 2, "--rollout", 8, "--stack", 1)
    assert command(*words, "--steps", 16, "--batch", 8, "--recording", tiny_recording) == 0
    assert load_policy(tmp_path / "p").training["recording"] == tiny_recording.name


def a_recording_that_tells(path: Path, frames: int = 24) -> Path:
    """Forty episodes of the tiny game, whose state is which bar is bright, and which was the frame before."""
    spec = dataclasses.replace(tiny_spec(), state_names=("bright", "before", "nothing"))
    writer = RecordingWriter(path, spec, 0, ORIGIN)
    for seed in range(40):
        game = TinyGame()
        shown = [game.reset(seed=seed)[0], *(game.step(np.int64(0))[0] for _ in range(frames - 1))]
        bright = np.array([frame[0, ::16, 0].argmax() for frame in shown], np.float32)
        before = np.concatenate([[bright[0]], bright[:-1]])
        state = np.stack([bright, before, np.full(frames, 7.0)], axis=1).astype(np.float32)
        actions = np.append(np.zeros(frames - 1), -1).astype(np.int16)
        writer.append(Episode(np.stack(shown), actions, np.zeros(frames, np.float32), np.zeros(frames, bool), state))
    return path


def test_an_eye_learns_to_see_before_the_agent_acts(tmp_path, capsys):
    """It names what is there, and what was there a frame before if it sees two; the agent begins with it."""
    recording = Recording(a_recording_that_tells(tmp_path / "told"))
    ticks: list[int] = []
    shares = {}
    for stack, steps in ((2, 0), (2, 150), (1, 150)):
        config = PolicyConfig.of(tiny_spec(), stack)
        eye, shares[stack, steps] = learn_to_see(config, recording, steps, 0, ticks.append)
    assert shares[2, 0] < 0.3 and shares[2, 150] > 0.9 and 0.3 < shares[1, 150] < 0.7
    assert ticks == [*range(1, 151)] * 2
    again, _ = learn_to_see(config, recording, 150, 0, ticks.append)
    assert all(torch.equal(a, b) for a, b in zip(eye.state_dict().values(), again.state_dict().values(), strict=True))

    def agent(**own: Any) -> torch.Tensor:
        envs = EnvSource("tiny", "tiny").make(2, "SameStep", STEPS)
        training = PPOTraining(steps=32, stack=1, rollout=16, batch=32)
        return learn(envs, training, {}, **own).network.eye.state_dict()["layers.0.weight"]

    known = eye.state_dict()["layers.0.weight"].clone()
    assert torch.equal(agent(eye=eye), known) and not torch.allclose(agent(), known, atol=1e-2)
    words = ("train", "agent", "--env", DREAM, "--out", tmp_path / "p", "--num-envs", 2, "--rollout", 8, "--stack", 1)
    short = (*words, "--steps", 16, "--batch", 8, "--recording", recording.path)
    assert command(*short, "--sight", 100, "--repeat", 2) == 0
    told = load_policy(tmp_path / "p")
    assert told.training["sight"] == 100 and told.training["steps"] == 32 and told.config.repeat == 2
    heir = ("--out", tmp_path / "heir", "--eye", tmp_path / "p", "--repeat", 2, "--seed", 1)
    assert command(*short, *heir) == 0
    heir, old = load_policy(tmp_path / "heir").network.state_dict(), told.network.state_dict()
    assert torch.equal(heir["eye.layers.0.weight"], old["eye.layers.0.weight"])
    assert not torch.equal(heir["policy.0.weight"], old["policy.0.weight"])
    assert "% of the variance of what is there, in held-out play" in capsys.readouterr().out


def test_an_eye_is_asked_for_what_follows_from_the_state_too(tmp_path, monkeypatch):
    """What can be seen it learns as well, and what can't be lowers its share."""
    recording, config = Recording(a_recording_that_tells(tmp_path / "told")), PolicyConfig.of(tiny_spec(), 2)
    chance = np.random.default_rng(0)
    shares = []
    for more in (lambda state: state[:, :1] == state[:, 1:2], lambda state: chance.random((len(state), 3))):
        lesson = Lesson(lambda state, more=more: more(state).astype(np.float32), lambda told: told)
        monkeypatch.setitem(LESSONS, "tiny", lesson)
        shares.append(learn_to_see(config, recording, 300, 0, lambda _: None)[1])
    assert shares[0] > 0.9 and shares[1] < 0.6
    assert LESSONS["doom-take-cover"] == Lesson(passing, mirrored)


def test_an_eye_learns_of_a_mirror_too(tmp_path, monkeypatch):
    """Half of what it sees is in a mirror, where the bar on the left is on the right; told that it stays, it can't."""
    recording = Recording(a_recording_that_tells(tmp_path / "told"))

    def share(mirror: bool, turned: Callable[[np.ndarray], np.ndarray]) -> float:
        monkeypatch.setitem(
            LESSONS, "tiny", Lesson(lambda state: state[:, :0], lambda told: turned(told).astype(np.float32))
        )
        return learn_to_see(PolicyConfig.of(tiny_spec(), 2, mirror=mirror), recording, 200, 0, lambda _: None)[1]

    assert share(True, lambda told: told * [-1, -1, 1] + [2, 2, 0]) > 0.9
    assert share(True, lambda told: told) < 0.3
    assert share(False, lambda told: told) > 0.9


def test_what_is_seen_in_a_mirror_is_answered_in_a_mirror():
    network = a_policy(mirror=True).network
    seen = torch.randint(256, (6, 6, HEIGHT, WIDTH), dtype=torch.uint8)
    (logits, values), (others, same) = network(seen), network(seen.flip(-1))
    assert torch.allclose(logits[:, [0, 2, 1]], others, atol=1e-5) and torch.allclose(values, same, atol=1e-5)
    assert (logits[:, 1] - logits[:, 2]).abs().min() > 1e-4
    plain = a_policy().network
    assert not torch.allclose(plain(seen)[0][:, [0, 2, 1]], plain(seen.flip(-1))[0], atol=1e-3)
    with pytest.raises(WorldsimError, match=r"stay, left.*leave mirror out"):
        PolicyConfig("tiny", HEIGHT, WIDTH, ("stay", "left"), mirror=True)


def test_policies_of_the_way_are_kept_closer_together_at_first(tmp_path):
    """Where skill changes most; a mirrored agent comes out mirrored."""
    words = ("train", "agent", "--env", DREAM, "--out", tmp_path / "p", "--num-envs", 2, "--rollout", 8, "--stack", 1)
    assert command(*words, "--steps", 64, "--batch", 8, "--keep", 3, "--mirror") == 0
    assert sorted(int(path.name[2:]) for path in tmp_path.glob("p-*")) == [4, 16, 36]
    assert load_policy(tmp_path / "p").config.mirror


@pytest.mark.parametrize("sight", [0, 300])
def test_an_agent_plays_as_it_learned_to(tmp_path, sight):
    """Only the order of the stack tells what pays: weights and frames come out of training as they went in, whether
    its eye learns with it or saw before."""
    place = EnvSource("tiny", "tiny")
    envs = place.make(8, "SameStep", STEPS)
    training = PPOTraining(steps=6144, stack=2, rollout=32, batch=128, rate=2e-3, discount=0.0, epochs=6)
    eye = None
    if sight:
        recording = Recording(a_recording_that_tells(tmp_path / "told"))
        eye, _ = learn_to_see(PolicyConfig.of(tiny_spec(), 2), recording, sight, 0, lambda _: None)
    learn(envs, training, {}, eye=eye).save(tmp_path / "agent")
    player = LearnedPlayer(load_policy(tmp_path / "agent"), 4)
    scores = play_episodes(place.make(4, "Disabled", STEPS), player, 20, 0, lambda _: None)
    assert (scores.length == STEPS).all()
    assert scores.total.mean() > 0.8 * (STEPS - 1)  # a random player: STEPS / 3


def test_the_same_seed_gives_the_same_agent():
    def weights(seed: int) -> dict[str, torch.Tensor]:
        envs = EnvSource("tiny", "tiny").make(2, "SameStep", STEPS)
        return learn(envs, PPOTraining(steps=64, stack=1, rollout=32, batch=32, seed=seed), {}).network.state_dict()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["policy.0.weight"], other["policy.0.weight"])


def test_a_killed_training_keeps_the_eye_that_saw_before(tmp_path, monkeypatch):
    """As the command goes on: with a new eye, whose weights the file knows."""
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    config = PolicyConfig.of(tiny_spec(), 1)
    torch.manual_seed(5)
    saw = Eye(config)
    known = {name: weight.clone() for name, weight in saw.state_dict().items()}

    def train(eye: Eye, steps: int) -> Policy:
        envs, training = EnvSource("tiny", "tiny").make(2, "SameStep", STEPS), PPOTraining(steps, stack=1, rollout=16)
        return learn(envs, training, {}, checkpoint=tmp_path / "agent.checkpoint", eye=eye)

    train(saw, 64)
    policy = train(Eye(config), 128)
    assert policy.training["steps"] == 128
    assert all(torch.equal(weight, known[name]) for name, weight in policy.network.eye.state_dict().items())


def test_a_killed_training_goes_on_from_its_last_update(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "EVERY", 0.0)
    path, training = tmp_path / "agent.checkpoint", PPOTraining(steps=320, stack=1, rollout=16, batch=32)

    def train(watch: Any, **changed: Any) -> Policy:
        envs = EnvSource("tiny", "tiny").make(2, "SameStep", STEPS)
        return learn(envs, dataclasses.replace(training, **changed), {"env": "tiny"}, None, watch, path)

    def kill(steps: int, *_: Any) -> None:
        if steps == 210:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(kill)
    kept = load_file(path)
    seen: list[tuple[int, dict[str, torch.Tensor]]] = []
    policy = train(lambda steps, _, now: seen.append((steps, now().network.state_dict())))
    assert seen[0][0] == 192 + 2 and seen[-1][0] == 320 == policy.training["steps"]
    torch.testing.assert_close(seen[0][1]["policy.2.weight"], kept["policy.network.policy.2.weight"], atol=0, rtol=0)
    assert kept["optimizer.0.step"] == 6 * 4  # of six updates, four epochs each
    assert load_file(path)["optimizer.0.step"] == 9 * 4
    with pytest.raises(WorldsimError, match=r"other settings \(rate\)"):
        train(None, rate=1e-3)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WorldsimError, match="is cut or not a worldsim checkpoint"):
        train(None)


def test_a_stored_policy_is_the_policy(tmp_path):
    policy = a_policy()
    policy.save(tmp_path / "p")
    policy.save(tmp_path / "p")  # in its own place
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


@pytest.mark.parametrize("name", [POLICY.manifest, WEIGHTS])
@pytest.mark.parametrize("harm", ["missing", "cut", "changed"])
def test_a_broken_policy_is_one_error_that_names_the_file(tmp_path, name, harm):
    a_policy().save(tmp_path / "p")
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
    a_policy().save(tmp_path / "p")
    folder = tmp_path / "p"
    save_file({"eye": load_file(folder / WEIGHTS)["policy.2.weight"]}, folder / WEIGHTS)
    content = json.loads((folder / POLICY.manifest).read_text())
    (folder / POLICY.manifest).unlink()
    POLICY.write_manifest(folder, {name: content[name] for name in ("config", "training")})
    with pytest.raises(WorldsimError, match="does not fit its network"):
        load_policy(folder)
    for harm in ({"stack": 99}, {"hidden": "many"}, {"colour": 1}):
        (folder / POLICY.manifest).unlink()
        POLICY.write_manifest(folder, {"config": {**content["config"], **harm}, "training": {}})
        with pytest.raises(WorldsimError, match=r"policy\.json is not that of a policy"):
            load_policy(folder)


@pytest.mark.parametrize("changes", [{"world": "other"}, {"width": 64}, {"actions": ("stay", "up", "down")}])
def test_a_policy_for_another_world_is_one_error(changes):
    with pytest.raises(WorldsimError, match="policy plays .*; this is 'tiny', 48x32, stay, left, right"):
        make_player(a_policy(**changes), tiny_spec(), 1)


def test_episodes_are_counted_once_whoever_plays_them():
    """Long ones too, and each from its own seed, so rows don't matter."""

    class Watching(RandomPlayer):
        begun: list[int] = []

        def begin(self, rows: np.ndarray, seeds: Any) -> None:
            self.begun += list(seeds)
            super().begin(rows, seeds)

    place, found = find_env(DREAM), []
    for rows in (1, 3):
        player, ticks = Watching(3, rows), []
        player.begun = []
        envs = place.make(rows, "Disabled", 3)
        found.append(play_episodes(envs, player, 7, 5, ticks.append))
        assert sum(ticks) == 7 and player.begun[:7] == list(range(JUDGED + 5, JUDGED + 12))
    np.testing.assert_array_equal(found[0].length, found[1].length)
    np.testing.assert_allclose(found[0].total, found[1].total, atol=2e-2)
    assert set(found[0].length) > {1, 3} or len(set(found[0].length)) > 1


def test_a_sampling_player_draws_by_its_odds_and_its_seed():
    policy = a_policy()
    with torch.no_grad():
        policy.network.policy[-1].weight.zero_()
        policy.network.policy[-1].bias.copy_(torch.tensor([0.0, 2.0, 0.0]))
    frames, many = np.zeros((400, HEIGHT, WIDTH, 3), np.uint8), np.arange(400)
    assert (LearnedPlayer(policy, 400)(frames, {}) == 1).all()
    drawn = []
    for seeds in (many, many, many + 400):
        player = LearnedPlayer(policy, 400, sample=True)
        player.begin(many, seeds.tolist())
        drawn.append(player(frames, {}))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert np.mean(drawn[0] == 1) == pytest.approx(np.e**2 / (np.e**2 + 2), abs=0.08)


def test_the_scripted_player_plays_the_game_alone(tmp_path, capsys):
    where = ("--env", "worldsim/ToyboxReal-v0", "--episodes", 2, "--episode-steps", 4, "--out", tmp_path)
    assert command("eval", "agent", "--policy", "scripted", *where) == 0
    found = json.loads((tmp_path / "agents.json").read_text())
    assert [r["lengths"] for r in found["results"]] == [[4, 4]] and found["gaps"] == []
    assert "imagined" not in capsys.readouterr().out


def test_a_dream_without_its_game_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(WORLDS, "tiny")
    where = ("--env", DREAM, "--episodes", 2, "--out", tmp_path)
    assert command("eval", "agent", "--policy", "random", *where) == 0
    assert "There is no real score beside this" in capsys.readouterr().out
    assert "tiny" in json.loads((tmp_path / "agents.json").read_text())["no_game"]
    assert "nobody wrote a player for tiny" in refused(capsys, "eval", "agent", "--policy", "scripted", *where)


def test_ranks_and_gaps_of_known_scores():
    dream, game = EnvSource("dream", "tiny", "digest"), EnvSource("game", "tiny")
    results = []
    for i, (imagined, real) in enumerate([(4.0, 2.0), (3.0, 1.0), (2.0, 1.5), (5.0, 4.9)]):
        for place, mean in ((dream, imagined), (game, real)):
            results.append(eval_agent.Result(f"p{i}", place, Scores(np.array([mean - 1, mean + 1]), np.array([3, 3]))))
    config = eval_agent.EvalAgentConfig(tuple(f"p{i}" for i in range(4)), ("dream",))
    section = eval_agent._section(results, "", config)
    (figure,) = section.figures
    assert figure.value == pytest.approx(0.8)
    said = {row[0]: row[-1] for row in section.tables[1].rows}
    assert said["p0"] == "the dream pays more than the game" and said["p3"] == "within 20%"
    assert results[0].figures()["std"] == pytest.approx(2**0.5)
    assert np.isnan(eval_agent._spearman(np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])))


def test_what_is_wrong_is_one_line(tmp_path, capsys, tiny_world, tiny_recording):
    train, judge = (
        ("train", "agent", "--out", tmp_path / "p", "--env"),
        ("eval", "agent", "--policy", "random", "--env"),
    )
    for words in (train, judge):
        assert "no environment 'worldsim/Nope-v0'; there are" in refused(capsys, *words, "worldsim/Nope-v0")
        assert "CartPole-v1 is no world of worldsim" in refused(capsys, *words, "CartPole-v1")
        assert "temperature -1" in refused(capsys, *words, DREAM, "--temperature", -1)
        assert "0 or more" in refused(capsys, *words, DREAM, "--episode-steps", -1)
    assert "no picture of it is wrong" in refused(capsys, *train, "worldsim/ToyboxReal-v0", "--most-ood", 0.5)
    assert "begins where it begins" in refused(capsys, *train, "worldsim/ToyboxReal-v0", "--recording", tmp_path)
    assert "repeat 0: give 1 or more" in refused(capsys, *train, DREAM, "--repeat", 0)
    told, seeing = a_recording_that_tells(tmp_path / "told"), ("--sight", 5)
    assert "give --recording" in refused(capsys, *train, DREAM, *seeing)
    assert "knows no exact state" in refused(capsys, *train, DREAM, *seeing, "--recording", tiny_recording)
    assert "is of 'tiny'" in refused(capsys, *train, "worldsim/ToyboxReal-v0", *seeing, "--recording", told)
    assert "sees already" in refused(capsys, *train, DREAM, *seeing, "--recording", told, "--eye", "doom-take-cover")
    other = refused(capsys, *train, "worldsim/DoomTakeCover-v0", "--eye", "doom-take-cover", "--runtime", "torch")
    assert "for another agent (stack 3, repeat 2, mirror True): ask for the same" in other
    assert "no policy 'nobody'" in refused(capsys, *train, DREAM, "--eye", "nobody")
    assert "sight are 0 or more" in refused(capsys, *train, DREAM, "--sight", -1)
    assert "discount and trace 0 to 1" in refused(capsys, *train, DREAM, "--trace", 1.1)
    assert "no recording" in refused(capsys, *train, DREAM, "--recording", tmp_path / "gone")
    assert "has no temperature" in refused(capsys, *train, "worldsim/ToyboxReal-v0", "--temperature", 1.1)
    assert "leave --size out" in refused(capsys, *train, tiny_world, "--size", "64x48")
    assert "steps 0: give 1 or more" in refused(capsys, *train, DREAM, "--steps", 0)
    assert "a stack of 99 frames of 48x32: give 1 to 10" in refused(capsys, *train, DREAM, "--stack", 99)
    assert "no policy 'gone'" in refused(capsys, "eval", "agent", "--policy", "gone", "--env", DREAM)
    assert "different worlds" in refused(capsys, *judge, DREAM, "--env", "worldsim/ToyboxReal-v0")
    a_policy(world="other").save(tmp_path / "other")
    other = ("eval", "agent", "--policy", tmp_path / "other", "--env")
    assert "plays 'other'" in refused(capsys, *other, DREAM)
    assert "plays 'other'" in refused(capsys, *other, "worldsim/ToyboxReal-v0")
    (tmp_path / "p").write_text("years of work")
    assert "not a policy. Give another --out" in refused(capsys, *train, DREAM)
    assert "can't write" in refused(capsys, *train[:2], "--out", tmp_path / "p" / "x", "--env", DREAM)
    assert "can't write" in refused(capsys, *judge, DREAM, "--episodes", 1, "--out", tmp_path / "p")


def test_places_by_folder_and_id(tiny_world, tmp_path):
    folder = shutil.copytree(tiny_world, tmp_path / "world")
    place = find_env(str(folder))
    assert place.generated and place.world == "tiny" and place.digest == find_env(DREAM).digest
    envs = place.make(2, "Disabled", 5, temperature=1.2)
    assert world_of(envs).name == "tiny"
    assert find_env("worldsim/ToyboxReal-v0") == EnvSource("worldsim/ToyboxReal-v0", "toybox")
    assert find_env("worldsim/DoomMaze-v0").twin() == find_env("worldsim/DoomMazeReal-v0")
    game = place.twin().make(3, "Disabled", 5, size=(HEIGHT, WIDTH))
    assert game.reset(seed=0)[0].shape == (3, HEIGHT, WIDTH, 3)
    with pytest.raises(WorldsimError, match="of no world of worldsim"):
        world_of(gym.make_vec("CartPole-v1", 1))
