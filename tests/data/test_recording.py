"""Recordings: what was written comes back, whole episodes only, and nothing else is touched."""

from __future__ import annotations

import dataclasses
import errno

import numpy as np
import pytest
import zarr

from worldsim.data.recording import EPISODES, FIELDS, SMALL, Recording, RecordingWriter
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


def test_the_hidden_layer_comes_back_where_the_world_has_one(tmp_path, small_spec, make_episode):
    episodes = [dataclasses.replace(make_episode(i, 20), hidden_layer=make_episode(9 + i, 20).frames) for i in range(3)]
    for name, hidden_layer in (("with", True), ("without", False)):
        with RecordingWriter(tmp_path / name, small_spec, hidden_layer=hidden_layer) as writer:
            for episode in episodes[:2]:
                writer.append(episode)
        with RecordingWriter(tmp_path / name, small_spec, hidden_layer=not hidden_layer) as writer:
            writer.append(episodes[2])  # goes on as it began
    for i, episode in enumerate(Recording(tmp_path / "with").iter_episodes()):
        assert_equal(episode, episodes[i])
        np.testing.assert_array_equal(episode.hidden_layer, episodes[i].hidden_layer)
    (tmp_path / "with" / "hidden_layer" / "c" / "0" / "0" / "0" / "0").unlink()
    with pytest.raises(WorldsimError, match="hidden_layer.* is missing"):  # and not read as black
        Recording(tmp_path / "with")
    without = Recording(tmp_path / "without")
    assert without.hidden_layer is None and without.episode((0, 20)).hidden_layer is None and len(without) == 60


@pytest.mark.parametrize(
    "chunk",
    (
        *("actions/c/0", "rewards/c/0", "terminated/c/0", "state/c/0/0", "frames/c/3/0/0/0"),
        *("frame_checksums/c/0/0", "episode_checksums/c/0", "episode_seeds/c/0"),
    ),
)
def test_a_chunk_that_is_missing_is_one_error_and_never_zeros(small_recording, chunk):
    (small_recording / chunk).unlink()
    with pytest.raises(WorldsimError, match=f"{chunk} is missing.*Record again"):
        Recording(small_recording)


def test_a_cut_chunk_of_frames_is_one_error_when_they_are_read(small_recording):
    chunk = small_recording / "frames/c/3/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    recording = Recording(small_recording)
    assert recording.frames[0:64].any()
    with pytest.raises(WorldsimError, match="small can't be read.*Record again"):
        recording.frames[200:210]


@pytest.mark.parametrize("field", SMALL)
def test_one_value_that_has_changed_is_found_when_a_recording_is_opened(small_recording, field):
    array = zarr.open_group(str(small_recording))[field]
    values = array[:]
    values[7] = 1 - values[7]
    array[:] = values
    with pytest.raises(WorldsimError, match="frames 0 to 49 have changed"):
        Recording(small_recording)


def test_one_pixel_that_has_changed_is_found_when_its_frame_is_read(small_recording):
    frames = zarr.open_group(str(small_recording))["frames"]
    frames[70, 3, 4, 1] = frames[70, 3, 4, 1] ^ 1
    recording = Recording(small_recording)
    assert len(recording.frames[0:70]) == 70 and recording.frames[71].shape == (16, 32, 3)
    for index in (70, slice(64, 72)):
        with pytest.raises(WorldsimError, match="frame 70 of frames has changed"):
            recording.frames[index]
    with pytest.raises(WorldsimError, match="frame 70 of frames has changed"):
        list(recording.verify())


def test_swapped_chunks_are_found(small_recording):
    one, other = (small_recording / f"frames/c/{i}/0/0/0" for i in (2, 3))
    one.rename(one.with_name("kept"))
    other.rename(one)
    one.with_name("kept").rename(other)
    with pytest.raises(WorldsimError, match="frame 128 of frames has changed"):
        list(Recording(small_recording).verify())


def test_a_whole_recording_is_verified_frame_by_frame(small_recording):
    assert list(Recording(small_recording).verify())[-1] == len(Recording(small_recording))


def test_a_spec_that_was_changed_is_found(small_recording):
    group = zarr.open_group(str(small_recording))
    group.attrs["seed"] = 6
    with pytest.raises(WorldsimError, match="attributes have changed"):
        Recording(small_recording)


def test_an_older_recording_is_refused_by_name(small_recording):
    zarr.open_group(str(small_recording)).attrs["format"] = 1
    with pytest.raises(WorldsimError, match="small is a recording of format 1; this worldsim reads 2. Record again"):
        Recording(small_recording)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("field", ["rewards", "state"])
def test_a_value_that_nothing_can_learn_from_is_refused_by_its_step(
    small_recording, small_spec, make_episode, field, value
):
    episode = make_episode(77, 30)
    getattr(episode, field)[17] = value
    with RecordingWriter(small_recording, small_spec, 5) as writer:
        with pytest.raises(WorldsimError, match=rf"episode 12 \(seed 17\), step 17: the {field.rstrip('s')} is"):
            writer.append(episode)
        writer.append(make_episode(78, 30))
    assert len(Recording(small_recording).ends) == 13


def test_seeds_of_episodes_are_kept(small_recording, small_spec, make_episode):
    with RecordingWriter(small_recording, small_spec, 5) as writer:
        assert writer.next_seed == 17
        writer.append(make_episode(77, 9), seed=19)
    with RecordingWriter(small_recording, small_spec, 5) as writer:
        assert writer.next_seed == 20
    assert Recording(small_recording).seeds.tolist() == [*range(5, 17), 19]


def test_two_writers_in_one_folder_are_one_too_many(small_recording, small_spec, make_episode):
    with RecordingWriter(small_recording, small_spec, 5) as writer:
        with pytest.raises(WorldsimError, match="small is being written by another process"):
            RecordingWriter(small_recording, small_spec, 5)
        writer.append(make_episode(77, 9))
    assert not (small_recording / ".lock").exists()
    with RecordingWriter(small_recording, small_spec, 5) as writer:
        assert writer.episodes == 13


def test_frames_are_sliced_like_an_array(small_recording):
    frames = Recording(small_recording).frames
    everything = frames[:]
    assert frames.shape == everything.shape and len(frames) == 666 and frames.dtype == np.uint8
    for index in (0, -1, np.int64(70), slice(60, 70), slice(-3, None), slice(None, None, 50), slice(9, 9)):
        np.testing.assert_array_equal(frames[index], everything[index])
    with pytest.raises(IndexError):
        frames[666]


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


@pytest.mark.parametrize("field", [*FIELDS, "frame_checksums", *EPISODES])
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
    writer.close()
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
    with pytest.raises(WorldsimError, match="it has 100 actions, and its episodes claim 666"):
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
