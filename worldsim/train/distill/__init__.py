"""Distillation into few passes: every method as the clean latent that the student should predict, and a loss."""
