"""The picture of a run's page that README and docs show, drawn by Chromium.

python docs/pictures/page.py runs/mine docs/pictures/page.webp
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

SIZE = (1100, 1500)  # px of the window
QUIET = "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking"


def picture(run: Path, out: Path) -> None:
    """Draw the upper part of a run's report/index.html as WebP."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise SystemExit("no Chromium here; install it, or give a browser of its kind on PATH")
    page = (run / "report" / "index.html").resolve().as_uri()
    with tempfile.TemporaryDirectory() as folder:
        shot, profile = Path(folder, "shot.png"), Path(folder, "profile")
        how = [f"--screenshot={shot}", f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"]
        subprocess.run([program, *QUIET.split(), *how, page], check=True, capture_output=True, timeout=120)
        with Image.open(shot) as image:
            image.convert("RGB").save(out, "WEBP", quality=80, method=6)


if __name__ == "__main__":
    picture(Path(sys.argv[1]), Path(sys.argv[2]))
