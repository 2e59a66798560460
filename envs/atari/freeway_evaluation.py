"""What `worldsim eval` measures of Freeway beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, CounterProbe, Probes, StateGroup, Target

PROBES = Probes(
    groups=(
        StateGroup("player", ("chicken_y",), unit="px", radius=3.0),
        StateGroup("cars", tuple(f"car_{i}_x" for i in range(10)), "mean", "px", period=96.0),
        StateGroup("score", ("score",)),
    ),
    counter=CounterProbe("chicken_y", (2 / 128, 9 / 128, 14 / 96, 36 / 96)),
    targets=(
        Target("fidelity.codec_psnr", least=32.0),
        Target("drift.collapsed", most=0.0),
        Target("motion.moving", least=0.98),
        Target("actions.agreement_of_ceiling", least=0.90),
        Target("state.player_kept", least=30.0),
        Target("motion.counted_net", least=0.9),
        *EVERY_WORLD,
    ),
)
