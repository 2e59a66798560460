"""Learned worlds as environments."""
