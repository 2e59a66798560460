"""The dynamics: cached is recomputed, no frame sees the future or beyond its window."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tiny import WINDOW, tiny_networks

from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.layers import CellLayers
from worldsim.models.step import WorldStep
from worldsim.models.world_model import WorldModel

FRAMES = 8  # more than twice the window


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_networks(memory=())[1].requires_grad_(False)


@pytest.fixture(scope="module")
def clip(model: WorldModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, FRAMES, *model.config.latent_shape, generator=generator)
    return model.to_tokens(latents), torch.randint(0, 3, (2, FRAMES), generator=generator)


@pytest.mark.parametrize(
    "kind",
    [
        {"memory": ()},
        {"memory": ((4, 1), (12, 3), (40, 6))},
        {"memory": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "pan": 1},
        {"memory": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "pan": 1, "cell_width": 8},
        {"memory": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "pan": 1, "cell_width": 8, "behind": True},
        {
            "memory": ((4, 1), (12, 3), (40, 6)),
            "copy_reach": 1,
            "pan": 1,
            "cell_width": 8,
            "behind": True,
            "inertia": 8,
        },
        {"memory": ((4, 1), (12, 3), (40, 6)), "copy_reach": 1, "pan": 1, "around": 9},
    ],
)
def test_frame_by_frame_with_a_cache_is_the_whole_clip_at_once(clip, kind):
    model = tiny_networks(**kind)[1].requires_grad_(False)
    tokens, actions = clip
    if model.config.pan:  # the view moves to the right by a cell a frame
        wide = model.config.latent_shape[2]
        room = torch.randn(2, *model.config.latent_shape[:2], model.config.around or FRAMES + wide)
        views = [room.roll(-t, dims=-1)[..., :wide] for t in range(FRAMES)]
        tokens = model.to_tokens(torch.stack(views, dim=1))
    features, entries = model.look(tokens, actions)
    window = model.config.window
    cache = torch.zeros(2, window, *model.config.entry_shape)
    log: list[torch.Tensor] = []  # of one frame each
    for t in range(FRAMES):
        known = (torch.stack(log, dim=1), torch.arange(t, 0, -1).expand(2, -1)) if log else ()
        here, length = (tokens[:, t : t + 1], actions[:, t : t + 1]), torch.full((2,), min(t, window))
        now, entry = model.look(*here, cache, length, *known)
        torch.testing.assert_close(now[:, 0], features[:, t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(entry[:, 0], entries[:, t], atol=1e-5, rtol=1e-4)
        cache = torch.cat([cache[:, 1:], entry], dim=1)
        if kind["memory"] and t + 1 < FRAMES:
            following = here[0], tokens[:, t + 1 : t + 2], here[1]
            places = model.places(*following, *known)
            moved = [t, t + 1] if model.config.pan else [0, 0]
            assert places[..., 0].tolist() == [[moved]] * 2
            log.append(model.remember(*following, places)[:, 0])


def test_a_changed_future_changes_no_past_frame(model, clip):
    tokens, actions = clip
    features, entries = model.look(tokens, actions)
    later_tokens, later_actions = tokens.clone(), actions.clone()
    later_tokens[:, 4] += 1
    later_actions[:, 4] = (actions[:, 4] + 1) % 3
    for changed in ((later_tokens, actions), (tokens, later_actions)):
        other, other_entries = model.look(*changed)
        torch.testing.assert_close(other[:, :4], features[:, :4], atol=0, rtol=0)
        torch.testing.assert_close(other_entries[:, :4], entries[:, :4], atol=0, rtol=0)
        assert (other[:, 4] - features[:, 4]).abs().max() > 1e-3
        assert (other[:, 5] - features[:, 5]).abs().max() > 1e-4  # the frame after looks back at it


def test_a_frame_sees_its_window_and_nothing_before(clip):
    config = dataclasses.replace(tiny_networks(memory=())[1].config, look_back=(0,))
    torch.manual_seed(1)
    model = WorldModel(config).requires_grad_(False)
    tokens, actions = clip
    features, _ = model.look(tokens, actions)
    changed = tokens.clone()
    changed[:, 0] += 1
    moved = (model.look(changed, actions)[0] - features).abs().amax((0, 2, 3))
    assert (moved[: config.window + 1] > 1e-5).all()
    assert (moved[config.window + 1 :] == 0).all()


def test_empty_places_of_the_cache_are_not_seen(model, clip):
    tokens, actions = clip
    shape = (2, model.config.window, *model.config.entry_shape)
    cache = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    length = torch.tensor([0, 2])
    other = cache.clone()
    other[0], other[1, :-2] = 99.0, -99.0
    first, second = (model.look(tokens[:, :1], actions[:, :1], c, length)[0] for c in (cache, other))
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    other[1, -1] += 1
    assert (model.look(tokens[:, :1], actions[:, :1], other, length)[0][1] - first[1]).abs().max() > 1e-3


def test_tokens_are_latents_rearranged(model):
    latents = torch.randn(2, 5, *model.config.latent_shape)
    tokens = model.to_tokens(latents)
    assert tokens.shape[-2:] == (model.config.token_grid[0] * model.config.token_grid[1], model.config.token_width)
    torch.testing.assert_close(model.to_latents(tokens), latents, atol=0, rtol=0)


def test_latents_that_do_not_divide_into_tokens_are_refused():
    with pytest.raises(WorldsimError, match="5x6"):
        WorldModelConfig((4, 5, 6), 3)


def test_a_gate_copies_a_cell_from_where_it_points():
    model = tiny_networks(memory=(), copy_reach=1)[1].requires_grad_(False)
    config = model.config
    latents = torch.randn(2, *config.latent_shape)
    gates = torch.zeros(2, config.token_grid[0] * config.token_grid[1], 9, config.pack[0] * config.pack[1])
    gates[:, :, 5] = 50.0  # of three rows of three: the cell to the right
    none = latents.new_empty(0)
    copied = model.to_latents(model._copied(model.to_tokens(latents), none, none, gates.flatten(-2)))
    torch.testing.assert_close(copied[..., :-1], latents[..., 1:], atol=1e-6, rtol=0)
    assert copied[..., -1].abs().max() < 1e-6  # nothing comes from beyond the edge


@torch.no_grad()
def test_a_picture_copies_from_the_other_where_something_is_uncovered():
    model = tiny_networks(memory=(), copy_reach=1, behind=True)[1]
    config = model.config
    latents = torch.randn(2, *config.latent_shape)
    gates = torch.zeros(2, config.token_grid[0] * config.token_grid[1], 10, 2, config.cells[2])
    gates[..., 4, 0, :] = 50.0  # what is seen stays,
    gates[:, 1, 4, 0, 2], gates[:, 1, 9, 0, 2] = 0.0, 50.0  # but for one cell of the second token
    gates[..., 5, 1, :] = 50.0  # and what is behind it comes from the right
    none = latents.new_empty(0)
    copied = model.to_latents(model._copied(model.to_tokens(latents), none, none, gates.flatten(-3)))
    expected = latents.clone()
    expected[:, :4, 1, 2] = latents[:, 4:, 1, 2]
    torch.testing.assert_close(copied[:, :4], expected[:, :4], atol=1e-6, rtol=0)
    torch.testing.assert_close(copied[:, 4:, :, :-1], latents[:, 4:, :, 1:], atol=1e-6, rtol=0)


@torch.no_grad()
def test_each_of_two_pictures_stays_as_it_was_where_it_hardly_changes():
    model = tiny_networks(copy_reach=1, behind=True)[1]
    model.config = dataclasses.replace(model.config, still=0.1)
    before = torch.randn(2, *model.config.latent_shape)
    after = before + 0.09
    after[:, 4:] += 0.2
    held = model.to_latents(model.hold(model.to_tokens(before), model.to_tokens(after)))
    assert torch.equal(held[:, :4], before[:, :4]) and torch.equal(held[:, 4:], after[:, 4:])


def test_whoever_begins_knows_of_a_picture_what_is_seen():
    autoencoder, model = tiny_networks(copy_reach=1, behind=True)
    seen, behind = torch.rand(2, 3, 32, 48) * 2 - 1, torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        both, alone = autoencoder.encode(seen, behind), autoencoder.encode(seen)
        torch.testing.assert_close(both[:, 4:], autoencoder.encode(behind)[:, :4])
        torch.testing.assert_close(model.to_latents(model.as_seen(model.to_tokens(both))), alone, atol=0, rtol=0)
        torch.testing.assert_close(autoencoder.decode(both), autoencoder.decode(alone), atol=0, rtol=0)
    assert torch.equal(alone[:, :4], alone[:, 4:]) and not torch.equal(both, alone)


def test_two_pictures_take_something_to_copy_with():
    config = tiny_networks(copy_reach=1, behind=True)[1].config
    for wrong in ({"copy_reach": 0}, {"pictures": 3}):
        with pytest.raises(WorldsimError, match="pictures: 1, or 2 with a copy_reach"):
            dataclasses.replace(config, **wrong)


@torch.no_grad()
def test_layers_over_cells_learn_for_every_place_at_once():
    layers = CellLayers(3, 8, 16, 5)
    torch.nn.init.normal_(layers.out.weight)
    cells, tokens = torch.zeros(1, 3, 16, 16), torch.randn(1, 16, 1, 1).expand(-1, -1, 4, 4)
    cells[0, :, 7, 6] = torch.randn(3)  # in a token of 4 by 4
    there, beside = layers(cells, tokens), layers(cells.roll((1, 2), (2, 3)), tokens)  # at another place of another one
    torch.testing.assert_close(there[:, :, 4:-5, 4:-6], beside[:, :, 5:-4, 6:-4], atol=1e-5, rtol=1e-4)
    other = tokens.clone()
    other[:, :, 0, 0] += 1
    told = (layers(cells, other) - layers(cells, tokens)).abs().amax((0, 1))
    assert (told[:4, :4] > 1e-4).all() and not told[7:].any() and not told[:, 7:].any()  # and three cells beyond it


@pytest.mark.parametrize("kind", [{}, {"copy_reach": 1, "pan": 1}, {"copy_reach": 1, "pan": 1, "inertia": 8}])
@torch.no_grad()
def test_layers_over_cells_begin_with_nothing_and_see_all_there_is(kind):
    model = tiny_networks(**kind, cell_width=8)[1]
    config = model.config
    count = config.entry_shape[1] - config.registers
    widths = [config.width, config.found_width, config.earlier_width, config.onward_width]
    sizes = (sum(widths), config.token_width, config.token_width)
    inputs = [torch.randn(1, count + config.registers * (i == 0), size) for i, size in enumerate(sizes)]
    before = model.denoise(*inputs, torch.zeros(1)).clean
    features, found, earlier, onward = inputs[0][:, config.registers :].split(widths, dim=-1)
    seen = [features, *inputs[1:], found, earlier, onward[..., : config.token_width]]
    for i, part in enumerate(seen):
        other = [x + torch.randn_like(x) * (i == j) for j, x in enumerate(seen)]
        assert part.numel() == 0 or (model._of_cells(*other) != model._of_cells(*seen)).any()
    if config.inertia:
        return  # there is none without layers over cells
    for weight in model.cell_layers.out.parameters():
        weight.zero_()
    without = tiny_networks(**kind)[1]
    added = ("cell_layers", "change_in")
    without.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith(added)})
    nothing_more = model.denoise(*inputs, torch.zeros(1)).clean
    inputs[0] = inputs[0][..., : sum(widths[:2])]
    torch.testing.assert_close(nothing_more, without.denoise(*inputs, torch.zeros(1)).clean)
    assert (nothing_more - before).abs().max() > 1e-3


@torch.no_grad()
def test_the_frame_before_is_known_from_the_clip_or_from_the_log():
    model = tiny_networks(memory=((4, 1), (12, 3)), copy_reach=1, pan=1, cell_width=8)[1]
    tokens, actions = model.to_tokens(torch.randn(2, 4, *model.config.latent_shape)), torch.zeros(2, 4).long()
    places = torch.zeros(2, 2, 2, 1)
    log = model.remember(tokens[:, :2], tokens[:, 1:3], actions[:, :2], places).half()
    for age, before in (([2, 1], tokens[:, 1:2]), ([1, 2], tokens[:, :1]), ([3, 0], tokens[:, 2:3])):
        run = model._with_earlier(tokens[:, 2:], log, torch.tensor([age] * 2))[0]
        torch.testing.assert_close(run, torch.cat([before, tokens[:, 2:]], dim=1), atol=3e-3, rtol=1e-3)
    torch.testing.assert_close(model._with_earlier(tokens, None, None)[0], tokens[:, [0, 0, 1, 2, 3]])


@torch.no_grad()
def test_inertia_knows_all_the_log_holds_one_by_one_and_before_it_nothing_moved():
    model = tiny_networks(memory=((4, 1), (12, 3)), copy_reach=1, pan=1, cell_width=8, inertia=8)[1]
    tokens, actions = model.to_tokens(torch.randn(2, 4, *model.config.latent_shape)), torch.zeros(2, 4).long()
    places = torch.tensor([5.0, 6.0, 6.0, 7.0])[[0, 1, 1, 2, 2, 3]].view(3, 2, 1).expand(2, -1, -1, -1)
    log = model.remember(tokens[:, :3], tokens[:, 1:], actions[:, :3], places).half()
    for age, known in (
        ([3, 2, 1], [0, 0, 1, 2, 3]),
        ([1, 0, 2], [2, 2, 2, 0, 3]),
        ([0, 6, 1], [2, 2, 2, 2, 3]),
        ([0, 0, 0], [3] * 5),
    ):
        run, seen_from = model._with_earlier(tokens[:, 3:], log, torch.tensor([age] * 2))
        torch.testing.assert_close(run, tokens[:, known], atol=3e-3, rtol=1e-3)
        at = places[0, :, 0, 0][torch.tensor(known[:-1])] if any(age) else torch.zeros(4)
        torch.testing.assert_close(seen_from, at.expand(2, -1))


@torch.no_grad()
def test_what_hardly_changes_stays_as_it_was_and_what_changes_is_not_slowed():
    autoencoder, model = tiny_networks()
    config = dataclasses.replace(model.config, still=0.1)
    model.config = config
    before = torch.randn(2, *config.latent_shape)
    after = before + torch.randn_like(before).sign() * 0.09  # of every number, so of every cell too
    after[:, :, 1, 2] = before[:, :, 1, 2] + 0.11
    after[0, 0, 3, 1] = before[0, 0, 3, 1] + 0.3  # one of four numbers: 0.15 of the cell
    held = model.to_latents(model.hold(model.to_tokens(before), model.to_tokens(after)))
    moved = (held != before).any(1)
    assert moved.sum() == 3 and moved[:, 1, 2].all() and moved[0, 3, 1]
    assert torch.equal(held.movedim(1, -1)[moved], after.movedim(1, -1)[moved])

    noise, actions, length = torch.randn(2, 1, *config.latent_shape), torch.zeros(2).long(), torch.zeros(2).long()
    inputs = torch.zeros(2, WINDOW, *config.entry_shape).half(), length, before, actions, noise
    made = WorldStep(autoencoder, model)(*inputs)[1]
    assert (made != before).any()
    model.config = dataclasses.replace(config, still=1e3)
    assert torch.equal(WorldStep(autoencoder, model)(*inputs)[1], before)


@torch.no_grad()
def test_what_is_generated_stays_within_what_latents_can_be():
    autoencoder, model = tiny_networks()
    config = model.config
    far = torch.randn(2, 1, *config.latent_shape) * 10
    inputs = torch.zeros(2, WINDOW, *config.entry_shape).half(), torch.zeros(2).long()
    frame = far[:, 0], torch.zeros(2).long(), torch.randn(2, 1, *config.latent_shape)
    free = WorldStep(autoencoder, model)(*inputs, *frame)[1]
    model.config = dataclasses.replace(config, largest=1.5)
    held = WorldStep(autoencoder, model)(*inputs, *frame)[1]
    assert free.abs().max() > 1.6
    torch.testing.assert_close(held, free.clamp(-1.5, 1.5))


def test_a_setting_that_was_dropped_is_no_matter_where_it_was_off():
    settings = json.loads(json.dumps(dataclasses.asdict(tiny_networks()[1].config)))
    assert WorldModelConfig.from_json({**settings, "dropped": False}) == tiny_networks()[1].config
    with pytest.raises(TypeError, match="dropped"):
        WorldModelConfig.from_json({**settings, "dropped": True})


@torch.no_grad()
def test_what_inertia_tells_is_taken_as_it_is():
    model = tiny_networks(copy_reach=1, pan=1, cell_width=8, behind=True, inertia=8)[1]
    config = model.config
    model.panorama.chance.copy_(torch.tensor([[0.0, 1.0, 0.0]] * len(model.panorama.chance)).log())
    model.panorama.chance[1] = torch.tensor([0.0, 0.0, 1.0]).log()  # this action moves the view
    latents, actions = torch.randn(2, 6, *config.latent_shape), torch.tensor([[0, 0, 0, 1, 1, 0]] * 2)
    features, _ = model.look(model.to_tokens(latents), actions)
    onward = model.to_latents(features[:, -1, config.registers :, -config.onward_width : -1])
    past = latents[:, :1].expand(-1, config.memory[0][0], -1, -1, -1)
    run = torch.cat([past, latents], dim=1)[:, -past.shape[1] - 1 :]
    places = torch.tensor([0.0] * (run.shape[1] - 2) + [1, 2])
    told = model.inertia(run, actions[:, -1], places.expand(2, -1))
    torch.testing.assert_close(onward, told)
    for weight in (*model.token_out.parameters(), *model.cell_layers.out.parameters()):
        weight.zero_()
    model.token_out.bias[: config.token_width] = 1.0  # a change of everything,
    model.token_out.bias[-2 * config.pack[0] * config.pack[1] :] = 50.0  # and the gates of inertia, wide open
    previous = model.to_tokens(latents[:, -1])
    made = model.denoise(features[:, -1], previous, torch.randn_like(previous), torch.zeros(2)).clean
    torch.testing.assert_close(model.to_latents(made), onward, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_head_leans_to_inertia_where_the_view_stands_and_not_at_the_edge():
    model = tiny_networks(copy_reach=1, pan=1, cell_width=8, behind=True, inertia=8)[1]
    config = model.config
    torch.nn.init.normal_(model.inertia.out.weight, std=0.3)
    model.panorama.chance.copy_(torch.tensor([[0.0, 1.0, 0.0]] * len(model.panorama.chance)).log())
    model.panorama.chance[1] = torch.tensor([1.0, 0.0, 0.0]).log()  # this action moves the view
    tokens, noisy = model.to_tokens(torch.randn(2, 6, *config.latent_shape)), torch.randn(2, *config.latent_shape)
    noisy, tau = model.to_tokens(noisy), torch.zeros(2)

    def made(action: int, trust: float) -> torch.Tensor:
        model.config = dataclasses.replace(config, trust=trust)
        features, _ = model.look(tokens, torch.full((2, 6), action))
        frames = (
            features[:, -1, config.registers :, -config.onward_width : -1],
            model.denoise(features[:, -1], tokens[:, -1], noisy, tau).clean,
        )
        return torch.stack([model.to_latents(frame) for frame in frames])

    onward, leaning = made(0, 50.0)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(leaning[inner], onward[inner], atol=1e-4, rtol=1e-4)
    plain = made(0, 0.0)[1]
    apart = (leaning - plain).abs().amax((0, 1))
    assert apart[1:-1, 1:-1].min() > 0 and apart[[0, -1]].max() == 0 and apart[:, [0, -1]].max() == 0
    assert torch.equal(made(1, 50.0)[1], made(1, 0.0)[1])
