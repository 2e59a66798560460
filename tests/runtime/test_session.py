"""The session: a state is a value, restored is never left, and a batch is its rows."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from tiny import WINDOW, tiny_clips, tiny_networks, tiny_spec

from worldsim.errors import WorldsimError
from worldsim.models.retention import capacity
from worldsim.models.step import WorldStep
from worldsim.rng import frame_chance, frame_noise
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import ROWS, Session, State
from worldsim.runtime.torch import TorchRuntime

ACTIONS = (1, 2, 0, 2, 1, 1, 0)  # more than twice the window


@pytest.fixture(scope="module", params=["onnx", "torch", "without memory"])
def session(request: pytest.FixtureRequest, tiny_world: Path) -> Session:
    if request.param == "without memory":
        starts = open_world(tiny_world).starts
        return Session(TorchRuntime(WorldStep(*tiny_networks(retention=())), tiny_spec(), starts=starts))
    return Session(load_runtime(open_world(tiny_world), request.param, "cpu"))


def play(session: Session, state: State, actions: tuple[int, ...] = ACTIONS) -> tuple[State, np.ndarray]:
    """The last state, and all frames `[B, len(actions), H, W, 3]`."""
    frames = []
    for action in actions:
        state, seen = session.step(state, np.full(len(state), action))
        frames.append(seen.frame)
    return state, np.stack(frames, axis=1) if frames else np.zeros((len(state), 0))


def assert_equal(a: State, b: State) -> None:
    for name in ("entries", "memory", "poses"):
        for x, y in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_array_equal(x, y)
    for name in (*ROWS, "remembered"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y, err_msg=name)


def test_the_first_frame_is_the_real_one_and_time_counts_from_it(session):
    starts = session.runtime.starts
    state = session.start([2, 0], [5, 6])
    np.testing.assert_array_equal(state.frame, starts.frames[[2, 0], -1])
    np.testing.assert_array_equal(state.index, [0, 0])
    state, seen = session.step(state, np.array([0, 1]))
    np.testing.assert_array_equal(state.index, [1, 1])
    assert seen.frame is state.frame and seen.frame.shape == (2, 32, 48, 3)
    assert seen.reward.shape == seen.cont.shape == (2,) and ((seen.cont >= 0) & (seen.cont <= 1)).all()


def test_an_end_is_drawn_with_its_probability_and_the_rarest_never_comes(session, monkeypatch):
    state, real_step = session.start([0, 1, 2], [5, 6, 7]), session.runtime.step
    for cont, share in ((1.0, 0.0), (0.99, 0.0), (0.9, 0.1), (0.5, 0.5), (0.0, 1.0)):

        def step(*inputs, cont=cont):
            return real_step(*inputs)._replace(cont=np.full(3, cont, np.float32))

        monkeypatch.setattr(session.runtime, "step", step)
        ended, now = [], state
        for _ in range(100):
            now, seen = session.step(now, np.zeros(3, np.int64))
            ended.append(seen.ended)
        assert abs(np.mean(ended) - share) <= 4 * np.sqrt(share * (1 - share) / 300)
        np.testing.assert_array_equal(session.step(state, np.zeros(3, np.int64))[1].ended, ended[0])


def test_a_start_is_a_reset_from_its_frames(session):
    starts = session.runtime.starts
    a = session.start([1], [5])
    b = session.reset(starts.frames[1:2], starts.actions[1:2], [5])
    np.testing.assert_allclose(a.latents, b.latents, atol=2e-3)  # latents of starts are stored in float16
    for x, y in zip(a.entries, b.entries, strict=True):
        np.testing.assert_allclose(x.astype(np.float32), y.astype(np.float32), atol=1e-2)


def test_the_largest_seeds_are_seeds_too(session):
    noise = [frame_noise(seed, 1, (4,)) for seed in (0, 2**63, 2**63 + 1, 2**64 - 1)]
    assert len(np.unique(noise, axis=0)) == 4
    assert len({frame_chance(seed, 1) for seed in (0, 2**63, 2**63 + 1, 2**64 - 1)}) == 4
    play(session, session.start([0], [2**64 - 1]))


def test_same_seed_same_frames(session):
    frames = [play(session, session.start([0], [seed]))[1] for seed in (7, 7, 8)]
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0] != frames[2]).any()


def test_temperature_is_how_much_chance_there_is(session):
    def frames(temperature: float, seed: int = 7) -> np.ndarray:
        own = Session(session.runtime, temperature)
        return play(own, own.start([0], [seed]))[1]

    _, plain = play(session, session.start([0], [7]))
    np.testing.assert_array_equal(frames(1.0), plain)
    np.testing.assert_array_equal(frames(1.3), frames(1.3))
    assert (frames(1.3) != plain).any() and (frames(1.3) != frames(1.3, 8)).any()
    np.testing.assert_array_equal(frames(0.0), frames(0.0, 8))  # none at all
    for wrong in (-0.1, float("nan"), float("inf"), "hot"):
        with pytest.raises(WorldsimError, match="temperature .*: give a number, 0 or more"):
            Session(session.runtime, wrong)


def test_a_changed_future_action_changes_no_past_frame(session):
    state = session.start([0], [7])
    _, frames = play(session, state, (1, 1, 1, 1))
    _, other = play(session, state, (1, 1, 2, 2))
    np.testing.assert_array_equal(frames[:, :2], other[:, :2])
    assert (frames[:, 2] != other[:, 2]).any()


def test_an_old_state_is_a_branch(session):
    state = session.start([0], [7])
    kept, _ = play(session, state, ACTIONS[:3])
    _, frames = play(session, kept, ACTIONS[3:])
    _, again = play(session, kept, ACTIONS[3:])
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(play(session, state)[1][:, 3:], frames)


def test_a_state_cannot_be_written_to(session):
    state, seen = session.step(session.start([0], [7]), np.array([1]))
    for array in (*state.entries, state.latents, state.frame, state.index, seen.frame):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_copy_of_a_state_is_equal_and_cannot_be_written_to_either(session, copied):
    state, _ = play(session, session.start([0], [7]), ACTIONS[:2])
    other = copied(state)
    assert_equal(state, other)
    for array in (
        *other.entries,
        *other.memory,
        *other.poses,
        other.remembered,
        *(getattr(other, name) for name in ROWS),
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_states_share_their_entries(session):
    first, _ = play(session, session.start([0], [7]))
    second, _ = session.step(first, np.array([1]))
    assert len(first.entries) == len(second.entries) == WINDOW
    assert all(a is b for a, b in zip(first.entries[1:], second.entries[:-1], strict=True))


def test_stepping_is_prefilling(session):
    """An entry written by a step is the one that a reset from the same frames computes."""
    frames, actions = tiny_clips(2, 3, seed=4)
    state, _ = session.step(session.reset(frames, actions, [0, 0]), np.array([2, 1]))
    latents = session.runtime.encode(frames)
    entries = session.runtime.prefill(latents, np.concatenate([actions, [[2], [1]]], axis=1))
    for t, entry in enumerate(state.entries):
        np.testing.assert_allclose(entry.astype(np.float32), entries[:, t].astype(np.float32), atol=1e-2)


def test_a_long_past_is_remembered_as_far_as_it_is_in_play(session):
    frames, actions = tiny_clips(1, 20, seed=6)

    def next_latents(frames: np.ndarray) -> np.ndarray:
        return session.step(session.reset(frames, actions, [7]), np.array([1]))[0].latents

    state, memory = session.reset(frames, actions, [7]), bool(session.runtime.sizes.memory)
    assert state.remembered[:, 0].tolist() == ([3, 6, 9, 12, 15, 16, 17, 18] if memory else [])
    assert len(state.memory) == len(state.remembered)
    for changed, matters in ((9, memory), (11, False)):  # only memory reaches so far back
        other = frames.copy()
        other[:, changed] = 255 - other[:, changed]
        assert np.array_equal(next_latents(other), next_latents(frames)) != matters


def test_a_batch_of_five_is_five_singles(session):
    """Rows that have been played for different times, from contexts of different lengths."""
    singles = []
    for row in range(5):
        frames, actions = tiny_clips(1, 1 + row, seed=row)
        singles.append(play(session, session.reset(frames, actions, [row]), ACTIONS[: row % 3])[0])
    whole = session.stack(singles)
    assert whole.length.tolist() == [0, 2, 3, 3, 3] and whole.index.tolist() == [0, 1, 2, 0, 1]
    for back, single in zip(session.split(whole), singles, strict=True):
        assert_equal(back, single)
    for step in range(2 * WINDOW):
        actions = (np.arange(5) + step) % 3
        whole, seen = session.step(whole, actions)
        pairs = [session.step(single, actions[i : i + 1]) for i, single in enumerate(singles)]
        singles = [state for state, _ in pairs]
        for i, (state, single_seen) in enumerate(pairs):
            np.testing.assert_allclose(whole.latents[i], state.latents[0], atol=2e-2)
            assert np.abs(seen.frame[i].astype(int) - single_seen.frame[0]).max() <= 3
            np.testing.assert_allclose(seen.reward[i], single_seen.reward[0], atol=2e-2)
    assert whole.length.tolist() == [WINDOW] * 5


@pytest.mark.parametrize("steps", [0, 2, 7])
def test_restored_is_never_left(session, steps):
    state, _ = play(session, session.start([3, 1], [7, 8]), ACTIONS[:steps])
    restored = session.restore(session.snapshot(state))
    assert_equal(state, restored)
    (left, frames), (never_left, again) = play(session, restored), play(session, state)
    np.testing.assert_array_equal(frames, again)
    assert_equal(left, never_left)


def test_the_hidden_layer_is_no_part_of_the_ood_score():
    networks = tiny_networks(retention=(), copy_reach=1, hidden_layer=True)
    session = Session(TorchRuntime(WorldStep(*networks), tiny_spec()))
    frames, actions = tiny_clips(1, 4)
    state, _ = session.step(session.reset(frames, actions, [0]), np.array([1]))
    shift = np.zeros_like(state.latents)
    for half, same in ((np.s_[:, 4:], True), (np.s_[:, :4], False)):
        shift[:] = 0
        shift[half] = 1
        other = dataclasses.replace(state, latents=state.latents + shift)
        assert (session.ood(other) == session.ood(state)).all() == same


def test_a_snapshot_without_memory(session):
    frames, actions = tiny_clips(1, 1)
    state = session.reset(frames, actions, [2**63 + 5])
    assert_equal(state, session.restore(session.snapshot(state)))


def test_snapshots_are_small(session):
    state, _ = play(session, session.start([0], [7]))
    row = sum(array.nbytes for array in (*state.entries, *state.memory, state.latents, state.frame))
    assert len(session.snapshot(state)) < row + 1024
    assert len(state.memory) <= capacity(session.runtime.sizes.retention)


def test_a_snapshot_of_another_world_or_cut_is_refused(session):
    data = session.snapshot(session.start([0], [0]))
    other = Session(TorchRuntime(WorldStep(*tiny_networks(seed=1)), tiny_spec()))
    with pytest.raises(WorldsimError, match="another world"):
        other.restore(data)
    for broken in (data[:-1], data[:20], b"", b"hello, this is no snapshot"):
        with pytest.raises(WorldsimError, match="not a whole snapshot"):
            session.restore(broken)


@pytest.mark.parametrize(
    ("frames", "actions", "seeds", "message"),
    [
        (np.zeros((1, 2, 48, 32, 3), np.uint8), np.zeros((1, 1), int), [0], r"\[B, T, 32, 48, 3\]"),
        (np.zeros((1, 2, 32, 48, 3), np.float32), np.zeros((1, 1), int), [0], "uint8"),
        (np.zeros((1, 0, 32, 48, 3), np.uint8), np.zeros((1, 0), int), [0], r"\[1, 0, 32, 48, 3\]"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), np.zeros((1, 2), int), [0], r"give integers \[1, 1\]"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), np.array([[3]]), [0], "no action 3; it has 0 stay, 1 left, 2 right"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), np.zeros((1, 1), int), [0, 1], "give 1, one a row"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), np.zeros((1, 1), int), [-1], "0 to 2"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), np.zeros((1, 1), int), [2**64], "0 to 2"),
    ],
)
def test_a_reset_that_does_not_fit_is_one_error(session, frames, actions, seeds, message):
    with pytest.raises(WorldsimError, match=message):
        session.reset(frames, actions, seeds)


def test_a_step_or_start_that_does_not_fit_is_one_error(session):
    state = session.start([0], [0])
    for action in (-1, 3):
        with pytest.raises(WorldsimError, match=f"no action {action}; it has 0 stay"):
            session.step(state, np.array([action]))
    for actions in (np.array([0, 1]), np.array([0.5])):
        with pytest.raises(WorldsimError, match=r"give integers \[1\]"):
            session.step(state, actions)
    with pytest.raises(WorldsimError, match="no start 5; it has 0 to 4"):
        session.start([5], [0])
    with pytest.raises(WorldsimError, match="came without starts"):
        Session(TorchRuntime(WorldStep(*tiny_networks()), tiny_spec())).start([0], [0])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("frame", lambda x: x[:, 1:]),
        ("frame", lambda x: x.astype(np.float32)),
        ("latents", lambda x: x * np.nan),
        ("entries", lambda x: np.concatenate([x] * 9)),
        ("entries", lambda x: x[..., 1:]),
        ("length", lambda x: x + 99),
        ("seed", lambda x: x[:0]),
        ("remembered", lambda x: x[..., None]),
    ],
)
def test_a_snapshot_that_was_made_up_is_refused(session, name, change):
    state, _ = play(session, session.start([0, 1], [0, 1]), (1, 2))
    tensors = safetensors.numpy.load(session.snapshot(state))
    tensors[name] = np.ascontiguousarray(change(tensors[name]))
    with pytest.raises(WorldsimError, match="not a whole snapshot"):
        session.restore(safetensors.numpy.save(tensors))


def test_a_picture_is_shown_and_what_came_before_stays(session):
    state, _ = play(session, session.start([0, 1], [5, 6]))
    pictures = state.frame.copy()
    pictures[1, 8:16, 24:32] = 255  # one cell of the second row
    shown = session.show(state, pictures)
    np.testing.assert_array_equal(shown.frame, pictures)
    np.testing.assert_array_equal(shown.index, [len(ACTIONS), 0])
    assert shown.uncertainty[0] == state.uncertainty[0] > 0 and shown.uncertainty[1] == 0
    for name in ("entries", "memory", "poses"):
        assert getattr(shown, name) is getattr(state, name)
    np.testing.assert_array_equal(shown.number, state.number)
    anew = (shown.latents != state.latents).any(1)
    assert not anew[0].any() and anew[1, :3, 2:5].all() and anew[1].sum() == 9  # that cell and those around it
    fresh = session.runtime.encode(pictures[:, None])[:, 0]
    np.testing.assert_array_equal(shown.latents[1, :, :3, 2:5], fresh[1, :, :3, 2:5])
    # Batched is one by one, play goes on differently in that row alone, and the state itself was not changed.
    rows = [session.show(row, pictures[i : i + 1]) for i, row in enumerate(session.split(state))]
    np.testing.assert_allclose(np.concatenate([row.latents for row in rows]), shown.latents, atol=1e-5)
    (_, after), (_, without) = play(session, shown, (1, 2)), play(session, state, (1, 2))
    np.testing.assert_array_equal(after[0], without[0])
    assert (after[1] != without[1]).any()
    assert_equal(session.restore(session.snapshot(shown)), shown)


def test_what_is_hidden_stays_hidden_where_no_picture_changes():
    networks = tiny_networks(hidden_layer=True, copy_reach=1)
    session = Session(TorchRuntime(WorldStep(*networks), tiny_spec(), starts=None))
    frames, actions = tiny_clips(1, WINDOW + 1)
    state, _ = play(session, session.reset(frames, actions, [3]))
    seen = state.latents.shape[1] // 2
    assert (state.latents[:, :seen] != state.latents[:, seen:]).any()
    pictures = state.frame.copy()
    pictures[0, 8:16, 24:32] = 255
    shown = session.show(state, pictures)
    hidden = (shown.latents[:, seen:] != state.latents[:, seen:]).any(1)[0]
    assert hidden[1, 3] and hidden.sum() == 1
    np.testing.assert_array_equal(shown.latents[0, :seen, 1, 3], shown.latents[0, seen:, 1, 3])


def test_pictures_of_another_size_are_not_shown(session):
    state = session.start([0], [1])
    for picture in (state.frame[:, :-1], np.repeat(state.frame, 2, 0), state.frame.astype(np.float32)):
        with pytest.raises(WorldsimError, match=r"can't be shown in world 'tiny': give uint8 RGB \[1, 32, 48, 3\]"):
            session.show(state, picture)
