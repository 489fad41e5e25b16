"""Where nets can be put."""

import torch

from configs import UserError

KINDS = ("cpu", "cuda", "mps", "xpu")


def find_device(wanted: str | None = None) -> str:
    """Return the wanted device; None: a GPU where there is one, else the CPU. UserError where it is not here."""
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        if device.type not in KINDS:
            raise RuntimeError("no device that draws")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch says either, by how it was built
        has = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        why = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(f"device {wanted!r} is not here ({why}); take one of: {', '.join(has)}") from None
    return wanted
