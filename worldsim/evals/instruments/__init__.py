"""One instrument a file: what is measured of a world."""
