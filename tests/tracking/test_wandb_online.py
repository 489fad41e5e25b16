"""W&B over the network: from where it stands, through kills, and without harm where it is out of order."""

import time

import pytest

from storage import ledger
from tests.training.conftest import index, run, train  # noqa: F401  # fixtures
from tracking.sources import run_id
from tracking.sync import sync

from .fake_wandb import serving

WAIT_S = 120


@pytest.fixture(autouse=True)
def client(monkeypatch, tmp_path):
    """Give W&B's client a key of nobody, no account of who runs the tests, and little patience."""
    for name, value in {"API_KEY": "0" * 40, "CONFIG_DIR": str(tmp_path / "none"), "INIT_TIMEOUT": "5"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "5")


@pytest.fixture
def noted(tmp_path):
    """Make a run whose download was called once."""
    note_downloaded(tmp_path, ok=3)
    return tmp_path


def note_downloaded(folder, **counts):
    ledger.note(folder, event="step", step="download", seconds=2.0, counts=counts)


def until(holds):
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def test_each_line_is_sent_once(run, monkeypatch):  # noqa: F811
    folder, _ = run("mine")
    with serving() as fake:
        monkeypatch.setenv("WANDB_BASE_URL", fake.url)
        (first,) = sync(folder, to="wandb", offline=False)
        assert first.is_complete, first
        run("mine", "steps=8")
        (again,) = sync(folder, to="wandb", offline=False)
        (none,) = sync(folder, to="wandb", offline=False)
    rows = [row for row in fake.history(run_id(folder)) if "step/loss" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert again.is_complete and none.lines[0].startswith("base16: nothing new after")
