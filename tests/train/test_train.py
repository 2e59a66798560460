"""Training: resumed equals uninterrupted, it learns, and it refuses what does not fit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.cli import record_permanence
from worldsim.cli.main import main
from worldsim.data.latents import LatentDataset, Log
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.data.windows import Windows
from worldsim.device import NATIVE, mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig, to_pixels
from worldsim.models.config import WorldModelConfig
from worldsim.models.flow import pseudo_huber
from worldsim.models.retention import Retention
from worldsim.models.world_model import WorldModel
from worldsim.runtime.bundle import open_world
from worldsim.spec import Action, WorldSpec
from worldsim.train.autoencoder import AutoencoderTraining, moving_weight, train_autoencoder
from worldsim.train.checkpoint import load_autoencoder, load_world_model, read, save_model, write
from worldsim.train.dynamics import DynamicsTraining, train_dynamics
from worldsim.train.motion import MotionTraining
from worldsim.train.muon import Muon, orthogonal
from worldsim.train.recipes.base import DynamicsSize, Finetune, Recipe
from worldsim.train.self_rollout import diverged_tokens
from worldsim.train.trainer import rate

SPEC = WorldSpec(
    "square", 32, 48, 10, 1, (Action("rest"), Action("right", ("right",))), {"right": ("ArrowRight",)}, ("x",)
)
TOKENIZER = AutoencoderConfig(channels=4, widths=(16, 16), blocks=1)
TOKENIZER_TRAINING = AutoencoderTraining(steps=6, batch=4, frames=256, mask=0.5)
SIZE = DynamicsSize(width=32, heads=2, depth=2, look_back=(1,), head_depth=1, window=3)
TRAINING = DynamicsTraining(
    steps=8,
    batch=2,
    length=6,
    self_rollout_start=0.25,
    self_rollout_max=4,
    divergence_threshold=0.5,
    huber=0.05,
    compile=False,
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A white square that steps right when told to."""
    path = tmp_path_factory.mktemp("recordings") / "square"
    writer = RecordingWriter(path, SPEC)
    for seed in range(10):
        actions = np.random.default_rng(seed).integers(0, 2, 80)
        x = np.concatenate([[0], np.cumsum(2 * actions)[:-1]]) % 44
        frames = np.zeros((80, 32, 48, 3), np.uint8)
        for frame, left in zip(frames, x, strict=True):
            frame[12:16, left : left + 4] = 255
        none = np.zeros(80)
        writer.append(
            Episode(frames, np.append(actions[:-1], -1), none, none.astype(bool), x[:, None].astype(np.float32))
        )
    return Recording(path)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read(path)[0]


def test_tokenizer_resumed_equals_uninterrupted(recording: Recording, tmp_path: Path) -> None:
    train_autoencoder(recording, tmp_path / "whole", TOKENIZER, TOKENIZER_TRAINING)
    half = dataclasses.replace(TOKENIZER_TRAINING, steps=3)
    train_autoencoder(recording, tmp_path / "parts", TOKENIZER, half)
    first = weights(tmp_path / "parts" / "autoencoder.safetensors")
    train_autoencoder(recording, tmp_path / "parts", TOKENIZER, TOKENIZER_TRAINING)
    whole, parts = (weights(tmp_path / name / "autoencoder.safetensors") for name in ("whole", "parts"))
    assert any(not torch.equal(first[k], parts[k]) for k in parts)
    # The rate of the first three steps is the warm-up's in both, so nothing may differ.
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


@pytest.mark.parametrize("memory", [(), ((4, 1), (16, 2))])
def test_dynamics_resumed_equals_uninterrupted(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: Retention
) -> None:
    for name in ("whole", "parts"):
        train_autoencoder(recording, tmp_path / name, TOKENIZER, TOKENIZER_TRAINING)
    autoencoder, _ = load_autoencoder(tmp_path / "whole" / "autoencoder.safetensors")
    config = dataclasses.replace(SIZE.config(recording, TOKENIZER), memory=memory, recall=(0,))
    training = dataclasses.replace(TRAINING, eventful=0.5 if memory else 0.0)
    train_dynamics(recording, autoencoder, tmp_path / "whole", config, training)

    from worldsim.train import loop

    stopped = loop.Average.update

    def killed_at_five(self: loop.Average, model: torch.nn.Module, step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt
        stopped(self, model, step)

    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.Average, "update", killed_at_five)
        train_dynamics(recording, autoencoder, tmp_path / "parts", config, training)
    assert read(tmp_path / "parts" / "dynamics.checkpoint")[1]["step"] == 5
    train_dynamics(recording, autoencoder, tmp_path / "parts", config, training)
    whole, parts = (weights(tmp_path / name / "dynamics.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    model, spec = load_world_model(tmp_path / "parts" / "dynamics.safetensors")
    assert spec == SPEC and model.config == config
    assert len(list((tmp_path / "parts").glob("strip-*.png"))) == 1
    assert list((tmp_path / "parts" / "curves" / "dynamics").iterdir())


def test_clips_nearly_as_long_as_an_episode(recording: Recording, tmp_path: Path) -> None:
    autoencoder = train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING)
    training = dataclasses.replace(TRAINING, steps=2, length=14, self_rollout_start=0.0, self_rollout_max=500)
    train_dynamics(recording, autoencoder, tmp_path, SIZE.config(recording, TOKENIZER), training)
    assert read(tmp_path / "dynamics.checkpoint")[1]["step"] == 2


def test_nothing_is_remembered_of_another_episode(recording: Recording, tmp_path: Path) -> None:
    autoencoder = train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING)
    clips = LatentDataset(recording, autoencoder, tmp_path)
    log = clips.log(np.array([160, 163, 239]), ((4, 1), (16, 2)))  # episodes are 80 frames long
    assert (log.age > 0).sum(1).tolist() == [0, 3, 10]
    assert log.actions.min() >= 0
    assert sorted(log.age[1].tolist())[-3:] == [1, 2, 3]


def test_where_a_view_that_turns_headed_and_went_is_told_from_its_pictures(tmp_path: Path) -> None:
    """In the rooms, whose picture a turn shifts by a cell: no place is read, and all are found but for a few."""
    rooms = tmp_path / "rooms"
    assert main(["record", "rooms", "--frames", "800", "--episode-frames", "80", "--out", str(rooms)]) == 0
    recording, config = Recording(rooms), dataclasses.replace(TOKENIZER, widths=(16,))
    autoencoder = train_autoencoder(recording, tmp_path, config, TOKENIZER_TRAINING)
    size = dataclasses.replace(SIZE, memory=((4, 1), (16, 2)), recall=(0,), copy_reach=1, pan=1, around=60)
    training = dataclasses.replace(TRAINING, steps=3, self_rollout_start=0.5)
    model = train_dynamics(recording, autoencoder, tmp_path, size.config(recording, config), training)
    clips = LatentDataset(recording, autoencoder, tmp_path)
    clips.find_places(model.panorama)
    sin, cos = (np.asarray(recording.state)[:, recording.spec.state_names.index(name)] for name in ("sin", "cos"))
    heading = np.rint(np.arctan2(sin, cos) * 60 / (2 * np.pi)).astype(int)
    within = np.flatnonzero(np.asarray(recording.actions)[:-1] >= 0)
    turned = (np.diff(heading)[within] + 30) % 60 - 30
    assert len(np.unique(turned)) == 3
    assert (np.diff(clips.places[:, 0].numpy())[within] == -turned).mean() > 0.99  # places go to the right
    x, y = (np.asarray(recording.state)[:, recording.spec.state_names.index(name)] for name in "xy")
    walked = np.hypot(np.diff(x), np.diff(y))[within] > 0.07
    stepped = np.hypot(*np.diff(clips.places[:, 1:].numpy(), axis=0)[within].T) > 0.5
    assert (walked == stepped).mean() > 0.95


def test_first_and_last_frames_are_drawn_as_often_as_others():
    windows = Windows([(0, 60), (60, 85), (85, 300)], 20)
    drawn = np.concatenate([windows.draw(500, 0, step).ravel() for step in range(40)])
    seen = np.bincount(drawn, minlength=300) / len(drawn) * 300
    assert seen.min() > 0.7 and seen.max() < 2.1
    np.testing.assert_allclose(seen[[0, 59, 60, 84, 85, 299]], np.median(seen), rtol=0.15)


def test_the_last_frame_is_taught_as_often_as_others_when_a_window_has_a_lead():
    windows = Windows([(0, 100), (100, 132), (132, 400)], 32, loss_frames=20)
    taught = np.concatenate([windows.draw(500, 0, step)[:, -20:].ravel() for step in range(80)])
    seen = np.bincount(taught, minlength=400) / len(taught) * 400
    np.testing.assert_allclose(seen[[12, 99, 112, 131, 144, 399]], np.median(seen[40:60]), rtol=0.2)


def test_clips_are_drawn_by_what_happens_in_them() -> None:
    change = np.zeros(1000, np.float32)
    change[:500] = 1.0
    change[700] = 50.0
    last = Windows([(0, 1000)], 20, change).draw(400, 0, 0, event_share=0.5)[:, -1]
    assert np.isin(last[:200], np.arange(700, 708)).mean() > 0.03  # one frame in a thousand, but it holds a tenth
    assert (last[:200] < 708).all() and (last[200:] > 708).any()


def test_clips_are_drawn_by_unusual_rewards(recording: Recording, tmp_path: Path) -> None:
    autoencoder = train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING)
    clips = LatentDataset(recording, autoencoder, tmp_path)
    clips.rewards = np.full(len(recording), 4.0, np.float32)
    clips.rewards[[100, 433]] = 0.0
    happened = clips.unusual_rewards()
    assert np.flatnonzero(happened).tolist() == [101, 434]  # the frames that came with them
    last = Windows(recording.episodes("train"), 12, happened).draw(50, 0, 0, event_share=1.0)[:, -1]
    assert np.isin(last, [*range(101, 109), *range(434, 442)]).all() and len(set(last)) > 6
    training = dataclasses.replace(TRAINING, eventful=0.5, events=("reward",))
    with pytest.raises(WorldsimError, match="nothing happens in it that clips could be drawn by"):
        train_dynamics(recording, autoencoder, tmp_path, SIZE.config(recording, TOKENIZER), training)


def test_clips_are_drawn_so_that_all_actions_do_something_equally_often(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING), tmp_path)
    begins = clips.actions < 0
    clips.actions = np.where(begins, -1, 0)
    clips.actions[[100, 433, 434]] = 2, 1, 1
    clips.latents = np.random.default_rng(0).standard_normal(clips.latents.shape).astype(np.float16)
    clips.latents[200:251] = clips.latents[200]  # nothing happens there
    rarity = clips.rare_actions()
    led = np.concatenate([[-1], clips.actions[:-1]])
    assert [rarity[led == action].sum() for action in (0, 1, 2)] == pytest.approx([1, 1, 1])
    assert (rarity[led < 0] == 0).all() and rarity[101] == 1
    assert (rarity[201:251] == 0).all() and rarity[200] > 0 and rarity[251] > 0


def test_clips_are_drawn_where_a_thing_moves_behind_the_picture(recording: Recording, tmp_path: Path) -> None:
    clips = LatentDataset(recording, train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING), tmp_path)
    assert not clips.moved_behind(1).any()
    half = clips.latents.shape[1] // 2
    clips.latents = np.zeros(clips.latents.shape, np.float16)
    clips.latents[100:, half:, 1, 2] = 1.0  # something comes, and stays
    clips.latents[50:60, :half, 1, 2] = 1.0  # in sight alone
    clips.latents[200, half:, 0, 0] = 0.01  # hardly
    clips.latents[300:, half:] = 2.0  # the view moves
    own = clips.begins == np.arange(len(clips.begins))
    clips.latents[np.flatnonzero(own)[1] :, half:, 1, 1] += 1.0  # another episode has another room
    assert np.flatnonzero(clips.moved_behind(2)).tolist() == [100]


def test_parts_to_learn_have_to_be_there(recording: Recording, tmp_path: Path) -> None:
    autoencoder = train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING)
    training = dataclasses.replace(TRAINING, learns=("token_out", "tail"))
    with pytest.raises(WorldsimError, match="have no tail to learn; they have token_in, "):
        train_dynamics(recording, autoencoder, tmp_path, SIZE.config(recording, TOKENIZER), training)


def test_a_world_learns_what_is_behind_if_its_recording_tells(recording: Recording, tmp_path: Path) -> None:
    autoencoder = dataclasses.replace(TOKENIZER, behind=True)
    learned = train_autoencoder(recording, tmp_path / "untold", autoencoder, TOKENIZER_TRAINING)
    with pytest.raises(WorldsimError, match="does not tell what is behind its frames"):
        LatentDataset(recording, learned, tmp_path / "untold")
    writer = RecordingWriter(tmp_path / "told", SPEC, hidden_layer=True)
    for episode in recording.iter_episodes():
        behind = np.zeros_like(episode.frames)
        behind[::7, :4, :4] = 255
        writer.append(dataclasses.replace(episode, hidden_layer=behind))
    told = Recording(tmp_path / "told")
    latents, *_ = LatentDataset(told, learned, tmp_path / "told")[np.array([[100, 101]])]
    for frame, both in zip((100, 101), latents[0], strict=True):
        for picture, part in zip((told.frames[frame], told.hidden_layer[frame]), both.split(4), strict=True):
            alone = learned.encode(to_pixels(torch.from_numpy(picture[None])))[0, :4]
            torch.testing.assert_close(part, alone, atol=2e-2, rtol=2e-2)
    size = dataclasses.replace(
        SIZE, copy_reach=1, memory=((4, 1), (16, 2)), recall=(0,), pan=1, cell_width=8, inertia=8
    )
    config = size.config(told, autoencoder)
    assert config.pictures == 2
    inertia = MotionTraining(steps=4, batch=2, length=2, lead=3)
    training = dataclasses.replace(TRAINING, unknown=0.5, eventful=0.5, events=("action", "behind"), inertia=inertia)
    model = train_dynamics(told, learned, tmp_path / "told", config, training)
    assert model.config == config and all(w.isfinite().all() for w in model.parameters())
    alone = weights(tmp_path / "told" / "motion.checkpoint")
    assert torch.equal(model.inertia.first.weight, alone["average.first.weight"])  # the rest learns, this stays


def test_who_begins_to_learn_a_clip_may_know_only_what_is_seen(recording: Recording, tmp_path: Path) -> None:
    autoencoder = dataclasses.replace(TOKENIZER, behind=True)
    size = dataclasses.replace(SIZE, copy_reach=1, memory=((4, 1),), recall=(0,))
    model = WorldModel(size.config(recording, autoencoder))
    pictures = torch.randn(2, 3, *model.config.latent_shape)
    none = torch.zeros(2, 3).long()
    log = Log(pictures, pictures + 1, none, none, none[..., None].expand(-1, -1, 2)).to_tokens(model)
    seen = log.as_seen(model, torch.tensor([False, True]))
    for before, after in ((log.before, seen.before), (log.after, seen.after)):
        first, second = model.to_latents(after).chunk(2, dim=2)
        assert torch.equal(before[0], after[0]) and torch.equal(first[1], second[1])
        assert torch.equal(first, model.to_latents(before).chunk(2, dim=2)[0])


def test_it_learns(recording: Recording, tmp_path: Path) -> None:
    """Some seconds are enough to say where the square goes better than copying does, and only with the true action."""
    steps = dataclasses.replace(TOKENIZER_TRAINING, steps=150, batch=16, rate=3e-3, mask=0.0)
    autoencoder = train_autoencoder(recording, tmp_path, TOKENIZER, steps)
    training = dataclasses.replace(TRAINING, steps=250, batch=8, rate=3e-3)
    train_dynamics(recording, autoencoder, tmp_path, SIZE.config(recording, TOKENIZER), training)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(tmp_path / "curves" / "dynamics"))
    curves.Reload()
    last = {
        k: curves.Scalars(f"dynamics/{k}")[-1].value
        for k in ("held_out_next_frame", "held_out_next_frame_wrong_action", "held_out_copy_last")
    }
    assert last["held_out_next_frame"] < 0.7 * last["held_out_copy_last"]
    assert last["held_out_next_frame"] < 0.7 * last["held_out_next_frame_wrong_action"]


def test_unfitting_recordings_are_refused(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="48x32 do not divide by 64"):
        train_autoencoder(recording, tmp_path, AutoencoderConfig(widths=(8, 8, 8, 8, 8)), TOKENIZER_TRAINING)
    train_autoencoder(recording, tmp_path, TOKENIZER, TOKENIZER_TRAINING)
    with pytest.raises(WorldsimError, match="other settings.*batch"):
        train_autoencoder(recording, tmp_path, TOKENIZER, dataclasses.replace(TOKENIZER_TRAINING, batch=5, steps=9))
    with pytest.raises(WorldsimError, match="no episode is as long"):
        Windows(recording.episodes("train"), 500)


def test_unknown_training_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("worldsim: nothing to train is called 'nonsense'; there are ")
    assert error.count("\n") == 1


def test_recording_of_another_world_is_refused(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "autoencoder.safetensors"
    save_model(path, Autoencoder(TOKENIZER), dataclasses.replace(SPEC, name="circle"))
    assert main(["train", "dynamics", "--recording", str(recording.path), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("worldsim: the autoencoder is of 'circle' at 48x32; ") and "of 'square'" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_training_goes_on_from_a_generated_world(
    tiny_world: Path, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import tiny_spec

    writer, rng = RecordingWriter(tmp_path / "tiny", tiny_spec()), np.random.default_rng(0)
    for _ in range(10):
        frames, none = rng.integers(0, 256, (100, 32, 48, 3), np.uint8), np.zeros(100)
        keys = np.append(rng.integers(0, 3, 99), -1)
        writer.append(Episode(frames, keys, none, none.astype(bool), np.zeros((100, 0), np.float32)))
    out = tmp_path / "run"
    options = ["--weights", str(tiny_world), "--steps", "1", "--batch", "2", "--no-compile"]

    def learn(from_what: Path) -> int:
        return main(["train", "dynamics", "--recording", str(from_what), "--out", str(out), *options])

    assert learn(tmp_path / "tiny") == 0
    theirs = {name: torch.from_numpy(weight) for name, weight in open_world(tiny_world).weights().items()}
    for part in ("autoencoder", "dynamics"):
        made = weights(out / f"{part}.safetensors")
        assert made.keys() == {name.removeprefix(f"{part}.") for name in theirs if name.startswith(part)}
        for name, weight in made.items():
            assert (weight - theirs[f"{part}.{name}"]).abs().max() < 0.01  # a step moves them a little

    assert learn(recording.path) == 2
    assert "is of 'tiny' at 48x32" in capsys.readouterr().err
    save_model(out / "autoencoder.safetensors", Autoencoder(TOKENIZER), tiny_spec())
    assert learn(tmp_path / "tiny") == 2
    assert "is another autoencoder than that of" in capsys.readouterr().err
    options[1] = "nowhere"
    assert learn(tmp_path / "tiny") == 2
    assert "no world 'nowhere'" in capsys.readouterr().err


def test_a_recipe_with_practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The whole of a small recipe: recorded play, autoencoder, dynamics, recorded probes, and the same dynamics
    again."""
    monkeypatch.chdir(tmp_path)
    training = dataclasses.replace(TRAINING, steps=2)
    first = dataclasses.replace(training, eventful=0.5, events=("action",))
    then = dataclasses.replace(training, learns=("token_out",))
    settings = Finetune(3500, 0.0, (first, then), longest=100)
    size = dataclasses.replace(SIZE, pack=(2, 2))
    small = Recipe(800, TOKENIZER, dataclasses.replace(TOKENIZER_TRAINING, steps=2), size, training, finetune=settings)
    monkeypatch.setattr("worldsim.train.recipes.toybox.RECIPE", small)
    monkeypatch.setattr(record_permanence, "MOST_SWAPS", 1)
    record = ["record", "toybox", "--frames", "800", "--episode-frames", "80", "--size", "32x32", "--workers", "1"]
    assert main([*record, "--out", "recordings/toybox"]) == 0
    assert main(["train", "toybox"]) == 0
    assert "Ready to export: runs/toybox/finetune/2\n" in capsys.readouterr().out
    probes = Recording(tmp_path / "recordings" / "toybox-finetune")
    assert (probes.spec.width, probes.spec.height, len(probes) >= 3500) == (32, 32, True)
    assert probes.origin["longest hiding"] == 100
    folders = [Path("runs/toybox") / folder for folder in ("", "finetune", "finetune/2")]
    trained, finetuned, last = (weights(folder / "dynamics.safetensors") for folder in folders)
    assert trained.keys() == finetuned.keys() == last.keys()
    assert any((trained[k] != finetuned[k]).any() for k in trained)
    assert {k.split(".")[0] for k in last if (last[k] != finetuned[k]).any()} == {"token_out"}  # what alone may learn
    assert all((folder / "autoencoder.safetensors").exists() for folder in folders)
    assert not list((folders[2]).glob("latents-*"))  # encoded once


def test_cut_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    write(path, {"x": torch.ones(1000)}, {"step": 1})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WorldsimError, match=r"a\.checkpoint is cut"):
        read(path)


def test_moving_pixels_weigh_more() -> None:
    before = np.zeros((2, 8, 8, 3), np.uint8)
    frames = before.copy()
    frames[1, 4, 4] = 200
    weight = moving_weight(frames, before, before[0], 5.0)[:, 0]
    assert weight[1, 4, 4] == pytest.approx(6 * weight[0, 0, 0]) and weight.mean() == pytest.approx(1)


def test_rate_rises_stays_and_falls_once() -> None:
    rates = [rate(step, 2000) for step in range(2000)]
    assert rates[0] == pytest.approx(1 / 200) and rates[500] == rates[1400] == 1 and rates[-1] < 0.01
    assert rates[1500:] == sorted(rates[1500:], reverse=True)


def test_a_token_is_lost_where_a_cell_of_it_differs_and_beside_it() -> None:
    config = WorldModelConfig((5, 6, 8), actions=2, state=0, pack=(2, 2))  # 3 x 4 tokens of 5 channels x 4 cells
    clean = torch.zeros(1, 2, 12, 20)
    own = clean.clone()
    own[0, 1, 0, 3::4] = 1.0  # the last cell of the first token
    own[0, 1, 11] = 0.5  # all of the last one, but none by much
    lost = diverged_tokens(own, clean, 0.5, config)
    assert not lost[0, 0].any()
    assert lost[0, 1].nonzero().flatten().tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize(("bend", "least"), [(0.0, 0.25), (0.05, 0.0)])
def test_what_comes_in_two_ways_is_averaged_or_decided(bend: float, least: float) -> None:
    targets, guesses = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.linspace(0, 1, 101)
    losses = pseudo_huber((guesses[:, None] - targets).square(), bend).mean(1)
    assert guesses[losses.argmin()] == pytest.approx(least, abs=0.03)
    assert pseudo_huber(torch.tensor(1e-6), bend) == pytest.approx(1e-6, rel=1e-2)


def test_products_are_made_in_the_arithmetic_of_the_processor() -> None:
    weight = torch.ones(3, 2)
    with mixed_precision():
        assert (torch.ones(4, 3) @ weight).dtype is NATIVE
    assert weight.dtype is torch.float32


def test_muon_moves_as_torchs_own() -> None:
    """It differs from it by the arithmetic of bfloat16, at most."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    start = [random(32, 32), random(32, 32), random(48, 32), random(32, 48)]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    one = Muon(ours, lr=0.01, weight_decay=0.1)
    other = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = random(*p.shape)
            q.grad = p.grad.clone()
        one.step()
        other.step()
    for p, q, before in zip(ours, theirs, start, strict=True):
        assert (p - q).norm() < 0.05 * (q - before).norm()


def test_orthogonal_matrices_have_singular_values_near_one() -> None:
    made = orthogonal(torch.randn(2, 24, 40), (3.4445, -4.775, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(made)
    assert values.min() > 0.5 and values.max() < 1.4
