"""Policies: who presses the keys."""
