"""Doom scenarios."""
