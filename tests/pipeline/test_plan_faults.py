"""plan on a disk that is full, and beside what others have put into its folder."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from configs import UserError
from pipeline.runner import build, run_table
from pipeline.url_tables import errors_of
from storage.plan import shards_of

from .test_plan import config, write


def test_a_disk_that_is_full_is_called_so(tmp_path: Path):
    query = "CREATE TABLE sorted AS SELECT sha256(i::VARCHAR) AS key, i FROM range(1500000) AS t(i) ORDER BY key"
    for wrapped in (nullcontext(), errors_of([])):
        settings: dict[str, Any] = {"memory_limit": "40MB", "temp_directory": str(tmp_path / "spilled"), "threads": "1"}
        with duckdb.connect(config=settings) as database:
            database.execute("SET max_temp_directory_size = '3MB'")  # else it is what the disk has free
            with pytest.raises((duckdb.Error, UserError)) as error, wrapped:
                database.execute(query)
        if isinstance(error.value, duckdb.Error):
            assert "Out of Memory" in str(error.value)  # its own word for it
    assert "No space left on device: a plan needs about as much space" in str(error.value)
    assert isinstance(error.value, UserError) and error.value.exit_code == 1


@pytest.mark.parametrize("name", [".plan.scratch", ".plan.parquet.scratch"])
def test_a_link_under_a_scratch_name_is_not_followed(tmp_path: Path, name: str):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    target = tmp_path / "mine" / ("thesis.tex" if "parquet" in name else "")
    (tmp_path / "run" / name).symlink_to(target)
    run_table(build("plan", config(tmp_path, write(tmp_path / "t.parquet"))))
    assert len(shards_of(tmp_path / "run")) == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "all of it"
