"""Video files: what was written is read again; small frames come out enlarged and crisp; a failure leaves no file."""

import numpy as np
import pytest

from worldsim.data.video import VideoWriter, read_frames, video_fps
from worldsim.errors import WorldsimError

HEIGHT, WIDTH, FPS = 33, 48, 17.5  # unequal, and an odd side


@pytest.fixture
def frames():
    """A bright square that walks across a coloured ground, uint8 [12, H, W, 3]."""
    frames = np.full((12, HEIGHT, WIDTH, 3), (40, 90, 60), np.uint8)
    for t, frame in enumerate(frames):
        frame[8:16, 3 * t : 3 * t + 8] = (230, 210, 200)
    return frames


def test_frames_come_back(tmp_path, frames):
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, FPS) as video:
        for frame in frames:
            video.write(frame)
        assert not path.exists(), "the name must stand for a whole file only"
    back = np.stack(list(read_frames(path, HEIGHT, WIDTH)))
    assert back.shape == frames.shape and back.dtype == np.uint8
    assert np.abs(back.astype(int) - frames).mean() < 3
    assert video_fps(path) == pytest.approx(FPS, rel=0.01)
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]


def test_small_frames_are_enlarged_crisply(tmp_path, frames):
    path = tmp_path / "walk.mp4"
    with VideoWriter(path, FPS) as video:
        for frame in frames:
            video.write(frame)
    large = next(read_frames(path))
    assert large.shape == (496, 720, 3)
    edge = large[12 * 15, 8 * 15 - 4 : 8 * 15 + 4, 0].astype(int)
    assert np.abs(np.diff(edge)).max() > 120, "an edge must stay an edge, not a ramp"


def test_an_exception_leaves_no_file(tmp_path, frames):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "walk.mp4", FPS) as video:
        video.write(frames[0])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_an_exception_leaves_the_older_file(tmp_path, frames):
    path = tmp_path / "walk.mp4"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError), VideoWriter(path, FPS) as video:
        video.write(frames[0])
        raise RuntimeError
    assert path.read_bytes() == b"older"


def test_no_frames_no_file(tmp_path):
    with VideoWriter(tmp_path / "walk.mp4", FPS):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["walk.nonsense", "walk", "."])
def test_places_that_cannot_be_written(tmp_path, name):
    with pytest.raises(WorldsimError, match="can't write"):
        VideoWriter(tmp_path / name, FPS)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_clear_error(tmp_path, frames):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX only")
    rng = np.random.default_rng(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(WorldsimError, match="disk full while"), VideoWriter(tmp_path / "walk.mp4", FPS) as video:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # Python ignores SIGXFSZ: writes fail instead
        try:
            for _ in range(150):
                video.write(rng.integers(0, 256, frames[0].shape, np.uint8))
            video.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_unreadable_files(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(WorldsimError, match="can't read"):
            list(read_frames(path))
