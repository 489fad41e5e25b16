"""Sets of images that a kill cannot spoil."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.text_encoder import TextConfig, TextEmbedder
from cascade.weights import LoadedStage, load_stage
from evaluation.config import SampleConfig
from evaluation.sample_sets import fill, rates
from storage import ledger
from storage.samples import SampleSet
from tests.cascade.checkpoints import save
from tests.cascade.encoders import small_t5
from tests.cascade.nets import BASE, SR, awake

CAPTIONS = ["a drawing of a red apple, food", "flag of Norway", "corgi"]
QUICK = {"steps": 2, "method": "ddim"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trained stages, with an encoder of their own."""
    home = tmp_path_factory.mktemp("stages")
    text = TextConfig(encoder=str(small_t5(home / "t5")))
    for stage in (BASE, SR):
        sampler = stage.sampler.model_copy(update=QUICK)
        quick = stage.model_copy(update={"text_width": 32, "sampler": sampler})
        save(home / stage.name, 3, quick, {"ema_ema": awake(quick)}, text=text)
    return [home / "base16", home / "sr64"]


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def stages(folders: list[Path]) -> list[LoadedStage]:
    return [load_stage(folder) for folder in folders]


class NoEmbedder(TextEmbedder):
    """An embedder that nobody may ask."""

    def __call__(self, config: TextConfig, captions: Sequence[str]) -> list[np.ndarray]:
        raise AssertionError("what is there is not drawn again")


def filled(
    samples: SampleSet, stages: list[LoadedStage], config: SampleConfig, *, seeds: Sequence[int], embed: TextEmbedder
) -> dict[str, np.ndarray]:
    return fill(samples, stages, captions=CAPTIONS, seeds=seeds, embed=embed, config=config)


def test_a_set_is_drawn_stage_by_stage_and_only_what_is_missing_or_stale(stages: list[LoadedStage], tmp_path: Path):
    samples, config = SampleSet(tmp_path, "some"), SampleConfig(batch=2, precision="fp32")
    embed, seeds = TextEmbedder(), [1, 2, 3]
    images = filled(samples, stages, config, seeds=seeds, embed=embed)
    assert {name: array.shape for name, array in images.items()} == {
        "base16": (3, 16, 16, 3),
        "sr64": (3, 64, 64, 3),
    }
    again = filled(samples, stages, config, seeds=seeds, embed=NoEmbedder())
    assert all(np.array_equal(again[name], images[name]) for name in images)
    bytes_before = samples.path("sr64").read_bytes()
    samples.path("sr64").unlink()  # as a kill between the stages leaves it
    filled(samples, stages, config, seeds=seeds, embed=embed)
    assert samples.path("sr64").read_bytes() == bytes_before
    drawn = [(line["stage"], line["pictures"]) for line in ledger.read(tmp_path)]
    assert drawn == [("base16", 3), ("sr64", 3), ("sr64", 3)]
    with pytest.raises(AssertionError, match="not drawn again"):  # other seeds are other images
        filled(samples, stages, config, seeds=[1, 2, 4], embed=NoEmbedder())
    sampler = stages[1].config.sampler.model_copy(update={"guidance": 2.0})
    other = config.model_copy(update={"samplers": {"sr64": sampler}})
    changed = filled(samples, stages, other, seeds=seeds, embed=embed)
    assert np.array_equal(changed["base16"], images["base16"]) and not np.array_equal(changed["sr64"], images["sr64"])
    assert set(rates(ledger.read(tmp_path))) == {"base16", "sr64"}
    assert list(samples.parts()) == ["base16", "sr64"]
    samples.write_sheet(images["sr64"])
    assert size(tmp_path / "samples" / "some.png") == (15 * 96, 96)
