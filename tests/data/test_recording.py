"""Recordings: what was written comes back, whole episodes only, and nothing else is touched."""

from __future__ import annotations

import dataclasses
import errno

import numpy as np
import pytest
import zarr

from worldsim.data.recording import FIELDS, Recording, RecordingWriter
from worldsim.errors import WorldsimError


def assert_equal(a, b):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_episodes_come_back(small_recording, small_spec, make_episode):
    recording = Recording(small_recording)
    assert recording.spec == small_spec and recording.seed == 5
    assert recording.origin == {"source": "noise", "licence": "none"}
    assert len(recording) == sum(range(50, 62))
    for i, episode in enumerate(recording.iter_episodes()):
        assert_equal(episode, make_episode(i, 50 + i))


def test_what_is_behind_the_frames_comes_back_where_it_is_told(tmp_path, small_spec, make_episode):
    episodes = [dataclasses.replace(make_episode(i, 20), behind=make_episode(9 + i, 20).frames) for i in range(3)]
    for name, behind in (("told", True), ("untold", False)):
        writer = RecordingWriter(tmp_path / name, small_spec, behind=behind)
        for episode in episodes[:2]:
            writer.append(episode)
        RecordingWriter(tmp_path / name, small_spec, behind=not behind).append(episodes[2])  # goes on as it began
    for i, episode in enumerate(Recording(tmp_path / "told").iter_episodes()):
        assert_equal(episode, episodes[i])
        np.testing.assert_array_equal(episode.behind, episodes[i].behind)
    (tmp_path / "told" / "behind" / "c" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(WorldsimError, match="is damaged: .*behind.* is missing"):  # and not read as black
        Recording(tmp_path / "told")
    untold = Recording(tmp_path / "untold")
    assert untold.behind is None and untold.episode((0, 20)).behind is None and len(untold) == 60


def test_a_missing_or_cut_chunk_is_one_error(small_recording):
    chunk = small_recording / "frames" / "c" / "3" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:10])
    recording = Recording(small_recording)
    assert recording.frames[0:64].any()
    with pytest.raises(WorldsimError, match="is damaged.*Record again"):
        recording.frames[200:210]
    chunk.unlink()
    with pytest.raises(WorldsimError, match=f"is damaged: {chunk} is missing"):
        Recording(small_recording)


def test_black_frames_are_frames(tmp_path, small_spec, make_episode):
    writer = RecordingWriter(tmp_path / "black", small_spec, 5)
    episode = make_episode(0, 200)
    episode.frames[:] = 0
    writer.append(episode)
    assert not Recording(tmp_path / "black").frames[:].any()


def test_one_episode_in_ten_is_held_out_by_seed(small_recording):
    recording = Recording(small_recording)
    everything, held_out = recording.episodes("all"), recording.episodes("held-out")
    assert held_out == [everything[4]]  # (4 + seed 5) % 10 is 9
    assert sorted(held_out + recording.episodes("train")) == everything
    assert everything[0] == (0, 50) and everything[-1][1] == len(recording)


def test_a_writer_goes_on_where_it_stopped(small_recording, small_spec, make_episode):
    writer = RecordingWriter(small_recording, small_spec, 5)
    assert (writer.episodes, writer.frames) == (12, sum(range(50, 62)))
    writer.append(make_episode(77, 9))
    recording = Recording(small_recording)
    assert_equal(recording.episode(recording.episodes()[-1]), make_episode(77, 9))
    assert_equal(recording.episode(recording.episodes()[3]), make_episode(3, 53))


@pytest.mark.parametrize("field", [*FIELDS, "episode_ends"])
def test_a_write_cut_off_anywhere_loses_only_itself(small_recording, small_spec, make_episode, monkeypatch, field):
    """Dies when the named array has been made longer, but not filled."""
    writer = RecordingWriter(small_recording, small_spec, 5)
    resize = zarr.Array.resize

    def die(array, shape):
        resize(array, shape)
        if array.basename == field:
            raise KeyboardInterrupt

    monkeypatch.setattr(zarr.Array, "resize", die)
    with pytest.raises(KeyboardInterrupt):
        writer.append(make_episode(77, 99))
    monkeypatch.undo()
    assert len(Recording(small_recording).ends) == 12
    writer = RecordingWriter(small_recording, small_spec, 5)
    writer.append(make_episode(78, 9))
    recording = Recording(small_recording)
    assert len(recording.ends) == 13
    assert_equal(recording.episode(recording.episodes()[-1]), make_episode(78, 9))
    assert_equal(recording.episode(recording.episodes()[11]), make_episode(11, 61))


def test_another_world_or_seed_is_refused(small_recording, small_spec):
    for spec, seed in ((dataclasses.replace(small_spec, name="other"), 5), (small_spec, 6)):
        with pytest.raises(WorldsimError, match=r"holds another recording \(small, seed 5, 32x16\)"):
            RecordingWriter(small_recording, spec, seed)
    assert len(Recording(small_recording)) == sum(range(50, 62))


def test_a_folder_with_other_things_is_left_alone(tmp_path, small_spec):
    (tmp_path / "diary.txt").write_text("dear diary")
    with pytest.raises(WorldsimError, match="no recording and not an empty folder"):
        RecordingWriter(tmp_path, small_spec)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_an_empty_folder_is_used(tmp_path, small_spec):
    (tmp_path / "new").mkdir()
    RecordingWriter(tmp_path / "new", small_spec)
    assert len(Recording(tmp_path / "new")) == 0


def test_no_recording_says_how_to_make_one(tmp_path):
    with pytest.raises(WorldsimError, match="worldsim record"):
        Recording(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["zarr.json", "frames/zarr.json", "episode_ends/zarr.json"])
def test_damaged_files_are_one_error(small_recording, name):
    (small_recording / name).write_text("{")
    with pytest.raises(WorldsimError, match="small"):
        Recording(small_recording)


def test_fewer_frames_than_claimed_is_damage(small_recording):
    zarr.open_group(str(small_recording))["actions"].resize((100,))
    with pytest.raises(WorldsimError, match="damaged"):
        Recording(small_recording)


def test_a_full_disk_is_one_error_and_loses_nothing(small_recording, small_spec, make_episode, monkeypatch):
    writer = RecordingWriter(small_recording, small_spec, 5)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zarr.Array, "resize", full)
    with pytest.raises(WorldsimError, match=r"disk full .* its 12 whole episodes are safe"):
        writer.append(make_episode(77, 9))
    assert len(Recording(small_recording).ends) == 12


def test_a_place_that_cannot_be_written_is_one_error(small_spec):
    with pytest.raises(WorldsimError, match="can't write"):
        RecordingWriter("/proc/nothing/here", small_spec)
