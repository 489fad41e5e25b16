"""`engine: ray`: the shards of a rank on the workers of a Ray cluster, which must all see the run's folder.

Whichever cluster RAY_ADDRESS names, else one that runs here, else one that is started here and ends with this process.
It stands where the pool of processes would, so retries, causes and exit codes are the runner's, and bytes are the same.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from configs import UserError
from storage.lease import LEASE
from storage.shard import Shard

from .step import ShardStep
from .workers import attempt, may_take

CARRIED = ("PYTHONPATH", "PYTHONSAFEPATH", LEASE, "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM")
PIP = "pip install 'corgi-t2i[ray]'"


class RayPool(Executor):
    """A pool whose workers are Ray's, as many as there are. spread: how many processes' work each may take."""

    def __init__(self, workers: int, *, spread: int) -> None:
        self._ray, self._spread = _connected(), spread
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(_attempted)

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **_: Any) -> Future[Counter[str]]:  # type: ignore[override]
        """Hand a shard to Ray. call: always `attempt`."""
        assert call is attempt
        future: Future[Counter[str]] = Future()
        future.set_running_or_notify_cancel()
        environment = {name: os.environ[name] for name in CARRIED if name in os.environ}
        task = self._task.options(runtime_env={"env_vars": environment})
        task.remote(self._spread, *arguments).future().add_done_callback(lambda done: _settle(future, done))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster as it is: the next pool goes on with it."""


def _attempted(spread: int, step: ShardStep, shard: Shard) -> Counter[str] | Exception:
    """Run in a worker. Ray would wrap an error in one of its own; returned, it stays what it is."""
    may_take(spread)
    try:
        return attempt(step, shard)
    except Exception as error:
        return error


def _settle(future: Future[Counter[str]], done: Future[Any]) -> None:
    if (lost := done.exception()) is not None:  # the worker died, or its machine
        future.set_exception(BrokenProcessPool(str(lost).partition("\n")[0]))
    elif isinstance(result := done.result(), Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _connected() -> Any:
    """Return Ray, connected. Raises UserError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it tells nobody that it runs
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(f"engine: ray needs Ray, which is not installed: {PIP}") from None
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    return ray
