"""What an evaluation shows and asks is kept out of a run: its pictures however they are turned, and its prompts."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from configs import UserError
from filters.base import Batch
from filters.pdq import Pdq, PdqConfig
from pipeline.download.config import DownloadConfig
from pipeline.download.image import store
from pipeline.picture_hashes import HEAD, write_hashes
from storage import keep_list, pairs
from storage.plan import shards_of
from tests.factory import config_for, stored, through, write_pairs
from tests.filters.batches import picture

EVALUATED = 3  # seeds of the evaluation's pictures: 0, 1, 2
CAPTIONS = {n: f"picture number {n}" for n in range(8)} | {6: "A Baby  daisy, photographed"}


def copy_of(number: int) -> bytes:
    """A JPEG of a pair: of the evaluation's pictures each turned otherwise, smaller and compressed."""
    pixels = np.rot90(
        np.fliplr(picture(number, width=320, height=256)) if number == 2 else picture(number, width=320), number
    )
    file = io.BytesIO()
    Image.fromarray(pixels).resize((200, 200)).save(file, "JPEG", quality=85)
    return file.getvalue()


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    folder = tmp_path / "evaluation" / "val"
    folder.mkdir(parents=True)
    for seed in range(EVALUATED):
        size: dict[str, Any] = {"width": 320, "height": 256} if seed == 2 else {"width": 320}
        Image.fromarray(picture(seed, **size)).resize((512, 512)).save(folder / f"{seed}, of three.png")
    Image.new("RGB", (64, 64)).save(folder / "flat.png")
    (folder / "torn.jpg").write_bytes(copy_of(5)[:300])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_pictures_and_prompts_of_an_evaluation_are_kept_out(tmp_path: Path, evaluation: Path):
    listing, prompts = tmp_path / "evaluation.csv", tmp_path / "prompts.txt"
    assert write_hashes([evaluation.parent], listing) == (EVALUATED, 2)
    lines = listing.read_text().splitlines()
    assert lines[0] == HEAD and len(lines) == 1 + 8 * EVALUATED
    assert len({line.partition(",")[0] for line in lines[1:]}) == 8 * EVALUATED
    prompts.write_text("a baby daisy\n")
    lists = {"shown": {"pdq": [str(listing)], "turned": False}, "asked": {"text": [str(prompts)]}}
    config = config_for(tmp_path, select={"lists": lists})
    table = {"url": [f"http://a.test/{n}.jpg" for n in CAPTIONS], "caption": [*CAPTIONS.values()]}
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    through(config, "plan")
    (shard,) = shards_of(config.run)
    write_pairs(shard, pairs.planned(shard), lambda pair: stored(copy_of(int(pair["url"][-5]))))
    through(config, "score", "dedup", "select")
    urls = pairs.stored(shard, ["url"])["url"].to_pylist()
    failed = keep_list.read(shard, ["failed"])["failed"].to_pylist()
    found = {int(url[-5]): names for url, names in zip(urls, failed, strict=True) if names}
    assert found == {0: ["shown"], 1: ["shown"], 2: ["shown"], 6: ["asked"]}


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16"])
def test_pictures_are_hashed_as_they_are_stored(tmp_path: Path, mode: str):
    drawn = Image.fromarray(picture(4, width=320))
    if mode == "I;16":
        made = Image.fromarray(np.asarray(drawn.convert("L")).astype(np.uint16) * 256)
    else:  # what is not there is black, as most tools write it, and a run stores white
        made = Image.new("RGBA", drawn.size)
        made.paste(drawn.crop((80, 60, 240, 180)), (80, 60))
        made = made.quantize(64) if mode == "P" else made
    made.save(tmp_path / "drawn.png")
    write_hashes([tmp_path], tmp_path / "list.csv")
    listed = (tmp_path / "list.csv").read_text().splitlines()[1].partition(",")[0]
    kept = store((tmp_path / "drawn.png").read_bytes(), DownloadConfig().limits).data
    with Image.open(io.BytesIO(kept)) as opened:
        (hashed,) = Pdq(PdqConfig())(Batch(images=[np.asarray(opened.convert("RGB"))]))["pdq"]
    assert sum((a ^ b).bit_count() for a, b in zip(bytes.fromhex(listed), hashed, strict=True)) <= 20


def test_what_cannot_be_listed_is_told_in_a_line(tmp_path: Path, evaluation: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in ((tmp_path / "none", "is not there"), (empty, r"no picture there \(\.jpg")):
        with pytest.raises(UserError, match=words):
            write_hashes([folder], tmp_path / "list.csv")
    with pytest.raises(UserError, match="1 pictures are too flat for a hash or cannot be read"):
        write_hashes([evaluation / "flat.png"], tmp_path / "list.csv")
    assert not (tmp_path / "list.csv").exists()
