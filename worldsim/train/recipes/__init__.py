"""Recipes: how each shipped world was trained, one file a world. The registry of worlds names them."""
