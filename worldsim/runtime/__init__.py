"""What plays a world: bundles, runtimes, sessions."""
