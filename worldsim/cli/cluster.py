"""A Ray cluster, for commands that run on many machines: join it, and wait for tasks of which any may be run again."""

from __future__ import annotations

from typing import Any

from worldsim.errors import WorldsimError, require

RETRIES = 20  # of a task whose worker dies


def join_cluster() -> Any:
    """Ray, connected to the cluster that `RAY_ADDRESS` names, or to the one that this machine is part of.

    Raises:
        WorldsimError: if Ray is not installed, or there is no cluster.
    """
    ray = require("ray", "cluster")
    if not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False)
        except ConnectionError as error:
            raise WorldsimError("--ray finds no cluster: run `ray start --head`, or set RAY_ADDRESS") from error
    return ray


def result_of(ray: Any, task: Any, what: str, way_out: str) -> Any:
    """What a task returns.

    Args:
        what: it does, in words. way_out: what to do if it can't be done, a sentence.

    Raises:
        WorldsimError: that the task raised; or if whoever runs it dies, again and again.
    """
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, WorldsimError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise WorldsimError(
            f"{what} can't be done: whoever does it dies ({type(error).__name__}). {way_out}"
        ) from error
