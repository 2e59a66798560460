"""Policies that play the worlds, scripted and learned, behind one batched protocol: `worldsim_policies.base.Policy`."""
