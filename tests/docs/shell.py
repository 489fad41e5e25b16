"""A shell for one word, `corgi`: each command is a fork of a process that has loaded torch and the rest already.

    with Shell(cwd=folder, environment={...}) as shell:
        done = shell.run("corgi status runs/x")

Loading takes four seconds and the commands of the pages are many. A fork begins with modules alone: nothing has been
computed before it, so no thread and no open file comes along. All else is as typed: its own process, folder and argv.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).parents[2]
OUTPUT = "output.txt"  # of the last command, in the folder where they run


class Done(NamedTuple):
    """What a command came to."""

    code: int
    output: str  # stdout and stderr


class Shell:
    """The process that forks."""

    def __init__(self, *, cwd: Path, environment: dict[str, str]) -> None:
        self.output = cwd / OUTPUT
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.docs.shell"],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def run(self, line: str) -> Done:
        """Run one command."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(shlex.split(line)[1:]) + "\n")
        self.process.stdin.flush()
        return Done(int(self.process.stdout.readline()), self.output.read_text(encoding="utf-8"))


def main() -> None:
    """Fork for each line of stdin, a list of words, and answer with its exit code."""
    import duckdb  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401

    import corgi

    for line in sys.stdin:
        child = os.fork()
        if not child:
            sys.argv = ["corgi", *json.loads(line)]
            _write_to(Path(OUTPUT))
            corgi.main()  # ends in SystemExit, and with it this process
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _write_to(file: Path) -> None:
    """Let stdout and stderr go there; nobody types anything."""
    with file.open("wb") as out, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)


if __name__ == "__main__":
    main()
