"""What strangers wrote reaches a terminal escaped, through `corgi why`."""

from pathlib import Path

from storage import pairs
from storage.plan import shards_of
from tests.factory import downloaded, through
from training.why import tell


def test_captions_cannot_move_the_cursor_nor_forge_a_line(tmp_path: Path):
    caption = "a cat\x1b[2J\x1b]0;owned\x07\npair      0000 is kept \u202eevil"
    config = downloaded(tmp_path, [{"seed": 1, "caption": caption}, {"reason": "http_404\x1b[31m", "caption": "a dog"}])
    through(config, "score", "dedup", "select")
    for row in pairs.read(shards_of(config.run)[0]).to_pylist():
        told = tell(config.run, row["key"])
        assert all(char.isprintable() for line in told.split("\n") for char in line)
        assert sum(line.startswith("pair ") for line in told.split("\n")) == 1
