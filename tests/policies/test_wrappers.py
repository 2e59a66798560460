"""The wrappers of rows that agents are trained in: action repeat and OOD termination."""

from __future__ import annotations

import numpy as np
from tiny_game import generated_rows, real_rows

from worldsim_envs.sources import world_of
from worldsim_policies.learned.action_repeat import ActionRepeat
from worldsim_policies.learned.ood_termination import OODTermination


def test_a_step_is_several_frames_with_the_same_action(game):
    """An end within a step is reported with its last frame and info; rewards after it do not count."""
    plain, repeated = real_rows(3), ActionRepeat(real_rows(3), 3)
    assert world_of(repeated) == world_of(plain)
    plain.reset(seed=5), repeated.reset(seed=5)
    for actions in ([0, 1, 2], [2, 0, 0], [1, 1, 0]):
        total, over, last = np.zeros(3), np.zeros(3, bool), {}
        for _ in range(3):
            seen, rewards, _, cut, infos = plain.step(np.array(actions))
            total += np.where(over, 0, rewards)
            ends = np.flatnonzero(cut & ~over)
            last |= {row: (infos["final_obs"][row], infos["final_info"]["bars"][row]) for row in ends}
            over |= cut
        own = repeated.step(np.array(actions))
        np.testing.assert_array_equal(own[0], seen)
        np.testing.assert_array_equal(own[1], total)
        np.testing.assert_array_equal(own[3], over)
        assert not own[2].any() and ("final_obs" in own[4]) == over.any()
        for row, (frame, bars) in last.items():
            np.testing.assert_array_equal(own[4]["final_obs"][row], frame)
            np.testing.assert_array_equal(own[4]["final_info"]["bars"][row], bars)
    assert over.all() and own[4]["_final_obs"].all() and own[4]["_final_info"].all()


def test_an_out_of_distribution_frame_terminates_and_a_time_limit_only_truncates(generated):
    actions = np.zeros(4, np.int64)
    plain = generated_rows(4, steps=3, max_ood=1e-6)
    wrapped = OODTermination(generated_rows(4, steps=3, max_ood=1e-6), 1e-6)
    assert world_of(wrapped) == world_of(plain)
    plain.reset(seed=1), wrapped.reset(seed=1)
    cut, ended = plain.step(actions), wrapped.step(actions)
    assert cut[3].all() and not cut[2].all()  # in some rows, play ended as well
    assert ended[2].all() and not ended[3].any()
    lenient, plain = OODTermination(generated_rows(4, steps=3, max_ood=99.0), 99.0), generated_rows(4, steps=3)
    lenient.reset(seed=1), plain.reset(seed=1)
    for _ in range(4):
        own, others = lenient.step(actions), plain.step(actions)
        np.testing.assert_array_equal(own[2:4], others[2:4])
