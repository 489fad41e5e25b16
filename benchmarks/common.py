"""What all benchmarks share: contenders in processes of their own, alternating runs, figures, and the last line.

    A gets ready, B gets ready, A runs, B runs, A runs, B runs, ...        one runs, the others wait

A contender is a function of the benchmark's own file: it takes the settings, gets ready and returns a function that
makes one timed run. It runs with Corgi's Python, or as a peer with the Python of `make bench-setup`. So this file, and
what a benchmark imports at its top, needs the standard library alone.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(os.environ.get("CORGI_BENCH_VENV", ROOT / ".venv-bench"))
NO_PEERS = 2  # exit code
LOG_LINES = 5  # of a contender that failed

Figures: TypeAlias = dict[str, float]  # of one run
Run: TypeAlias = Callable[[], Figures]
Settings: TypeAlias = dict[str, Any]
Runs: TypeAlias = dict[str, list[Figures]]  # contender -> a dict a round


class Contender(NamedTuple):
    """One side of a benchmark. needs: modules of the peers' environment; none: it runs with Corgi's own Python."""

    prepare: Callable[[Settings], Run]
    needs: tuple[str, ...] = ()


Contenders: TypeAlias = Mapping[str, Contender]


def options(text: str | None, *, rounds: int = 5, rows: int | None = None) -> argparse.Namespace:
    """Return the command line that all benchmarks share. text: the benchmark's docstring. rows: for `--rows`."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a smoke run: one round, little data, figures mean nothing"
    )
    parser.add_argument("--rounds", type=int, help=f"alternating runs of each contender, {rounds} by default")
    if rows:
        parser.add_argument("--rows", type=int, default=rows, help=f"{rows:,} by default, for which the bars are")
    parser.add_argument("--contender", help=argparse.SUPPRESS)  # this process is one of the contenders
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else rounds)
    return given


def missing(contenders: Contenders) -> str | None:
    """Return what to do where the peers' environment lacks a module of a contender; None where all are there."""
    needed = sorted({module for contender in contenders.values() for module in contender.needs})
    code = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    python = PEERS / "bin" / "python"
    if not needed or (python.exists() and not subprocess.run([python, "-c", code, *needed]).returncode):
        return None
    return f"{', '.join(needed)}: not all in {PEERS}; run `make bench-setup` first"


@contextlib.contextmanager
def ready(module: str, contenders: Contenders, settings: Settings, *, threads: int = 1) -> Iterator[dict[str, Run]]:
    """Yield contender -> run, each in a process of its own that is ready and waits. threads: of each."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(_process(module, name, settings, python=_python(contender), threads=threads))
            for name, contender in contenders.items()
        }


def _python(contender: Contender) -> Path:
    return PEERS / "bin" / "python" if contender.needs else Path(sys.executable)


@contextlib.contextmanager
def _process(module: str, name: str, settings: Settings, *, python: Path, threads: int) -> Iterator[Run]:
    command = [str(python), "-m", module, "--contender", name, "--settings", json.dumps(settings)]
    with tempfile.TemporaryFile("w+") as log:
        child = subprocess.Popen(
            command, stdin=-1, stdout=-1, stderr=log, text=True, bufsize=1, cwd=ROOT, env=environment(threads)
        )
        assert child.stdin is not None and child.stdout is not None

        def answer() -> Figures:
            line = child.stdout.readline()  # type: ignore[union-attr]
            if not line:
                log.seek(0)
                raise RuntimeError(f"{name} failed: {' | '.join(log.read().splitlines()[-LOG_LINES:])}")
            return json.loads(line)  # type: ignore[no-any-return]

        def run() -> Figures:
            child.stdin.write("run\n")  # type: ignore[union-attr]
            return answer()

        try:
            answer()
            yield run
        finally:
            child.stdin.close()  # it ends at the end of its input, also where this process is killed
            child.wait()


def environment(threads: int = 1) -> dict[str, str]:
    """Return the environment of a contender: its threads are counted, and nothing asks the network."""
    quiet = {"HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **quiet, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}


def serve(contenders: Contenders, given: argparse.Namespace) -> int:
    """Be a contender: get ready, then make one run for every line of the input. Libraries may print; it goes astray."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    # PyPI's torchvision looks for its CUDA kernels beside a torch that has none, and fails; nobody here calls them.
    sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")
    run = contenders[given.contender].prepare(given.settings)
    print("{}", file=answers)
    for _ in sys.stdin:
        print(json.dumps(run()), file=answers)
    return 0


def main(text: str | None, contenders: Contenders, measure: Callable[[argparse.Namespace], int]) -> int:
    """Run a benchmark whose peers are all needed, or one of its contenders; return the exit code."""
    given = options(text)
    if given.contender:
        return serve(contenders, given)
    if reason := missing(contenders):
        print(reason, file=sys.stderr)
        return NO_PEERS
    return measure(given)


def alternate(sides: Mapping[str, Run], *, rounds: int) -> Runs:
    """Return the figures of every run: A B A B."""
    runs: Runs = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            runs[name].append(run())
            print(f"round {number + 1}/{rounds}  {name:22}", _line(runs[name][-1]), flush=True)
    return runs


def ratios(runs: Runs, name: str, over: str, figure: str) -> list[float]:
    """Return a figure of one contender over that of another, round by round."""
    return [a[figure] / b[figure] for a, b in zip(runs[name], runs[over], strict=True)]


def report(bench: str, runs: Runs, further: Mapping[str, Sequence[float]], *, bars: Mapping[str, float]) -> int:
    """Print every figure and, as the last line, the JSON object.

    further: figures that follow from the runs, a value a round. bars: name of one of them -> the least it should be.
    """
    values: dict[str, Sequence[float]] = {
        f"{name}.{figure}": [run[figure] for run in rounds] for name, rounds in runs.items() for figure in rounds[0]
    }
    values |= further
    figures = {name: {"median": _r(median(v)), "min": _r(min(v)), "max": _r(max(v))} for name, v in values.items()}
    for name, spread in figures.items():
        print(f"{name:44} {spread['median']:>10,}   {spread['min']:,} to {spread['max']:,}")
    judged = {name: [figures[name]["median"], bar, figures[name]["median"] >= bar] for name, bar in bars.items()}
    holds = all(holds for _, _, holds in judged.values())
    print(json.dumps({"bench": bench, "figures": figures, "bars": judged, "holds": holds}))
    return 0


def _line(figures: Figures) -> str:
    return "  ".join(f"{name} {_r(value):,}" for name, value in figures.items())


def _r(value: float) -> float:
    """Round to four figures."""
    return float(f"{value:.4g}")
