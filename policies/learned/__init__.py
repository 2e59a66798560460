"""Learned policies: their network, how it is trained, and how it plays."""
