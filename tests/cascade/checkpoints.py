"""A committed checkpoint as the trainer writes it, from the outside: only JSON, safetensors and sha256."""

import hashlib
import json
from pathlib import Path

from safetensors.torch import save_file

from cascade.layers import UNet
from cascade.stage import StageConfig
from cascade.text_encoder import TextConfig
from storage.marks import with_seal


def save(
    run: Path, step: int, stage: StageConfig, tracks: dict[str, UNet], *, text: TextConfig | None = None, ranks: int = 2
) -> Path:
    """tracks: file name without suffix ("params", "ema_ema") -> the net whose weights it holds, spread over ranks."""
    folder = run / "checkpoints" / f"step_{step:08d}"
    for rank in range(ranks):
        home = folder / f"rank_{rank}"
        home.mkdir(parents=True)
        for track, net in tracks.items():
            weights = {name: tensor.detach().contiguous() for name, tensor in net.named_parameters()}
            save_file(dict(list(weights.items())[rank::ranks]), home / f"{track}.safetensors")
        marks = {path.name: digest(path) for path in sorted(home.glob("*.safetensors"))}
        (home / "manifest.json").write_text(json.dumps({"files": marks}))
    about = {"stage": stage.model_dump(mode="json"), "text": (text or TextConfig()).model_dump(mode="json")}
    (folder / "stage.json").write_text(json.dumps(about))
    commit(folder, step)
    return folder


def commit(folder: Path, step: int) -> None:
    sealed = [*sorted(folder.glob("rank_*/manifest.json")), folder / "stage.json"]
    files = {str(path.relative_to(folder)): digest(path) for path in sealed}
    (folder / "COMMIT.json").write_text(json.dumps(with_seal({"step": step, "files": files})))


def digest(path: Path) -> dict[str, object]:
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
