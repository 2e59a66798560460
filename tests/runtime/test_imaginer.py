"""An imaginer as a folder: painted by ONNX Runtime as by torch, whole or refused, and what is asked of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from tiny import HEIGHT, WIDTH
from tiny_imaginer import ORIGIN, tiny_networks, tiny_reward

from worldsim.artifact import digest
from worldsim.errors import WorldsimError
from worldsim.models.words import MOST_WORDS
from worldsim.runtime import imaginer as module
from worldsim.runtime.export_imaginer import export_imaginer, load_networks, load_reward, picture_size
from worldsim.runtime.imagine import imagine, imagine_pictures
from worldsim.runtime.imaginer import ImaginerBundle, open_imaginer, shipped_imaginers
from worldsim.runtime.painter import BEST_OF, Painter, unknown_words
from worldsim.runtime.reward import PictureScorer

TEXT = "a red ball, at night"


@pytest.fixture(scope="module")
def painter(tiny_imaginer: Path) -> Painter:
    return Painter(open_imaginer(tiny_imaginer), "cpu", threads=1)


def test_it_paints_what_torch_does(painter: Painter) -> None:
    for text, seed in ((TEXT, 0), ("ball", 3), ("word " * MOST_WORDS, 1)):
        ours = painter.paint(text, steps=6, seed=seed)
        theirs = imagine(load_networks(painter.imaginer), None, text, (HEIGHT, WIDTH), frames=1, steps=6, seed=seed)[0]
        assert ours.shape == (HEIGHT, WIDTH, 3) and ours.dtype == np.uint8 and ours.std() > 10
        assert np.abs(ours.astype(int) - theirs).mean() < 2  # torch may compute in bfloat16


def test_words_seed_and_guidance_matter_and_nothing_else(painter: Painter) -> None:
    first = painter.paint(TEXT, steps=4)
    assert np.array_equal(first, painter.paint(TEXT, "tiny", steps=4))
    for other in (
        painter.paint(TEXT, steps=4, seed=1),
        painter.paint("ball", steps=4),
        painter.paint(TEXT, steps=4, guidance=6),
    ):
        assert not np.array_equal(first, other)


def test_painting_tells_how_far_it_is_and_can_be_stopped(painter: Painter) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, steps: int) -> None:
        seen.append((done, steps))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        painter.paint(TEXT, steps=5, progress=progress)
    assert seen == [(0, 5), (1, 5), (2, 5)]


def test_of_several_pictures_the_one_that_shows_most_of_the_words_is_kept(tmp_path: Path) -> None:
    apart = export_imaginer(tmp_path / "out", tiny_networks(), {"tiny": (HEIGHT, WIDTH)}, ORIGIN, tiny_reward())
    assert apart < 1e-3
    painter = Painter(open_imaginer(tmp_path / "out"), "cpu", threads=1)
    used = painter.imaginer.graph_weights[f"reward-{WIDTH}x{HEIGHT}"]
    assert {name.split(".")[0] for name in used} == {"autoencoder", "reward"}  # none is in the graph once more
    scorer = PictureScorer(load_reward(painter.imaginer))
    frames = imagine_pictures(tiny_networks(), TEXT, (HEIGHT, WIDTH), BEST_OF, seed=5, steps=1)
    given = scorer.pictures(frames, TEXT).numpy()

    def chosen(count: int) -> int:
        """Which of the pictures the painter keeps."""
        painted = painter.paint(TEXT, steps=1, seed=5, best_of=count).astype(int)
        apart = np.abs(frames - painted).mean((1, 2, 3))
        assert apart.min() < 2  # the CPU may compute in bfloat16
        return int(apart.argmin())

    kept = [chosen(count) for count in (1, 2, 3, 4)]
    for count, best in zip((1, 2, 3, 4), kept, strict=True):
        assert best < count and given[best] > given[:count].max() - 0.1 * given.std()
    assert len(set(kept)) > 1
    assert chosen(0) == chosen(BEST_OF)
    assert scorer.score(frames[:9], TEXT) == pytest.approx(float(given[[0, 4, 8]].mean()), abs=0.05)


def test_what_cant_tell_which_is_the_best(painter: Painter, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="the best of 2 pictures: this imaginer can't tell"):
        painter.paint(TEXT, best_of=2)
    with pytest.raises(WorldsimError, match="can't tell which of several pictures is the best"):
        load_reward(painter.imaginer)
    with pytest.raises(WorldsimError, match="other words than the video DiT"):
        export_imaginer(tmp_path / "out", tiny_networks(), {"tiny": (HEIGHT, WIDTH)}, ORIGIN, tiny_reward(("ball",)))


def test_unknown_words_are_said(painter: Painter) -> None:
    assert unknown_words(painter.imaginer, "A red ZEBRA, a gnu") == (
        "words that it doesn't know, and reads as something unknown: zebra, gnu"
    )
    assert unknown_words(painter.imaginer, TEXT) == ""


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "a prompt without words"),
        (" ,;! ", {}, "a prompt without words"),
        ("ball " * 1000, {}, "5,000 letters; at most 2,000"),
        ("a " * (MOST_WORDS + 1), {}, "a prompt of 97 words"),
        (TEXT, {"world": "doom-maze"}, "draws tiny, not 'doom-maze'"),
        (TEXT, {"steps": -1}, "-1 steps"),
        (TEXT, {"seed": -1}, "seed -1"),
    ],
)
def test_what_cant_be_painted_is_one_error(painter: Painter, text: str, options: dict, message: str) -> None:
    with pytest.raises(WorldsimError, match=message):
        painter.paint(text, **options)


def test_pictures_are_whole_tokens_no_smaller_than_the_worlds_frames() -> None:
    model = tiny_networks()
    for frame, picture in (((32, 48), (32, 48)), ((60, 90), (64, 96)), ((10, 33), (32, 48))):
        size = picture_size(model, *frame)
        assert (size.height, size.width) == picture and size.tokens == picture[0] * picture[1] // 256
        drawn = np.arange(picture[0] * picture[1] * 3).reshape(*picture, 3)
        cut = size.frame(drawn)
        assert cut.shape[:2] == (frame if min(frame) >= 32 else picture)
        top, left = (picture[0] - cut.shape[0]) // 2, (picture[1] - cut.shape[1]) // 2
        assert np.array_equal(cut[0, 0], drawn[top, left])


def test_a_painted_picture_is_a_frame_of_its_world(tmp_path: Path) -> None:
    """Cut from the middle of whole tokens; a manifest that asks for more than there is is refused."""
    export_imaginer(tmp_path / "out", tiny_networks(), {"odd": (36, 44), "tiny": (HEIGHT, WIDTH)}, ORIGIN)
    whole = ImaginerBundle(tmp_path / "out")
    assert Painter(whole, "cpu", threads=1).paint("a red ball", "odd", steps=2).shape == (36, 44, 3)
    assert Painter(whole, "cpu", threads=1).paint("a red ball", "tiny", steps=2).shape == (HEIGHT, WIDTH, 3)
    worlds = json.loads((tmp_path / "out" / "imaginer.json").read_text())["worlds"]
    worlds["odd"]["frame_height"] = worlds["odd"]["height"] + 1
    with pytest.raises(WorldsimError, match="must be a whole number from 0 to 48"):
        ImaginerBundle(changed(tmp_path / "out", tmp_path / "tall", worlds=worlds))


def test_networks_gone_wrong_are_not_exported(tmp_path: Path) -> None:
    model = tiny_networks()
    model.dit.out.weight.data[0, 0] = float("nan")
    with pytest.raises(WorldsimError, match="dit.out.weight"):
        export_imaginer(tmp_path / "out", model, {"tiny": (HEIGHT, WIDTH)}, ORIGIN)
    assert not (tmp_path / "out").exists()


def changed(source: Path, out: Path, **fields: object) -> Path:
    """A copy whose manifest says something else, with a digest that fits."""
    shutil.copytree(source, out)
    manifest = json.loads((out / "imaginer.json").read_text()) | fields
    manifest["digest"] = digest(manifest)
    (out / "imaginer.json").write_text(json.dumps(manifest))
    return out


def test_broken_and_hostile_folders_are_one_error(tiny_imaginer: Path, tmp_path: Path) -> None:
    manifest = json.loads((tiny_imaginer / "imaginer.json").read_text())
    size = manifest["worlds"]["tiny"]
    words = {**manifest["configs"]["dit"]["text"], "words": ["x" * 1000]}
    huge = {**manifest["configs"], "dit": {**manifest["configs"]["dit"], "width": 10**9}}
    for number, (fields, message) in enumerate(
        (
            ({"format": 99}, "is of format 99"),
            ({"worlds": {}}, "it draws no world"),
            ({"worlds": {"tiny": {**size, "width": 10**6}}}, "a size of 1000000"),
            ({"worlds": {"tiny": {**size, "width": 64}}}, "denoise-64x32"),
            ({"configs": huge}, "a setting of 1000000000"),
            ({"configs": {**manifest["configs"], "dit": {"text": words}}}, "a vocabulary"),
        )
    ):
        with pytest.raises(WorldsimError, match=message):
            ImaginerBundle(changed(tiny_imaginer, tmp_path / str(number), **fields))
    cut = tmp_path / "cut"
    shutil.copytree(tiny_imaginer, cut)
    weights = cut / "model.safetensors"
    whole = weights.read_bytes()
    opened = ImaginerBundle(cut)
    weights.write_bytes(whole[:-10])
    with pytest.raises(WorldsimError, match="is cut"):
        ImaginerBundle(cut)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WorldsimError, match="was changed"):
        ImaginerBundle(cut)
    with pytest.raises(WorldsimError, match="was changed or replaced"):
        Painter(opened, "cpu")


def test_weights_of_other_networks_are_refused(tiny_imaginer: Path, tmp_path: Path) -> None:
    for name, value in (("depth", 3), ("width", 100_000), ("patience", 5)):
        configs = json.loads((tiny_imaginer / "imaginer.json").read_text())["configs"]
        configs["dit"][name] = value
        with pytest.raises(WorldsimError, match="weights and configs do not fit"):
            load_networks(ImaginerBundle(changed(tiny_imaginer, tmp_path / name, configs=configs)))


def test_names(tiny_imaginer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorldsimError, match="no imaginer 'nowhere'"):
        open_imaginer("nowhere")
    with pytest.raises(WorldsimError, match=r"it has no imaginer\.json"):
        open_imaginer(tmp_path)
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    with pytest.raises(WorldsimError, match="no imaginer is installed"):
        open_imaginer()
    shutil.copytree(tiny_imaginer, tmp_path / "doodle")
    assert shipped_imaginers() == ["doodle"]
    assert open_imaginer().digest == open_imaginer("doodle").digest == open_imaginer(tiny_imaginer).digest
    assert open_imaginer().origin == ORIGIN and open_imaginer().world == "tiny"


def test_words_and_worlds_find_their_imaginer(
    tiny_imaginer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped one that draws the world; of several, the one that knows the words; of equals, the first."""
    monkeypatch.setattr(module, "SHIPPED", tmp_path)
    shutil.copytree(tiny_imaginer, tmp_path / "toybox")
    export_imaginer(tmp_path / "lakes", tiny_networks(("a", "lake", "meadow")), {"waters": (HEIGHT, WIDTH)}, ORIGIN)
    assert shipped_imaginers() == ["toybox", "lakes"]

    def found(world: str = "", text: str = "") -> str:
        return open_imaginer("", world, text).name

    assert found() == found(text="a") == found(text="a zebra") == "toybox"
    assert found(text="a lake and a ball") == "toybox" and found(text="a lake by the meadow") == "lakes"
    assert found("waters") == found("waters", "a red ball at night") == "lakes" and found("tiny", "a lake") == "toybox"
    assert found("nowhere", "a lake") == "lakes"
    assert open_imaginer("toybox", "waters", "a lake").name == "toybox"


def test_the_shipped_weights_file_is_float16(tiny_imaginer: Path) -> None:
    stored = safetensors.numpy.load_file(tiny_imaginer / "model.safetensors")
    kinds = {array.dtype for name, array in stored.items() if "standardise" not in name}
    assert kinds == {np.dtype(np.float16)}
