"""Which files a table is made of: a file, a folder, a glob or a url of either, and a Hugging Face `datasets` folder.

Anything that fsspec opens can be a table (`s3://`, `gs://`, `hf://`, `https://`).
"""

import errno
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from configs import UserError

KINDS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonlines"), "jsonl"),
    ".json": "json",
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
TEXT_KINDS = ("csv", "tsv", "jsonl")  # these may be compressed
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}  # by Arrow's names
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "abfs": "adlfs"}
ABOUT = {"state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "metadata.json"}  # no tables
OF_SPLIT = re.compile(r"(.+)-\d{5}-of-\d{5}\..+")  # as the hub names files: train-00000-of-00005.parquet
OF_HIVE = re.compile(r"(?!split=)[^=]+=")  # year=2024; of splits the one meant is asked for
TAKEN = "parquet, csv, tsv, jsonl (these three also .gz or .zst), json, arrow or feather"

Tables = list[str]  # of a config


class TableFile(NamedTuple):
    """One file of a table."""

    name: str  # the path or url, as people know it
    kind: str  # a value of KINDS
    filesystem: fsspec.AbstractFileSystem
    path: str  # as the file system knows it
    info: dict[str, Any]  # what the file system says of it

    @property
    def is_local(self) -> bool:
        """Tell whether the file is on this machine."""
        return isinstance(self.filesystem, LocalFileSystem)

    @property
    def suffix(self) -> str:
        """Return the end of the name that says how the file is read, in small letters: `.csv.gz`."""
        plain = _plain_name(self.name)
        compression = next((end for end in COMPRESSIONS if plain.endswith(end)), "")
        return PurePosixPath(plain.removesuffix(compression)).suffix + compression


def files_of(tables: Sequence[str]) -> list[TableFile]:
    """Return the files of all tables, in the order given and by name within a folder or glob. Raises UserError."""
    files = [file for table in tables for file in _files(table)]
    kinds = sorted({file.kind for file in files})
    if len(kinds) > 1:
        examples = [next(file.name for file in files if file.kind == kind) for kind in kinds]
        raise UserError(f"tables of one plan are of one kind, not {' and '.join(kinds)}: {', '.join(examples)}")
    return files


def lists_of(names: Sequence[str]) -> list[TableFile]:
    """Return text files of lines, whatever their names end with. Raises UserError."""
    lists = []
    for name in names:
        filesystem, path = _opened(name)
        with told_of(name, "list"):
            lists.append(TableFile(name, "lines", filesystem, path, filesystem.info(path)))
    return lists


@contextmanager
def told_of(name: str, what: str = "table") -> Iterator[None]:
    """Tell what a file system raises as a person's error. Each of them has errors of its own."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        takes = f"; `table` in the config takes {TAKEN} files" if what == "table" else ""
        raise UserError(f"{name}: no such {what}{takes}") from None
    except Exception as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):  # of the copy, not of the table
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{name} cannot be read: {said}", exit_code=1) from None


def _files(table: str) -> list[TableFile]:
    filesystem, path = _opened(table)
    with told_of(table):
        if _is_glob(filesystem, path):
            by_path = filesystem.glob(path, detail=True)
            infos = _followed(filesystem, by_path.values())
            chosen = [info for info in infos if info["type"] == "file" and not _is_hidden(info["name"])]
            if not chosen:
                raise UserError(f"{table}: no such table; no file's name fits")
        else:
            info = filesystem.info(path)
            if info["type"] != "directory":
                return [TableFile(table, kind_of(table), filesystem, path, info)]
            chosen = _in_folder(filesystem, path, table)
    # A writer of parts that had no row leaves a file without even a header line.
    chosen = [info for info in chosen if info.get("size") != 0 or _kind(info["name"]) not in TEXT_KINDS] or chosen
    by_name = sorted(chosen, key=lambda info: str(info["name"]))
    names = {info["name"]: _name(filesystem, info["name"]) for info in by_name}
    return [TableFile(names[i["name"]], kind_of(names[i["name"]]), filesystem, i["name"], i) for i in by_name]


def _opened(table: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of a path or url, and the path within it."""
    if "://" not in table:
        local = LocalFileSystem()
        return local, local._strip_protocol(table)
    protocol = table.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(table)
    except ImportError:
        package = PACKAGES.get(protocol, f"the package of fsspec for {protocol}")
        raise UserError(f"{table}: {protocol}:// needs a package that is not there; pip install {package}") from None
    except ValueError as error:
        raise UserError(f"{table}: {error}; a table is a path or a url that fsspec opens") from None


def kind_of(name: str) -> str:
    """Return how a file is read, by the end of its name. Raises UserError naming it."""
    kind = _kind(name)
    if kind:
        return kind
    if _plain_name(name).endswith((".txt", ".txt.gz")):
        raise UserError(f"{name}: a list of urls has no captions; a table has both, as {TAKEN}")
    raise UserError(f"{name}: a table is {TAKEN}, not {PurePosixPath(_plain_name(name)).suffix!r}")


def _kind(name: str) -> str | None:
    plain = _plain_name(name)
    for compression in COMPRESSIONS:
        if plain.endswith(compression):
            inner = KINDS.get(PurePosixPath(plain.removesuffix(compression)).suffix)
            return inner if inner in TEXT_KINDS else None
    return KINDS.get(PurePosixPath(plain).suffix)


def _plain_name(name: str) -> str:
    """Return the last part of a path or url in small letters, without a query."""
    path = urlsplit(name).path if name.startswith(("http://", "https://")) else name
    return PurePosixPath(path).name.lower()


def _in_folder(filesystem: fsspec.AbstractFileSystem, folder: str, table: str) -> list[dict[str, Any]]:
    """Return the tables of a folder, which may be one that `datasets` saved or that came from its hub."""
    listed = _followed(filesystem, filesystem.ls(folder, detail=True))
    by_name = {_base(info): info for info in listed if info["name"].rstrip("/") != folder.rstrip("/")}
    if "dataset_dict.json" in by_name:
        splits = json.loads(filesystem.cat_file(by_name["dataset_dict.json"]["name"]))["splits"]
        if len(splits) > 1:
            raise UserError(_splits_error(table, [f"{table.rstrip('/')}/{split}" for split in splits]))
        return _in_folder(filesystem, f"{folder}/{splits[0]}", f"{table.rstrip('/')}/{splits[0]}")
    if "state.json" in by_name and "dataset_info.json" in by_name:
        state = json.loads(filesystem.cat_file(by_name["state.json"]["name"]))
        return [by_name[file["filename"]] for file in state["_data_files"]]
    tables = {name: info for name, info in by_name.items() if _is_table(info)}
    if any(_kind(name) != "json" for name in tables):  # beside other tables, JSON says something about them
        tables = {name: info for name, info in tables.items() if _kind(name) != "json"}
    if not tables:
        if by_name.get("data", {}).get("type") == "directory":
            return _in_folder(filesystem, f"{folder}/data", f"{table.rstrip('/')}/data")
        inner = sorted(name for name, info in by_name.items() if info["type"] == "directory")
        if inner and all(OF_HIVE.match(name) for name in inner):  # as Spark and Hive write what they part by a column
            return [file for name in inner for file in _in_folder(filesystem, f"{folder}/{name}", f"{table}/{name}")]
        aside = f"; its folders are {', '.join(inner)}: give the one meant" if inner else ""
        raise UserError(f"{table} holds no table, which is {TAKEN}{aside}")
    splits = sorted({named[1] if (named := OF_SPLIT.fullmatch(name)) else "" for name in tables})
    if len(splits) > 1 and "" not in splits:
        raise UserError(_splits_error(table, [f"{table.rstrip('/')}/{split}-*" for split in splits]))
    return list(tables.values())


def _followed(filesystem: fsspec.AbstractFileSystem, infos: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what links lead to, of which a folder of the hub's cache is full, under the names of the links."""
    return [
        {**filesystem.info(info["name"]), "name": info["name"]} if info.get("islink") else info
        for info in infos
        if not info.get("islink") or filesystem.exists(info["name"])
    ]


def _splits_error(table: str, choices: list[str]) -> str:
    return f"{table} holds {len(choices)} splits; give the one meant, or several as a list: {', '.join(choices)}"


def _is_table(info: dict[str, Any]) -> bool:
    name = _base(info)
    return info["type"] == "file" and not _is_hidden(name) and name not in ABOUT and _kind(name) is not None


def _is_hidden(path: str) -> bool:
    return PurePosixPath(path).name.startswith((".", "_"))


def _base(info: dict[str, Any]) -> str:
    return PurePosixPath(info["name"]).name


def _is_glob(filesystem: fsspec.AbstractFileSystem, path: str) -> bool:
    marks = "*[" if path.startswith(("http://", "https://")) else "*?["
    return any(mark in path for mark in marks) and not filesystem.exists(path)


def _name(filesystem: fsspec.AbstractFileSystem, path: str) -> str:
    return path if isinstance(filesystem, LocalFileSystem) else filesystem.unstrip_protocol(path)
