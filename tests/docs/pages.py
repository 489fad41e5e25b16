"""The commands and examples that README and docs show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.stem != "log")]
COMMAND = re.compile(r"^ {4}(corgi .+)$", re.MULTILINE)
REMARK = re.compile(r" {2,}.*")  # what stands behind a command, two spaces away


class Shown(NamedTuple):
    """One command as a page shows it."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Return what a shell makes of it, without the program's name."""
        return shlex.split(self.line)[1:]


def commands() -> Iterator[Shown]:
    """Yield every command of every page; the columns of README's list of steps are single spaces to a shell."""
    for page in PAGES:
        for found in COMMAND.finditer(page.read_text(encoding="utf-8")):
            name, *rest = found[1].split(None, 2)[1:]
            line = REMARK.sub("", " ".join(["corgi", name, *rest]))
            yield from (Shown(page.name, part.strip()) for part in line.split("&&"))


def python_blocks(page: Path) -> list[str]:
    """Return the examples in Python: indented blocks that begin with an import."""
    blocks = re.findall(r"(?:^ {4}.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in blocks if block.lstrip().startswith("import ")]
