"""Videos of all kinds become recordings: upright, at one size and clock, never across a cut; what was left is told."""

import json

import cv2
import numpy as np
import pytest
from video_files import FPS, H, W, scene, turn, write

from worldsim.cli.import_ import ImportConfig, import_
from worldsim.data.importing import importer, lerobot
from worldsim.data.importing.decode import decode_video
from worldsim.data.importing.importer import ImportSettings, import_videos, report_path, sheet_path
from worldsim.data.importing.shape import Shape, find_bars
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError

SETTINGS = ImportSettings(height=H, width=W, fit="stretch", clip_frames=512)


def imported(tmp_path, settings=SETTINGS, name="game"):
    report = import_videos([tmp_path / "clips"], tmp_path / name, settings)
    return report, Recording(tmp_path / name)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    return folder


def close(frames, truth, levels=6):
    return np.abs(frames.astype(int) - truth).mean() < levels


def test_a_video_comes_in_frame_by_frame(tmp_path, clips):
    frames = scene(0, 40)
    write(clips / "walk.mp4", frames)
    report, recording = imported(tmp_path)
    assert recording.frames.shape == (40, H, W, 3) and close(recording.frames[:], frames)
    assert recording.spec.fps == FPS and len(recording.spec.actions) == 1
    assert recording.origin["actions"] == "unknown"
    assert recording.actions.tolist() == [0] * 39 + [-1]
    assert report.frames == 40 and report.done and not report.left


def test_a_rotation_flag_is_followed(tmp_path, clips):
    write(clips / "tall.mp4", scene(0, 30))
    turn(clips / "tall.mp4")
    capture = cv2.VideoCapture(str(clips / "tall.mp4"))  # follows the flag too
    _, expected = capture.read()
    _, frame = next(decode_video(clips / "tall.mp4"))
    assert frame.shape == (W, H, 3) == expected.shape
    assert close(frame, expected[..., ::-1])


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "source"),
    [
        ("grey.mkv", "ffv1", "gray", "gray"),
        ("alpha.mov", "qtrle", "argb", "rgba"),
        ("deep.mkv", "ffv1", "yuv420p10le", "rgb24"),
        ("old.avi", "mpeg4", "yuv420p", "rgb24"),
        ("web.webm", "libvpx-vp9", "yuv420p", "rgb24"),
    ],
)
def test_files_of_all_kinds(tmp_path, clips, name, codec, pix_fmt, source):
    frames = truth = scene(1, 30)
    if source == "gray":
        frames = frames[..., 0].copy()
        truth = np.repeat(frames[..., None], 3, axis=-1)
    if source == "rgba":
        opaque = np.full((*frames.shape[:3], 1), 255, np.uint8)
        opaque[:, : H // 2] = 0
        frames, truth = np.concatenate([frames, opaque], -1), np.where(opaque > 0, frames, 0)
    write(clips / name, frames, codec=codec, pix_fmt=pix_fmt, source=source)
    _, recording = imported(tmp_path)
    assert len(recording) == 30 and close(recording.frames[:], truth, levels=9)


def test_odd_sizes_are_cropped_or_stretched():
    frame = np.zeros((51, 201, 3), np.uint8)
    frame[:, 75:126] = 200
    assert (Shape(24, 24, "crop")(frame) == 200).mean() > 0.9
    assert (Shape(24, 24, "stretch")(frame) == 200).mean() < 0.3


def test_a_variable_frame_rate_is_resampled_by_its_times(tmp_path, clips):
    """Ten frames a second, then thirty: at ten a second the block keeps its speed."""
    times = [i / 10 for i in range(20)] + [2 + i / 30 for i in range(60)]
    steps = np.round(np.array(times) * 10, 1)
    frames = np.repeat(scene(0, 1), 80, axis=0) // 2
    for frame, step in zip(frames, steps, strict=True):
        frame[20:36, int(2 * step) : int(2 * step) + 16] = 250
    write(clips / "variable.mkv", frames, codec="ffv1", pix_fmt="bgr0", source="rgb24", times=times)
    _, recording = imported(tmp_path, ImportSettings(H, W, fps=10, fit="stretch", clip_frames=512))
    assert abs(len(recording) - 40) <= 1
    left = [int((frame[28] > 240).all(-1).argmax()) for frame in recording.frames[:]]
    assert np.abs(np.diff(left) - 2).max() <= 1 and left[-1] == pytest.approx(2 * (len(left) - 1), abs=2)


def test_no_clip_goes_across_a_cut(tmp_path, clips):
    shots = [scene(seed, 30 + seed) for seed in range(4)]
    write(clips / "cut.mp4", np.concatenate(shots))
    report, recording = imported(tmp_path)
    assert np.diff([0, *recording.ends]).tolist() == [30, 31, 32, 33]
    assert report.sources[0].cuts == 3


def test_a_fast_camera_and_a_flash_are_no_cuts(tmp_path, clips):
    wide = scene(7, 1, width=W + 400)[0]
    frames = np.stack([wide[:, 8 * t : 8 * t + W] for t in range(40)])
    frames[20] = np.minimum(frames[20].astype(int) + 90, 255)
    write(clips / "pan.mp4", frames)
    report, recording = imported(tmp_path)
    assert len(recording.ends) == 1 and report.sources[0].cuts == 0


def test_repeated_frames_and_still_stretches_are_left_out(tmp_path, clips):
    frames = scene(2, 30)
    still = np.repeat(frames[-1:], 60, axis=0)
    moves = scene(3, 30)
    write(clips / "doubled.mp4", np.concatenate([frames.repeat(2, axis=0), still]))
    write(clips / "moves.mp4", moves)
    report, recording = imported(tmp_path)
    assert len(recording) == 60, "each frame once, and nothing of the still end"
    assert report.left["repeated"] == 29 and report.left["still"] > 55


def test_a_pause_is_play_too(tmp_path, clips):
    frames = scene(2, 40)
    write(clips / "pause.mp4", np.concatenate([frames[:20], frames[19:20].repeat(5, axis=0), frames[20:]]))
    _, recording = imported(tmp_path)
    assert len(recording) == 45


def test_black_bars_are_cut_off(tmp_path, clips):
    frames = scene(4, 30)
    wide = np.zeros((30, H + 40, W, 3), np.uint8)
    wide[:, 16 : 16 + H] = frames
    write(clips / "bars.mp4", wide)
    report, recording = imported(tmp_path)
    assert report.sources[0].bars and close(recording.frames[:], frames, levels=9)


def test_a_dark_sky_is_no_bar():
    frames = scene(4, 9)
    frames[:, :20] = 3
    assert not find_bars(list(frames))
    frames[:, -20:] = 3
    assert find_bars(list(frames)).top == pytest.approx(20 / H)


def test_hundreds_of_files_stay_in_order_and_enough_are_held_out(tmp_path, clips):
    for i in range(12):
        write(clips / f"clip-{i}.mp4", scene(i, 18))
    (clips / "notes.txt").write_text("no video")
    (clips / "broken.mp4").write_bytes(b"no video either")
    report, recording = imported(tmp_path)
    assert [s.name for s in report.sources if s.clips] == [f"clip-{i}.mp4" for i in range(12)]
    assert len(recording.episodes("held-out")) == 1
    assert close(recording.frames[10 * 18], scene(10, 1)[0]), "clip-10 comes after clip-9"
    text = "\n".join(report.lines())
    assert "broken.mp4" in text and "notes.txt" in text
    assert json.loads(report_path(tmp_path / "game").read_text())["done"]
    assert cv2.imread(str(sheet_path(tmp_path / "game"))).std() > 10


def test_a_long_shot_becomes_enough_clips(tmp_path, clips):
    write(clips / "long.mp4", scene(5, 400))
    _, recording = imported(tmp_path, ImportSettings(H, W, fit="stretch"))
    assert len(recording.ends) >= 10 and len(recording.episodes("held-out"))


def test_a_stopped_import_goes_on_to_the_same_recording(tmp_path, clips, monkeypatch):
    for i in range(4):
        write(clips / f"{i}.mp4", np.concatenate([scene(2 * i, 20), scene(2 * i + 1, 20)]))
    _, whole = imported(tmp_path, name="whole")
    append, appended = importer.RecordingWriter.append, []

    def die(self, episode, seed=None):
        if len(appended) == 5:
            raise KeyboardInterrupt
        appended.append(seed)
        append(self, episode, seed)

    monkeypatch.setattr(importer.RecordingWriter, "append", die)
    with pytest.raises(KeyboardInterrupt):
        imported(tmp_path)
    monkeypatch.setattr(importer.RecordingWriter, "append", append)
    report, resumed = imported(tmp_path)
    assert np.array_equal(resumed.frames[:], whole.frames[:]) and np.array_equal(resumed.ends, whole.ends)
    assert report.frames == len(whole)
    again, _ = imported(tmp_path)
    assert again.frames == len(whole)


def test_pictures_with_actions_come_in_one_by_one(tmp_path, clips):
    frames, names = scene(6, 30), (["left", "noop", "jump", "jump-left", "noop"] * 6)
    frames[10:14] = frames[10]  # still, and yet four steps
    frames[20:] = scene(8, 10)  # of another place, and yet one episode
    for i, frame in enumerate(frames):
        cv2.imwrite(str(clips / f"frame-{i}.png"), frame[..., ::-1])
    (clips / "actions.csv").write_text("action\n" + "\n".join(names) + "\n")
    _, recording = imported(tmp_path)
    assert np.array_equal(recording.frames[:], frames)
    assert [recording.spec.actions[a].name for a in recording.actions[:-1]] == names[:-1]
    assert recording.spec.actions[recording.spec.noop].name == "noop"
    assert recording.spec.action_for({"Space", "ArrowLeft"}) == recording.spec.action_index("jump-left")


def test_a_video_with_a_table_of_actions(tmp_path, clips):
    write(clips / "play.mp4", scene(6, 30))
    (clips / "play.actions.csv").write_text("action\n" + "\n".join("0" if i % 3 else "4" for i in range(30)))
    _, recording = imported(tmp_path)
    assert [a.name for a in recording.spec.actions] == ["0", "4"]
    assert recording.actions[:6].tolist() == [1, 0, 0, 1, 0, 0]
    (clips / "play.actions.csv").write_text("action\n1\n2\n")
    with pytest.raises(WorldsimError, match="more frames than"):
        imported(tmp_path, name="short")
    (clips / "play.actions.csv").write_text("key\n1\n2\n")
    with pytest.raises(WorldsimError, match="column `action`"):
        imported(tmp_path, name="no-column")


def test_a_lerobot_dataset_of_version_2(tmp_path, clips):
    (clips / "meta").mkdir()
    (clips / "videos/chunk-000/eye").mkdir(parents=True)
    template = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    facts = {"features": {"eye": {"dtype": "video"}, "action": {"dtype": "float32"}}, "total_episodes": 2}
    info = {**facts, "video_path": template, "codebase_version": "v2.1", "chunks_size": 1000}
    (clips / lerobot.INFO).write_text(json.dumps(info))
    for i in range(2):
        write(clips / f"videos/chunk-000/eye/episode_{i:06d}.mp4", scene(i, 20))
    report, recording = imported(tmp_path)
    assert [s.name for s in report.sources] == ["episode 0", "episode 1"] and len(recording) == 40
    with pytest.raises(WorldsimError, match="no camera 'hand'"):
        imported(tmp_path, ImportSettings(H, W, camera="hand"), "other")


def test_a_lerobot_dataset_of_version_3(tmp_path, clips):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (clips / "meta/episodes/chunk-000").mkdir(parents=True)
    (clips / "videos/eye/chunk-000").mkdir(parents=True)
    template = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    info = {"features": {"eye": {"dtype": "video"}}, "video_path": template, "codebase_version": "v3.0"}
    (clips / lerobot.INFO).write_text(json.dumps(info))
    write(clips / "videos/eye/chunk-000/file-000.mp4", np.concatenate([scene(0, 20), scene(1, 30)]))
    rows = [(0, 0, 0, 0.0, 2.0), (1, 0, 0, 2.0, 5.0)]
    names = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
    columns = ["episode_index", *(f"videos/eye/{name}" for name in names)]
    table = pyarrow.table(dict(zip(columns, zip(*rows, strict=True), strict=True)))
    parquet.write_table(table, clips / "meta/episodes/chunk-000/file-000.parquet")
    _, recording = imported(tmp_path)
    assert recording.ends.tolist() == [20, 50] and close(recording.frames[20:], scene(1, 30))


def fails(tmp_path, match):
    with pytest.raises(WorldsimError, match=match):
        import_(ImportConfig((tmp_path / "clips",), tmp_path / "game", size=f"{W}x{H}"))
    assert [path.name for path in tmp_path.iterdir()] == ["clips"], "nothing half-done stays"


def test_a_folder_without_video(tmp_path, clips):
    (clips / "notes.txt").write_text("no video")
    fails(tmp_path, "no video in")
    with pytest.raises(WorldsimError, match="no file or folder"):
        import_(ImportConfig((tmp_path / "nowhere",), tmp_path / "game"))
    assert not (tmp_path / "game").exists()


def test_a_file_that_is_no_video(tmp_path, clips):
    (clips / "text.mp4").write_text("no video")
    fails(tmp_path, "is no video")


def test_one_frame(tmp_path, clips):
    write(clips / "one.mp4", scene(0, 1))
    fails(tmp_path, "longer")


def test_two_frame_sizes(tmp_path, clips):
    for i in range(2):
        cv2.imwrite(str(clips / f"{i}.png"), scene(0, 1, height=H + 8 * i)[0])
    fails(tmp_path, "two frame sizes")


def test_a_still_video(tmp_path, clips):
    write(clips / "still.mp4", scene(0, 1).repeat(60, axis=0))
    fails(tmp_path, "nothing moves")


def test_a_video_that_is_cut_off_gives_what_it_has(tmp_path, clips):
    write(clips / "whole.mkv", scene(0, 60), codec="ffv1", pix_fmt="bgr0")
    data = (clips / "whole.mkv").read_bytes()
    (clips / "whole.mkv").write_bytes(data[: len(data) // 2])
    _, recording = imported(tmp_path)
    assert 16 <= len(recording) < 60
