"""`corgi init --from` any kind of data that people have: what is written begins with all of its pairs."""

import csv
import io
import tarfile
from pathlib import Path

import datasets
import pytest

from configs import load
from pipeline.config import PipelineConfig
from pipeline.runner import run_step
from project.check import problems_of
from project.files import project_of
from project.init import init
from project.look import look
from storage.plan import pairs_of
from tests.bucket import bucket_called

from .drawn import caption, picture

PAIRS = 40
URLS = [f"https://a.test/{number}.jpg" for number in range(PAIRS)]
CAPTIONS = [caption(number) for number in range(PAIRS)]


def begun(folder: Path, given: str, *, url: str | None = None, caption: str | None = None) -> PipelineConfig:
    """The pipeline's config that was written for a source, after the first step of its run."""
    list(init(folder / "mine", given, steps=2, preset="tiny", url=url, caption=caption))
    assert problems_of(project_of(folder / "mine")) == []
    config = load(PipelineConfig, folder / "mine/pipeline.yaml")
    run_step("plan" if config.way == "table" else "adopt", config, workers=1)
    assert sum(pairs_of(config.run)) == PAIRS
    return config


def as_csv(*, names: tuple[str, str], delimiter: str = ",") -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows(
        [("nr", *names), *((number, *pair) for number, pair in enumerate(zip(URLS, CAPTIONS, strict=True)))]
    )
    return text.getvalue().encode()


def as_tar(path: Path, numbers: range) -> None:
    """A plain tar: a picture and its caption one after the other, and nothing beside it."""
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            image = io.BytesIO()
            picture(number).save(image, "JPEG")
            for ending, data in (("jpg", image.getvalue()), ("txt", CAPTIONS[number].encode())):
                member = tarfile.TarInfo(f"sample{number:03d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    (tmp_path / "tars").mkdir()
    for part in range(4):
        as_tar(tmp_path / f"tars/part-{part}.tar", range(part * 10, part * 10 + 10))
    return tmp_path / "tars"


@pytest.mark.long
def test_plain_tars_in_a_folder(tmp_path: Path, tars: Path):
    assert begun(tmp_path, str(tars)).adopt.source == (tars,)


@pytest.mark.long
def test_a_glob_of_tars(tmp_path: Path, tars: Path):
    (tars / "notes.txt").write_text("no tar")
    assert begun(tmp_path, str(tars / "part-*.tar")).adopt.source == (tars / "part-*.tar",)


def test_a_glob_of_tables_from_todays_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tables").mkdir()
    lines = as_csv(names=("url", "caption")).splitlines(keepends=True)
    for part in range(2):
        rows = lines[1 + part * 20 : 21 + part * 20]
        (tmp_path / f"tables/{part}.csv").write_bytes(b"".join([lines[0], *rows]))
    monkeypatch.chdir(tmp_path)
    assert begun(tmp_path, "tables/*.csv").table == [str(tmp_path / "tables/*.csv")]


@pytest.mark.parametrize(
    ("names", "delimiter", "ending"), [(("bild", "titel"), ",", "csv"), (("链接", "说明"), "\t", "tsv")]
)
def test_one_table_whose_columns_nobody_else_has(tmp_path: Path, names: tuple[str, str], delimiter: str, ending: str):
    (tmp_path / f"t.{ending}").write_bytes(as_csv(names=names, delimiter=delimiter))
    plan = begun(tmp_path, str(tmp_path / f"t.{ending}")).plan
    assert (plan.url, plan.caption) == names and look(str(tmp_path / f"t.{ending}")).pairs == PAIRS


def test_columns_that_are_named(tmp_path: Path):
    (tmp_path / "t.csv").write_bytes(as_csv(names=("a", "b")))
    plan = begun(tmp_path, str(tmp_path / "t.csv"), url="a", caption="b").plan
    assert (plan.url, plan.caption) == ("a", "b")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:datetime:DeprecationWarning")  # of botocore
def test_a_table_in_a_bucket(tmp_path: Path):
    with bucket_called("mine") as bucket:
        bucket.pipe_file("mine/tables/t.csv", as_csv(names=("bild", "titel")))
        for number, given in enumerate(("s3://mine/tables/t.csv", "s3://mine/tables/", "s3://mine/tables/*.csv")):
            (tmp_path / str(number)).mkdir()
            assert begun(tmp_path / str(number), given).table == [given]


@pytest.mark.long
def test_what_datasets_saved_with_pictures_and_with_urls(tmp_path: Path):
    pictures = {"image": [picture(number) for number in range(PAIRS)], "text": CAPTIONS}
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    datasets.Dataset.from_dict(pictures, features=features).save_to_disk(tmp_path / "pictures")
    datasets.Dataset.from_dict({"url": URLS, "text": CAPTIONS}).save_to_disk(tmp_path / "urls")
    assert begun(tmp_path / "a", str(tmp_path / "pictures")).way == "shards"
    assert begun(tmp_path / "b", str(tmp_path / "urls")).way == "table"
