"""The dynamics: cached is recomputed, no frame sees the future or beyond its window."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tiny import WINDOW, tiny_networks

from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CandidateCopy, Candidates, Patches, from_noise, neighbourhood, other_layer
from worldsim.models.flow import add_noise
from worldsim.models.history import History
from worldsim.models.layers import CellRefiner, written_out_attention
from worldsim.models.step import WorldStep
from worldsim.models.world_model import Features, WorldModel

FRAMES = 8  # more than twice the window


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_networks(retention=())[1].requires_grad_(False)


@pytest.fixture(scope="module")
def clip(model: WorldModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, FRAMES, *model.config.latent_shape, generator=generator)
    return model.to_tokens(latents), torch.randint(0, 3, (2, FRAMES), generator=generator)


@pytest.mark.parametrize(
    "kind",
    [
        {"retention": ()},
        {"retention": ((4, 1), (12, 3), (40, 6))},
        {"retention": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "max_shift": 1, "shifts": True},
        {"retention": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "max_shift": 1, "refiner_width": 8},
        {
            "retention": ((4, 1), (12, 3), (40, 6)),
            "copy_reach": 1,
            "max_shift": 1,
            "refiner_width": 8,
            "hidden_layer": True,
        },
        {
            "retention": ((4, 1), (12, 3), (40, 6)),
            "copy_reach": 1,
            "max_shift": 1,
            "refiner_width": 8,
            "hidden_layer": True,
            "motion": 8,
            "from_noise": True,
        },
        {"retention": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "max_shift": 1, "ring_columns": 9},
    ],
)
def test_frame_by_frame_with_a_cache_is_the_whole_clip_at_once(clip, kind):
    model = tiny_networks(**kind)[1].requires_grad_(False)
    tokens, actions = clip
    if model.config.view:  # the view moves to the right by a cell a frame
        wide = model.config.latent_shape[2]
        room = torch.randn(2, *model.config.latent_shape[:2], model.config.view.ring_columns or FRAMES + wide)
        views = [room.roll(-t, dims=-1)[..., :wide] for t in range(FRAMES)]
        tokens = model.to_tokens(torch.stack(views, dim=1))
    features, entries = model.encode_context(tokens, actions)
    window = model.config.dit.window
    history = History(torch.zeros(2, window, *model.config.entry_shape), torch.zeros(2).long())
    left: list[tuple[torch.Tensor, torch.Tensor | None]] = []  # by one frame each
    for t in range(FRAMES):
        if left:
            memory, poses = zip(*left, strict=True)
            history = history._replace(memory=torch.stack(memory, dim=1), age=torch.arange(t, 0, -1).expand(2, -1))
            history = history._replace(pose=torch.stack(poses, dim=1) if model.config.view else None)
        here = tokens[:, t : t + 1], actions[:, t : t + 1]
        now, entry = model.encode_context(*here, history)
        for part, whole in zip(now, features, strict=True):
            if part is not None:
                torch.testing.assert_close(part[:, 0], whole[:, t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(entry[:, 0], entries[:, t], atol=1e-5, rtol=1e-4)
        cache = torch.cat([history.cache[:, 1:], entry], dim=1)
        if kind["retention"] and t + 1 < FRAMES:
            following = here[0], tokens[:, t + 1 : t + 2], here[1]
            poses = model.poses(*following, history)
            if model.config.view:
                assert poses[..., 0].tolist() == [[[t, t + 1]]] * 2
            entry, pose = model.remember(*following, poses)
            left.append((entry[:, 0], None if pose is None else pose[:, 0]))
        history = history._replace(cache=cache, length=torch.full((2,), min(t + 1, window)))


def test_what_the_noise_says_is_the_best_guess_that_is_proportional_to_it():
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(1, 1, 1, 100_000, generator=generator) for _ in range(2))
    for tau in (torch.tensor([0.0]), torch.tensor([0.3]), torch.tensor([0.8]), torch.tensor([1.0])):
        noisy = add_noise(clean, noise, tau[None, None].expand(1, 1, 1))
        (guess,) = from_noise(noisy, tau).latents.unbind(1)
        best = (noisy * clean).mean() / noisy.square().mean() * noisy
        torch.testing.assert_close(guess, best, atol=0.03, rtol=0)


def test_a_clean_frame_can_be_taken_from_the_noised_one():
    """Only gates are set: nearly clean, the last candidate is nearly the frame to come."""
    model = tiny_networks(retention=(), copy_reach=1, from_noise=True)[1].requires_grad_(False)
    gates = model.denoiser.token_out
    gates.weight.zero_()
    gates.bias.zero_()
    gates.bias[-model.config.patch_cells :] = 50.0
    tokens = model.to_tokens(torch.randn(2, 2, *model.config.latent_shape))
    features, _ = model.encode_context(tokens[:, :1], torch.zeros(2, 1, dtype=torch.int64))
    features = features.map(lambda part: part[:, 0])
    made = model.denoise(features, tokens[:, 0], tokens[:, 1], torch.ones(1)).clean
    torch.testing.assert_close(made, tokens[:, 1], atol=1e-4, rtol=1e-4)


def test_a_changed_future_changes_no_past_frame(model, clip):
    tokens, actions = clip
    features, entries = model.encode_context(tokens, actions)
    later_tokens, later_actions = tokens.clone(), actions.clone()
    later_tokens[:, 4] += 1
    later_actions[:, 4] = (actions[:, 4] + 1) % 3
    for changed in ((later_tokens, actions), (tokens, later_actions)):
        other, other_entries = model.encode_context(*changed)
        torch.testing.assert_close(other.tokens[:, :4], features.tokens[:, :4], atol=0, rtol=0)
        torch.testing.assert_close(other_entries[:, :4], entries[:, :4], atol=0, rtol=0)
        assert (other.tokens[:, 4] - features.tokens[:, 4]).abs().max() > 1e-3
        assert (other.tokens[:, 5] - features.tokens[:, 5]).abs().max() > 1e-4  # the frame after looks back at it


def test_a_frame_sees_its_window_and_nothing_before(clip):
    small = tiny_networks(retention=())[1].config
    config = dataclasses.replace(small, dit=dataclasses.replace(small.dit, temporal_layers=(0,)))
    torch.manual_seed(1)
    model = WorldModel(config).requires_grad_(False)
    tokens, actions = clip
    features, _ = model.encode_context(tokens, actions)
    changed = tokens.clone()
    changed[:, 0] += 1
    moved = (model.encode_context(changed, actions)[0].tokens - features.tokens).abs().amax((0, 2, 3))
    assert (moved[: config.dit.window + 1] > 1e-5).all()
    assert (moved[config.dit.window + 1 :] == 0).all()


def test_empty_places_of_the_cache_are_not_seen(model, clip):
    tokens, actions = clip
    shape = (2, model.config.dit.window, *model.config.entry_shape)
    cache = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    length = torch.tensor([0, 2])
    other = cache.clone()
    other[0], other[1, :-2] = 99.0, -99.0

    def features(cache: torch.Tensor) -> torch.Tensor:
        return model.encode_context(tokens[:, :1], actions[:, :1], History(cache, length))[0].tokens

    first = features(cache)
    torch.testing.assert_close(first, features(other), atol=0, rtol=0)
    other[1, -1] += 1
    assert (features(other)[1] - first[1]).abs().max() > 1e-3


def test_tokens_are_latents_rearranged(model):
    latents = torch.randn(2, 5, *model.config.latent_shape)
    tokens = model.to_tokens(latents)
    assert tokens.shape[-2:] == (model.config.token_grid[0] * model.config.token_grid[1], model.config.token_width)
    torch.testing.assert_close(model.to_latents(tokens), latents, atol=0, rtol=0)


def test_latents_that_do_not_divide_into_tokens_are_refused():
    with pytest.raises(WorldsimError, match="5x6"):
        WorldModelConfig().fit((4, 5, 6), 3)


def copy_head(sources: list[Candidates], gates: torch.Tensor, layers: int = 1) -> torch.Tensor:
    """What 4 x 4 x 6 latents are copied from, by gate logits `[B, N, K, layers cells]`, as latents."""
    patches = Patches((4, 4, 6), (2, 2))
    head = CandidateCopy(patches, 4, layers, sum(source.latents.shape[1] for source in sources))
    assert head.gates == gates[0, 0].numel()
    nothing = torch.zeros(2, 6, 16)
    return patches.to_latents(head(nothing, nothing, gates.flatten(2), sources))


def test_a_gate_copies_a_cell_from_where_it_points():
    latents, gates = torch.randn(2, 4, 4, 6), torch.zeros(2, 6, 9, 4)
    gates[:, :, 5] = 50.0  # of three rows of three: the cell to the right
    copied = copy_head([neighbourhood(latents, 1)], gates)
    torch.testing.assert_close(copied[..., :-1], latents[..., 1:], atol=1e-6, rtol=0)
    assert copied[..., -1].abs().max() < 1e-6  # nothing comes from beyond the edge


def test_a_layer_copies_from_the_other_where_something_is_uncovered():
    latents, gates = torch.randn(2, 4, 4, 6), torch.zeros(2, 6, 10, 2, 4)
    gates[..., 4, 0, :] = 50.0  # what is seen stays,
    gates[:, 1, 4, 0, 2], gates[:, 1, 9, 0, 2] = 0.0, 50.0  # but for one cell of the second token
    gates[..., 5, 1, :] = 50.0  # and the hidden layer comes from the right
    copied = copy_head([neighbourhood(latents, 1), other_layer(latents)], gates.flatten(-2), layers=2)
    expected = latents.clone()
    expected[:, :2, 1, 2] = latents[:, 2:, 1, 2]
    torch.testing.assert_close(copied[:, :2], expected[:, :2], atol=1e-6, rtol=0)
    torch.testing.assert_close(copied[:, 2:, :, :-1], latents[:, 2:, :, 1:], atol=1e-6, rtol=0)


def test_a_biased_candidate_is_preferred_and_a_complete_one_takes_no_residual():
    latents, gates = torch.randn(2, 4, 4, 6), torch.zeros(2, 6, 10, 4)
    bias = torch.zeros(2, 1, 1, 4, 6)
    bias[..., 3:] = 50.0
    patches = Patches((4, 4, 6), (2, 2))
    head = CandidateCopy(patches, 4, 1, 10)
    residual = torch.ones(2, 6, 16)
    sources = [neighbourhood(torch.zeros_like(latents), 1), Candidates(latents[:, None], bias, complete=True)]
    made = patches.to_latents(head(residual, residual, gates.flatten(2), sources))
    torch.testing.assert_close(made[..., 3:], latents[..., 3:], atol=1e-5, rtol=0)
    assert (made[..., :3] - latents[..., :3]).abs().mean() > 0.1


@torch.no_grad()
def test_each_of_two_pictures_stays_as_it_was_where_it_hardly_changes():
    model = tiny_networks(copy_reach=1, hidden_layer=True)[1]
    model.config = dataclasses.replace(model.config, static_threshold=0.1)
    before = torch.randn(2, *model.config.latent_shape)
    after = before + 0.09
    after[:, 4:] += 0.2
    held = model.to_latents(model.limit(model.to_tokens(before), model.to_tokens(after)))
    assert torch.equal(held[:, :4], before[:, :4]) and torch.equal(held[:, 4:], after[:, 4:])


def test_whoever_begins_knows_of_a_picture_what_is_seen():
    autoencoder, model = tiny_networks(copy_reach=1, hidden_layer=True)
    seen, hidden = torch.rand(2, 3, 32, 48) * 2 - 1, torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        both, alone = autoencoder.encode(seen, hidden), autoencoder.encode(seen)
        torch.testing.assert_close(both[:, 4:], autoencoder.encode(hidden)[:, :4])
        unknown = model.to_latents(model.without_hidden_layer(model.to_tokens(both)))
        torch.testing.assert_close(unknown, alone, atol=0, rtol=0)
        torch.testing.assert_close(autoencoder.decode(both), autoencoder.decode(alone), atol=0, rtol=0)
    assert torch.equal(alone[:, :4], alone[:, 4:]) and not torch.equal(both, alone)


@torch.no_grad()
def test_layers_over_cells_learn_for_every_place_at_once():
    layers = CellRefiner(3, 8, 16, 5)
    torch.nn.init.normal_(layers.out.weight)
    cells, tokens = torch.zeros(1, 3, 16, 16), torch.randn(1, 16, 1, 1).expand(-1, -1, 4, 4)
    cells[0, :, 7, 6] = torch.randn(3)  # in a token of 4 by 4
    there, beside = layers(cells, tokens), layers(cells.roll((1, 2), (2, 3)), tokens)  # at another place of another one
    torch.testing.assert_close(there[:, :, 4:-5, 4:-6], beside[:, :, 5:-4, 6:-4], atol=1e-5, rtol=1e-4)
    other = tokens.clone()
    other[:, :, 0, 0] += 1
    reach = (layers(cells, other) - layers(cells, tokens)).abs().amax((0, 1))
    assert (reach[:4, :4] > 1e-4).all() and not reach[7:].any() and not reach[:, 7:].any()  # and three cells beyond it


@pytest.mark.parametrize("kind", [{}, {"max_shift": 1}, {"max_shift": 1, "motion": 8}])
@torch.no_grad()
def test_the_refiner_sees_every_source(clip, kind):
    model = tiny_networks(**kind, copy_reach=1, refiner_width=8)[1]
    tokens, actions = clip
    features = model.encode_context(tokens[:, :3], actions[:, :3])[0].map(lambda part: part[:, 2])
    inputs = {"previous": tokens[:, 2], "noisy": torch.randn_like(tokens[:, 3])}
    for weight in model.denoiser.token_out.parameters():
        weight.zero_()  # what is left is the refiner's
    before = model.denoise(features, **inputs, tau=torch.zeros(1)).clean
    names = ["tokens"] + ["view", "earlier"] * ("max_shift" in kind) + ["motion"] * ("motion" in kind)
    for name in names:
        part = getattr(features, name)
        other = features._replace(**{name: part + torch.randn_like(part)})
        assert (model.denoise(other, **inputs, tau=torch.zeros(1)).clean - before).abs().max() > 1e-4, name
    for name, part in inputs.items():
        changed = {**inputs, name: part + torch.randn_like(part)}
        assert (model.denoise(features, **changed, tau=torch.zeros(1)).clean - before).abs().max() > 1e-4, name


@pytest.mark.parametrize("motion", [0, 8])
@torch.no_grad()
def test_the_frames_before_are_read_from_memory_and_before_them_nothing_moved(motion):
    """The features of a frame depend on the newest frames in memory, in whatever order they lie there."""
    model = tiny_networks(
        retention=((4, 1), (12, 3)), copy_reach=1, max_shift=1, refiner_width=8, motion=motion, read_layers=()
    )[1]
    tokens, actions = model.to_tokens(torch.randn(2, 4, *model.config.latent_shape)), torch.zeros(2, 4).long()
    poses = torch.tensor([5.0, 6.0, 6.0, 7.0])[[0, 1, 1, 2, 2, 3]].view(3, 2, 1).expand(2, -1, -1, -1)
    memory, pose = model.remember(tokens[:, :3], tokens[:, 1:], actions[:, :3], poses)

    def features(ages: list[int]) -> Features:
        history = History(memory=memory, age=torch.tensor([ages] * 2), pose=pose)
        return model.encode_context(tokens[:, 3:], actions[:, 3:], history)[0]

    for ages, newest in (([3, 2, 1], 2), ([1, 2, 3], 0), ([2, 1, 3], 1)):
        torch.testing.assert_close(features(ages).earlier[:, 0], tokens[:, newest], atol=3e-3, rtol=1e-3)
    torch.testing.assert_close(features([0, 6, 0]).earlier[:, 0], tokens[:, 3])  # too old: nothing moved
    if motion:
        same, other = features([3, 2, 1]).motion, features([1, 2, 3]).motion
        assert (same - other).abs().max() > 1e-3


@torch.no_grad()
def test_what_hardly_changes_stays_as_it_was_and_what_changes_is_not_slowed():
    autoencoder, model = tiny_networks()
    config = dataclasses.replace(model.config, static_threshold=0.1)
    model.config = config
    before = torch.randn(2, *config.latent_shape)
    after = before + torch.randn_like(before).sign() * 0.09  # of every number, so of every cell too
    after[:, :, 1, 2] = before[:, :, 1, 2] + 0.11
    after[0, 0, 3, 1] = before[0, 0, 3, 1] + 0.3  # one of four numbers: 0.15 of the cell
    held = model.to_latents(model.limit(model.to_tokens(before), model.to_tokens(after)))
    moved = (held != before).any(1)
    assert moved.sum() == 3 and moved[:, 1, 2].all() and moved[0, 3, 1]
    assert torch.equal(held.movedim(1, -1)[moved], after.movedim(1, -1)[moved])

    noise, actions = torch.randn(2, *config.latent_shape), torch.zeros(2).long()
    inputs = before, actions, noise, *empty_cache(config)
    step = WorldStep(autoencoder, model)
    assert (step(*inputs)[0] != before).any()
    model.config = dataclasses.replace(config, static_threshold=1e3)
    assert torch.equal(step(*inputs)[0], before)


def empty_cache(config: WorldModelConfig) -> tuple[torch.Tensor, ...]:
    """Of two rows."""
    memory = torch.zeros(2, 1, *config.memory_shape).half(), torch.zeros(2, 1).long()
    return torch.zeros(2, WINDOW, *config.entry_shape).half(), torch.zeros(2).long(), *memory


@torch.no_grad()
def test_what_is_generated_stays_within_what_latents_can_be():
    autoencoder, model = tiny_networks()
    config = model.config
    far = torch.randn(2, *config.latent_shape) * 10
    inputs = far, torch.zeros(2).long(), torch.randn(2, *config.latent_shape), *empty_cache(config)
    free = WorldStep(autoencoder, model)(*inputs)[0]
    model.config = dataclasses.replace(config, latent_clip=1.5)
    held = WorldStep(autoencoder, model)(*inputs)[0]
    assert free.abs().max() > 1.6
    torch.testing.assert_close(held, free.clamp(-1.5, 1.5))


@pytest.mark.parametrize("parts", [{}, {"copy_reach": 1, "max_shift": 1, "refiner_width": 8, "motion": 8}])
def test_a_config_survives_json(parts):
    config = tiny_networks(**parts)[1].config
    assert WorldModelConfig.from_json(json.loads(json.dumps(dataclasses.asdict(config)))) == config
    with pytest.raises(WorldsimError, match="config of this version"):
        WorldModelConfig.from_json({**dataclasses.asdict(config), "window": 3})


def test_attention_written_out_is_the_fused_one():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 8, generator=generator) for length in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7, generator=generator) < 0.6
    mask[..., 0] = True
    for attn_mask in (None, mask):
        fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        torch.testing.assert_close(written_out_attention(q, k, v, attn_mask=attn_mask), fused)
