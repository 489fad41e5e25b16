"""The models: text encoder, U-Nets, diffusion, samplers, and what a trained cascade draws.

config           a stage as data, read without torch            stage         from it to its net
adm, efficient   the nets of base and SR stages                 layers        the blocks and the call they share
weights          a trained stage, read back
conditioning     noise level and text, ready for every block    dropout       masks that belong to a sample
text_encoder     T5, MiniLM: captions to embeds                 resize        one kernel for data and sampler
diffusion        log-SNR, what nets predict, losses             samplers      ddpm, ddim, dpmpp_2m, heun; guidance
generate         captions to images, stage by stage             explain       what a stage's config amounts to
device           where nets can be put                          sampler_options   one value for all stages, or one each

    from cascade import Cascade
    cascade = Cascade.load(["runs/x/train/base64", "runs/x/train/sr256"])
    images = cascade.sample(["a red heart"], seed=0)    {"base64": (1, 64, 64, 3) uint8 RGB 0 to 255, "sr256": ...}

A stage's net and numbers are a function of its config, its weights and the seeds it is given, and what they mean is
stored with them: no result hangs on a default. Nothing here trains, reads a data set, writes a file or looks at more
than one run: that belongs above. Imports storage (checkpoints, digests) and configs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generate import Cascade

__all__ = ["Cascade"]


def __getattr__(name: str) -> Any:
    """Load what is asked for, and torch with it, when it is asked for: other files of this folder need none."""
    if name == "Cascade":
        from .generate import Cascade

        return Cascade
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
