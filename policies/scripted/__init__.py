"""Scripted policies, one file a world."""
