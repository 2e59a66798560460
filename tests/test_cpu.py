"""Cores: no more than a process is bound to, and no more than its container is given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from worldsim.cpu import usable_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes can't be bound here")
def test_a_bound_process_uses_what_it_is_bound_to():
    one = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, {{{one}}}); from worldsim.cpu import usable_cores; print(usable_cores())"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "1\n"


def test_a_container_s_limit_counts_wherever_it_is_set(tmp_path):
    membership = tmp_path / "membership"
    membership.write_text("0::/outer/inner\n")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "cpu.max").write_text("max 100000\n")
    everything = usable_cores(tmp_path, membership)
    assert everything == usable_cores(tmp_path / "nothing", tmp_path / "nothing")
    (tmp_path / "outer" / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path, membership) == 1
    membership.write_text("4:cpu,cpuacct:/old\n")
    (tmp_path / "cpu" / "old").mkdir(parents=True)
    (tmp_path / "cpu" / "old" / "cpu.cfs_period_us").write_text("100000\n")
    for quota, cores in (("-1", everything), ("30000", 1)):
        (tmp_path / "cpu" / "old" / "cpu.cfs_quota_us").write_text(quota)
        assert usable_cores(tmp_path, membership) == cores
