"""Instruments that judge a world, one a file."""
