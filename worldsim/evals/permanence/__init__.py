"""The permanence suite: what a world remembers of what it no longer shows. Start reading at `scene.py`."""
