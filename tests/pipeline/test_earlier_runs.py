"""A run made by an earlier version is read, or refused in one line that says what to do."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configs import UserError, load
from pipeline.config import PipelineConfig
from pipeline.runner import build, run_step
from storage import index
from storage.plan import shards_of
from storage.run import CONFIG
from storage.shard import Shard
from storage.tables import with_mark, write_table
from storage.text_embeds import TextEmbedsFile
from tests.factory import downloaded, through

ROWS = [{"seed": n, "caption": f"picture number {n}"} for n in range(4)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PipelineConfig:
    """Return a run that is embedded and indexed."""
    config = downloaded(tmp_path_factory.mktemp("whole"), ROWS)
    through(config, "score", "dedup", "select", "embed", "index")
    return config


@pytest.fixture
def embedded(whole: PipelineConfig, tmp_path: Path) -> PipelineConfig:
    """Return a copy of it."""
    shutil.copytree(whole.run, tmp_path / "run")
    return whole.model_copy(update={"run": tmp_path / "run"})


def renamed_back(shard: Shard, config: PipelineConfig) -> None:
    """Write the shard's embeds as they were called before: tokens and states, and no word of their type."""
    path = shard.path(".minilm.arrow")
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all().select(["key", "num_tokens", "text_embeds"])
    table = table.rename_columns(["key", "tokens", "states"])
    metadata = {"corgi.encoder": config.embed.text.fingerprint, "corgi.width": "384"}
    table = with_mark(table, "by version 1", metadata)
    path.unlink()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def test_the_config_of_a_run_with_an_engine_is_read(embedded: PipelineConfig):
    file = embedded.run / CONFIG
    assert "\nengine: local\n" in file.read_text()
    assert load(PipelineConfig, file).model_copy(update={"run": embedded.run}) == embedded
    with pytest.raises(UserError, match="engine: Input should be 'local' or 'ray', got 'cluster'"):
        load(PipelineConfig, file, ["engine=cluster"])
    with pytest.raises(UserError, match=r"engine is where shard steps run; who downloads is download\.engine: guarded"):
        load(PipelineConfig, file, ["engine=guarded"])


@pytest.mark.long
def test_earlier_states_are_stale_and_embed_makes_them_anew(embedded: PipelineConfig):
    (shard,) = shards_of(embedded.run)
    renamed_back(shard, embedded)
    with pytest.raises(UserError, match=r'of an earlier version; run "corgi embed .* && corgi index .*"'):
        TextEmbedsFile(shard, "minilm")
    assert build("embed", embedded).state(shard) == "stale"
    with pytest.raises(UserError, match=r'run "corgi embed .*" first'):
        run_step("index", embedded)
    assert run_step("embed", embedded, workers=1).counts == {"kept": 4, "encoded": 4}
    assert run_step("index", embedded).skipped == 1  # the embeds hold what they held


def test_an_earlier_index_is_refused(embedded: PipelineConfig):
    path = embedded.run / index.INDEX
    table = pq.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    names = [name.replace("content_text_embeds", "content_states") for name in table.column_names]
    write_table(path, table.rename_columns(names), fingerprint="by version 1", metadata=metadata)
    with pytest.raises(UserError, match=r'of an earlier version; run "corgi embed .* && corgi index .*"'):
        index.read(path)
    assert run_step("index", embedded).done == 1
    assert index.read(path).width == 384
