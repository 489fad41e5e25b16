"""Run img2dataset in a process of its own: `python -P img2dataset_child.py arguments.json`.

Imports nothing of ours. The library starts further processes by spawning, and leaves some behind when it is killed, so
this process watches its parent and takes its whole process group with it.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Call `img2dataset.download` with the arguments in a JSON file."""
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    arguments = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from img2dataset import download

    download(**arguments)


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
