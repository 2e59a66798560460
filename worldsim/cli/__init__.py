"""The top layer: the only code that knows pygame, environments and policies."""
