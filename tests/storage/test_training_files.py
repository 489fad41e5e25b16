"""Keep-list, text embeds and index: written, read again, and refused where they do not fit."""

import numpy as np
import pyarrow as pa
import pytest

from configs import UserError
from storage import index, keep_list, text_embeds
from storage.shard import KEEP, Shard
from storage.tables import write_table
from storage.text_embeds import TextEmbedsFile

KEYS = [f"{number:08x}" for number in range(6)]


def pairs(keys=KEYS) -> pa.Table:
    numbers = list(range(len(keys)))
    return pa.table({"key": keys, **dict.fromkeys(keep_list.CARRIED[:-1], numbers), "caption": keys})


def write_keep_list(shard: Shard) -> None:
    failed = pa.array([["small"] if row == 1 else [] for row in range(6)])
    held_out, large = (pa.array([row in rows for row in range(6)]) for rows in ((1, 2), (1, 2, 3)))
    keep_list.write(shard, pairs(), failed=failed, held_out=held_out, stages={"large": large}, fingerprint="made")


def test_a_keep_list_says_who_is_trained_on(tmp_path):
    shard = Shard(tmp_path, 0)
    write_keep_list(shard)
    keep = keep_list.read(shard, of=pairs())
    assert keep_list.trained_on(keep, "train").tolist() == [True, False, False, True, True, True]
    assert keep_list.trained_on(keep, "large").tolist() == [False, False, False, True, False, False]
    assert keep_list.validated_on(keep).tolist() == [False, False, True, False, False, False]
    assert keep_list.stages_of(shard) == ["large"] and keep["failed"][1].as_py() == ["small"]
    assert keep_list.read(shard, ["kept"]).column_names == ["key", "kept"]


def test_a_keep_list_of_other_pairs_is_refused(tmp_path):
    shard = Shard(tmp_path, 0)
    write_keep_list(shard)
    with pytest.raises(UserError, match=r'is not of the pairs there are now; run "corgi select .*" first'):
        keep_list.read(shard, of=pairs(KEYS[::-1]))
    with pytest.raises(UserError, match=r'is not there; run "corgi select .*" first'):
        keep_list.read(Shard(tmp_path, 1))


def test_the_digest_of_kept_keys_knows_nothing_else(tmp_path):
    shard, other = Shard(tmp_path, 0), Shard(tmp_path, 1)
    write_keep_list(shard)
    failed = pa.array([["another rule"] if row == 1 else [] for row in range(6)])
    keep_list.write(other, pairs(), failed=failed, held_out=pa.array([False] * 6), stages={}, fingerprint="other")
    assert keep_list.kept_digest(shard) == keep_list.kept_digest(other) is not None
    assert keep_list.kept_digest(Shard(tmp_path, 2)) is None


def embeds_file(run, captions, keys) -> TextEmbedsFile:
    embeds = {caption: np.full((len(caption), 4), number, np.uint16) for number, caption in enumerate(captions)}
    shard = Shard(run, 0)
    path = shard.path(text_embeds.suffix("tiny"))
    columns = pa.chunked_array([keys], pa.string())
    text_embeds.write(path, columns, captions, embeds, fingerprint="made", encoder="digest", width=4)
    return TextEmbedsFile(shard, "tiny")


def test_text_embeds_come_back_by_row_and_key(tmp_path):
    file = embeds_file(tmp_path, ["red", "a", "red"], KEYS[:3])
    assert (len(file), file.width, file.total_tokens, file.keys) == (3, 4, 7, KEYS[:3])
    assert file.at(1, key=KEYS[1]).tolist() == [[1] * 4]
    assert (file.at(0, key=KEYS[0]) == file.at(2, key=KEYS[2])).all() and file.at(0, key=KEYS[0]).shape == (3, 4)
    assert file.row_of(KEYS[2]) == 2 and file.row_of("elsewhere") is None
    assert text_embeds.encoder_of(file.path) == "digest" and text_embeds.encoder_of(tmp_path / "none.arrow") is None
    for row, key in ((1, KEYS[0]), (3, KEYS[2])):
        with pytest.raises(UserError, match=r'does not fit its keep-list; run "corgi embed .* && corgi index .*"'):
            file.at(row, key=key)


def test_no_kept_pair_is_a_file_too(tmp_path):
    file = embeds_file(tmp_path, [], [])
    assert (len(file), file.total_tokens, file.keys) == (0, 0, [])
    with pytest.raises(UserError, match=r"does not fit"):
        file.at(0, key=KEYS[0])


def test_text_embeds_that_are_not_there_torn_or_old_name_the_command(tmp_path):
    shard = Shard(tmp_path, 0)
    with pytest.raises(UserError, match=r'is not there; run "corgi embed .*" first'):
        TextEmbedsFile(shard, "tiny")
    path = embeds_file(tmp_path, ["red"], KEYS[:1]).path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r'cannot be read .*run "corgi embed .*" again'):
        TextEmbedsFile(shard, "tiny")
    old = pa.table({"key": KEYS, "states": [b""] * 6}).replace_schema_metadata({"corgi.width": "4"})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, old.schema) as writer:
        writer.write_table(old)
    with pytest.raises(UserError, match=r'is of an earlier version; run "corgi embed .* && corgi index .*"'):
        TextEmbedsFile(shard, "tiny")


ROW = {"shard": 0, "tar": "000/00000.tar", "pairs": 6, "kept": 5, "train": 4, "held_out": 1, "large": 1, "tokens": 9}


def test_an_index_comes_back_with_what_can_be_trained_on(tmp_path):
    rows = [{**ROW, **dict.fromkeys(index.CONTENTS, "digest")}]
    text = {"max_tokens": 64}
    index.write(tmp_path, rows, fingerprint="made", encoder="tiny", width=4, text=text, stages=["large"])
    file = index.read(tmp_path / index.INDEX)
    assert (file.encoder, file.width, file.text, file.columns) == ("tiny", 4, text, ["train", "large"])
    assert file.table.to_pylist() == rows


def test_what_is_no_index_names_the_remedy(tmp_path):
    path = tmp_path / index.INDEX
    with pytest.raises(UserError, match=r'is not there; run "corgi index .*" first'):
        index.read(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r'cannot be read .*run "corgi index .*" again'):
        index.read(path)
    write_keep_list(Shard(tmp_path, 0))
    with pytest.raises(UserError, match=r'is not an index; give the file that "corgi index" writes'):
        index.read(Shard(tmp_path, 0).path(KEEP))
    old = pa.Table.from_pylist([{**ROW, "content_states": "digest"}])
    write_table(path, old, fingerprint="made", metadata={"corgi.encoder": "tiny", "corgi.width": "4"})
    with pytest.raises(UserError, match=r'is of an earlier version; run "corgi embed .* && corgi index .*"'):
        index.read(path)
