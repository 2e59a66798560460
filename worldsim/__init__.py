"""worldsim: learn a world from recorded play, then be it, frame by frame."""
