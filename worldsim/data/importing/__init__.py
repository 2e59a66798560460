"""Videos of any kind -> a recording: what is in them, upright and at one size and clock, cut where the shot is cut."""
