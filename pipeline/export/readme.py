"""What stands in an export's folder for people, and for the hub, which reads its first lines."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import yaml

from storage.exports import DATA

from .options import Options

LICENSES = ("license", "licence", "rights")  # columns of a url table, the first that is there
SHOWN = 20  # licences that are named

HOW = {
    "webdataset": """```python
import webdataset
pairs = webdataset.WebDataset("{first}", shardshuffle=False).decode("pil").to_tuple("jpg", "txt")
```""",
    "parquet": """```python
import polars
pairs = polars.read_parquet("{first}", columns=["key", "caption", "image"])  # image: the bytes of a JPEG
```""",
    "hf": """```python
from datasets import load_dataset
pairs = load_dataset("path/to/{folder}", split="train")
```""",
}


def readme(run: Path, folder: Path, options: Options, counts: Mapping[str, int], licenses: Counter[str]) -> str:
    """Return the text. counts: pairs of each split; licenses: pairs under each, empty where no column tells."""
    splits = [split for split, count in counts.items() if count]
    head = ""
    if options.to != "parquet":
        where = "{}/*/*.tar" if options.to == "webdataset" else DATA + "/{}-*"
        files = [{"split": split, "path": where.format(split)} for split in splits]
        card = {"configs": [{"config_name": "default", "data_files": files}]}
        head = f"---\n{yaml.safe_dump(card, sort_keys=False)}---\n\n"
    lines = [f"# {run.name}: {sum(counts.values()):,} pairs of images and captions", ""]
    lines += [f"- {split}: {counts[split]:,}" for split in splits]
    lines += ["", f"Images are {_size(options)}. Exported by Corgi from the pairs that its rules kept.", ""]
    first = "train/000/00000.tar" if options.to == "webdataset" else f"{DATA}/*.parquet"
    lines += [HOW[options.to].format(folder=folder.name, first=first), ""]
    if options.text_embeds == "beside":
        lines += ["A training reads it as it reads a run: its `data.index` is the path of index.parquet here.", ""]
    return head + "\n".join([*lines, *_licenses(licenses)]) + "\n"


def _size(options: Options) -> str:
    return (
        f"at most {options.max_side_px} px on their longest side" if options.max_side_px else "as the run stores them"
    )


def _licenses(licenses: Counter[str]) -> list[str]:
    if not licenses:
        return [
            "## Licence",
            "",
            "The table these pairs came from names no licence. Images and captions belong to those who made them; "
            "whether you may copy, train on or publish them is for you to find out.",
        ]
    most = licenses.most_common(SHOWN)
    lines = ["## Licence", "", "As the table says that these pairs came from:", ""]
    lines += [f"- {name}: {count:,}" for name, count in most]
    return lines + ([f"- {len(licenses) - SHOWN:,} others"] if len(licenses) > SHOWN else [])
