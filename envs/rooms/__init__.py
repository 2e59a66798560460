"""Rooms seen from within."""
