import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError
from storage.atomic import commit, commit_bytes, committing, remove_left_over
from storage.tables import FINGERPRINT, content_of, read_mark, read_table, write_table


def test_a_failed_write_leaves_the_file_before_and_no_scratch(tmp_path: Path):
    path = tmp_path / "a" / "file"
    commit_bytes(path, b"first")

    def half(scratch: Path) -> None:
        scratch.write_bytes(b"sec")
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        commit(path, half)
    assert path.read_bytes() == b"first"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_a_killed_write_is_absent_and_the_next_one_works(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from storage.atomic import commit\n"
        "def write(scratch):\n    scratch.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"commit(Path({str(tmp_path / 'x')!r}), write)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": "."}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "x").exists()
    commit_bytes(tmp_path / "x", b"whole")
    foreign = [tmp_path / f".x.{name}.scratch" for name in ("other.host.test-7-7f", "unlike")]
    for scratch in foreign:
        scratch.write_bytes(b"somebody is at work on it")
    with committing(tmp_path / "y") as ours:
        remove_left_over(tmp_path)
        assert {file.name for file in tmp_path.iterdir()} == {"x", ours.name, *(scratch.name for scratch in foreign)}
        ours.write_bytes(b"whole")
    os.utime(foreign[0], (0, 0))
    remove_left_over(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"x", "y", foreign[1].name}


def test_a_scratch_file_is_never_a_link_that_lies_in_wait(tmp_path: Path):
    target = tmp_path / "precious"
    target.write_bytes(b"mine")
    with committing(tmp_path / "x") as scratch:
        scratch.write_bytes(b"first")
    for name in (".x.scratch", scratch.name):
        (tmp_path / name).symlink_to(target)
    commit_bytes(tmp_path / "x", b"second")
    assert (target.read_bytes(), (tmp_path / "x").read_bytes()) == (b"mine", b"second")


def test_the_mark_tells_maker_and_content_apart(tmp_path: Path):
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    write_table(tmp_path / "one.parquet", table, fingerprint="f1")
    write_table(tmp_path / "two.parquet", pa.concat_tables([table.slice(0, 1), table.slice(1)]), fingerprint="f2")
    one, two = read_mark(tmp_path / "one.parquet"), read_mark(tmp_path / "two.parquet")
    assert one and two and one.fingerprint == "f1" and two.fingerprint == "f2"
    assert one.content == two.content == content_of(table)
    assert content_of(table.slice(1)) != content_of(table)


def test_the_same_table_gives_the_same_bytes(tmp_path: Path):
    for name in ("one", "two"):
        write_table(tmp_path / name, pa.table({"a": [1.5, None]}), fingerprint="f", metadata={"k": "v"})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_digest_of_what_a_table_holds_does_not_depend_on_how_it_lies_in_memory():
    columns = {"text": ["a", None, "ccc", "d"] * 50, "flag": [True, False, None, True] * 50, "plain": ["q"] * 200}
    lists = pa.array([["x"], [], None, ["y", "zz"]] * 50, pa.list_(pa.string()))
    table = pa.table({**columns, "bytes": pa.array([b"x", None, b"yy", b""] * 50, pa.large_binary()), "lists": lists})
    part = table.slice(37, 100)
    layouts = [
        pa.Table.from_pylist(part.to_pylist(), schema=part.schema),
        pa.concat_tables([part.slice(0, 13), part.slice(13)]),
        table.filter(pa.array([37 <= row < 137 for row in range(200)])),
        part.set_column(2, "plain", pa.DictionaryArray.from_arrays([0] * 100, ["q"]).dictionary_decode()),
    ]
    assert {content_of(layout) for layout in layouts} == {content_of(part)}
    assert content_of(table.slice(36, 100)) != content_of(part)


def test_absent_torn_and_foreign_files_carry_no_mark(tmp_path: Path):
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({FINGERPRINT: "f"}), tmp_path / "half.parquet")
    assert read_mark(tmp_path / "half.parquet") is None  # a maker, and no digest of what it holds
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    assert read_mark(tmp_path / "torn.parquet") is None
    assert read_mark(tmp_path / "absent.parquet") is None
    with pytest.raises(UserError, match=r'run "corgi score .*" first'):
        read_table(tmp_path / "absent.parquet", made_by="score")


@pytest.mark.long
def test_files_may_be_read_by_whom_the_umask_lets(tmp_path: Path):
    save = (
        "import torch; from safetensors.torch import save_file as s; commit(path, lambda p: s({'a': torch.ones(1)}, p))"
    )
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        path = tmp_path / f"{mask:o}.safetensors"
        start = f"import os; os.umask({mask}); from pathlib import Path; from storage.atomic import commit"
        subprocess.run([sys.executable, "-c", f"{start}; path = Path({str(path)!r}); {save}"], check=True)
        assert path.stat().st_mode & 0o777 == mode


def test_a_folder_that_a_step_spills_into_is_no_file_that_was_left_over(tmp_path: Path):
    spilled = tmp_path / ".plan.scratch"
    spilled.mkdir()
    os.utime(spilled, (0, 0))
    remove_left_over(tmp_path)
    assert spilled.exists()


def test_a_dead_process_that_nobody_buried_leaves_nothing_over(tmp_path: Path):
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
    scratch = tmp_path / f".00000.tar.{socket.gethostname()}-{child.pid}-7f.scratch"
    scratch.touch()
    remove_left_over(tmp_path)
    child.wait()
    assert not scratch.exists()
