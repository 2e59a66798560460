"""What `worldsim eval` measures of take cover beyond what it measures of every world. Data only."""

from worldsim.evals.probes import EVERY_WORLD, EventProbe, Probes, StateGroup, Target

PROBES = Probes(
    groups=(
        StateGroup("player", ("place",), unit="map units", radius=32.0),
        StateGroup("monsters in view", ("monsters_seen",)),
        StateGroup("fireballs in view", ("fireballs_seen",)),
    ),
    events=(
        EventProbe("monsters", "monsters that appear in 1,000 frames", "monsters_seen", "growth"),
        EventProbe("fireballs", "fireballs in view", "fireballs_seen", "level"),
        EventProbe("deaths", "deaths in 1,000 frames", "", "count"),
    ),
    targets=(
        Target("events.monsters", most=0.15),
        Target("events.fireballs", most=0.15),
        Target("events.deaths", most=0.15),
        Target("drift.collapsed", most=0.01),
        *EVERY_WORLD,
    ),
)
