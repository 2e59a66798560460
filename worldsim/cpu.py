"""How many cores this process may use. Knows nothing of what they are used for."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> int:
    """Cores that this process may use: those it is bound to, and of them as many as its container is given.

    Args:
        cgroups, membership: where Linux tells of containers.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(bound, math.ceil(_quota(cgroups, membership))))


def _quota(cgroups: Path, membership: Path) -> float:
    """The least time, in cores, that a control group of this process is given; all cores if none is limited."""
    groups = {cgroups, cgroups / "cpu"}
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            root = cgroups / "cpu" if "cpu" in controllers.split(",") else cgroups
            path = root / name.lstrip("/")
            groups.update(g for g in (path, *path.parents) if g.is_relative_to(root))
    least = float(os.cpu_count() or 1)
    for group in groups:
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            quota, period = (group / "cpu.max").read_text().split()  # cgroup v2
            least = min(least, int(quota) / int(period))
        with contextlib.suppress(OSError, ValueError):  # cgroup v1, where -1 is no limit
            limit, time = (int((group / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
            least = min(least, limit / time) if limit > 0 else least
    return least
