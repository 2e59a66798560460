"""Names of weights in bundles of before the modules were split. Goes when the last of those bundles is trained
again."""

from __future__ import annotations

NAMES = (  # the first that fits
    ("tokenizer.", "autoencoder."),
    ("dynamics.token_in.", "world_model.encoder.token_in."),
    ("dynamics.registers", "world_model.encoder.registers"),
    ("dynamics.action.", "world_model.encoder.action."),
    ("dynamics.action_modulation.", "world_model.encoder.action_modulation."),
    ("dynamics.trunk.", "world_model.encoder.blocks."),
    ("dynamics.trunk_norm.", "world_model.encoder.norm."),
    ("dynamics.write.", "world_model.writer."),
    ("dynamics.recall.", "world_model.readers."),
    ("dynamics.panorama.chance", "world_model.pose.log_prob"),
    ("dynamics.panorama.walks", "world_model.pose.step_mismatch"),
    ("dynamics.panorama.near", "world_model.view.distance"),
    ("dynamics.panorama.", "world_model.view."),
    ("dynamics.asked.", "world_model.view.query."),
    ("dynamics.found_in.", "world_model.view.embed."),
    ("dynamics.head.", "world_model.denoiser.blocks."),
    ("dynamics.head_norm.", "world_model.denoiser.norm."),
    ("dynamics.noisy_in.", "world_model.denoiser.noisy_in."),
    ("dynamics.tau.", "world_model.denoiser.tau."),
    ("dynamics.tau_modulation.", "world_model.denoiser.tau_modulation."),
    ("dynamics.token_out.", "world_model.denoiser.token_out."),
    ("dynamics.outcome_out.", "world_model.denoiser.outcome_out."),
    ("dynamics.cell_layers.told.", "world_model.refiner.condition."),
    ("dynamics.cell_layers.", "world_model.refiner."),
    ("dynamics.change_in.", "world_model.change_in."),
    ("dynamics.inertia.", "world_model.motion."),
)


def present_name(name: str) -> str:
    """What a stored weight is called now; its own name, if it is not an old one."""
    for old, new in NAMES:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
