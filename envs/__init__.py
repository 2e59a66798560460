"""Gymnasium environments: the real worlds, and the generated ones that imitate them."""
