"""What `worldsim eval` measures of Crafter beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, Probes, StateGroup, Target
from worldsim_envs.crafter.instrument import judge_crafter
from worldsim_envs.crafter.names import VITALS
from worldsim_envs.crafter.reader import state_reader

PROBES = Probes(
    groups=(StateGroup("vitals", VITALS, "mean", "points"), StateGroup("daylight", ("daylight",))),
    make_reader=state_reader,
    judge=judge_crafter,
    targets=(
        Target("fidelity.codec_psnr", least=32.0),
        Target("crafter.codec_digits", least=0.99),
        Target("crafter.tiles_1", least=0.97),
        Target("crafter.tiles_64", least=0.80),
        Target("crafter.inventory", least=0.90),
        Target("crafter.back_32", least=0.85),
        Target("crafter.rules", least=0.90),
        Target("drift.collapsed", most=0.0),
        Target("bench.fps_batch_1", least=60.0),
        *(target for target in EVERY_WORLD if target.figure != "bench.fps_batch_1"),
    ),
)
