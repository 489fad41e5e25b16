"""From a table of image urls and captions to a trained text-to-image cascade."""

import sys

# `python -m corgi` puts today's folder before all others: whatever is called `configs` or `json` there would be ours.
if __name__ == "__main__" and not sys.flags.safe_path and sys.path[0] != __file__.rpartition("/")[0]:
    del sys.path[0]

from functools import partial

# isort: off
from commands import start, data, filters, models, demo, seeing, runs, sync, config  # noqa: F401  # each adds its commands; `--help` shows them so

# isort: on
from commands.app import app
from configs import exit_code_of


def main() -> None:
    """Run a command.

    Exit codes: 0 done, 1 failed, 2 wrong use or config, 3 shards failed, 75 stopped early (requeue), 93 stop the chain.
    """
    from storage.processes import die_with_starter, keep_to_safe_path

    die_with_starter()
    keep_to_safe_path()
    is_module = sys.argv[0].endswith("corgi.py")  # python -m corgi
    sys.exit(exit_code_of(partial(app, prog_name="python -m corgi" if is_module else "corgi")))


if __name__ == "__main__":
    main()
