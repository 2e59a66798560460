"""Scripted policies, one module a world: explorers for recordings, and experts."""
