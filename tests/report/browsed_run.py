"""A run to look through: apples, and pairs that are vile, not fit to be seen, or hostile."""

from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig
from report.browse.pairs import PAGE
from tests.demo.serving import Server
from tests.factory import noise_image, selected, through

VILE = "i hate you, you fucking idiot"
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>{{7*7}}\u202egnp.exe'
EVIL_URL = "javascript:document.title=1"


def make(folder: Path) -> PipelineConfig:
    """A run after `select`."""
    rows: list[dict[str, Any]] = [
        {"caption": f"a red apple number {number}", "scores": {"language": "en" if number % 3 else "de"}}
        for number in range(2 * PAGE)
    ]
    rows += [
        {"caption": VILE, "scores": {"hate": 0.9}},
        {"caption": "a beach", "scores": {"nsfw_score": 0.8}},
        {"caption": HOSTILE, "url": EVIL_URL},
    ]
    for row in rows:
        row["image"] = noise_image(len(row["caption"]), px=24)
    config = selected(folder, rows)
    through(config, "select")
    return config


def address(server: Server) -> str:
    return next(word for word in server.log.read_text().split() if word.startswith("http://"))
