"""A room of toys, to play in and to test memory with."""
