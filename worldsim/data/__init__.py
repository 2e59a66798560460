"""Recorded play: files, windows, latents, video."""
