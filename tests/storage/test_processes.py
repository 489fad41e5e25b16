"""A lock has one holder, goes with its process, and is done without where the file system knows none."""

import errno
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from configs import UserError
from storage.processes import locked

HOLDS = """
import sys, time
from pathlib import Path
from storage.processes import locked
with locked(Path(sys.argv[1]), busy=""):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_is_refused_until_the_first_is_gone(tmp_path):
    path = tmp_path / "made/on/the/way/lock"
    with locked(path, busy="mine"), pytest.raises(UserError, match=r"^mine$") as error, locked(path, busy="mine"):
        pass
    assert error.value.exit_code == 1
    with locked(path, busy="mine"):
        pass


def test_a_killed_process_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=r"busy"), locked(tmp_path / "lock", busy="busy"):
            pass
        process.send_signal(signal.SIGKILL)
    with locked(tmp_path / "lock", busy="busy"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_has_none_to_wait_for(tmp_path, monkeypatch, number):
    def refuse(self, **_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with locked(tmp_path / "lock", busy="busy"):
        pass


def test_other_errors_are_not_swallowed(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(OSError, match=r"directory"), locked(tmp_path / "lock", busy="busy"):
        pass
