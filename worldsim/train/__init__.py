"""Training: one plain loop a file."""
