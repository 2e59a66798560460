"""Crafter: an open world seen from above, to gather, build, fight and survive in."""
