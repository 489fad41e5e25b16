"""What a person can do about each reason for which samples are lost."""

from pipeline.download.advice import ADVICE, OTHER, Advice
from pipeline.download.reasons import is_among

from .config import AdoptConfig

OF_SOURCE = {
    "no_image": Advice(
        "samples have no image under a usual name, or no bytes of it",
        ("image",),
        "names the column of a table that has it",
    ),
    "no_caption": Advice("samples have no text", ("caption",), "names the field or column that has it"),
    "unreadable": Advice("text is no UTF-8, metadata no JSON, or there is too much of it", change="mend the source"),
    "duplicate_key": Advice("samples have one key", change="no two samples of a tar may be called the same"),
    "needs_copy": Advice(
        "a few images of a tar cannot be used as they lie in it",
        ("leave_out",),
        "is the share of them that may be lost; with 0 the tar is copied, and they are encoded anew",
    ),
    "cut_short": Advice("the tar ends in the middle, or is damaged", change="fetch it again"),
    "bad_format": Advice("images are of other formats than asked for", ("formats",), "names those that are taken"),
}
KEYS = ("max_pixels", "max_bytes")  # of the reasons that a download has, too
FOUND_HERE = ("corrupt", "not_a_picture", "bad_aspect")  # by our own decoder
LOST_BEFORE = "whoever made the shards lost them, as the table beside them says"


def remedy(reason: str, config: AdoptConfig) -> str:
    """Return what a reason means, and the keys that would change it with their values."""
    known = OF_SOURCE | {name: advice for name, advice in ADVICE.items() if name not in OF_SOURCE}
    advice = next((advice for name, advice in known.items() if is_among(reason, [name])), OTHER)
    keys = [key for key in advice.keys if reason in OF_SOURCE or key in KEYS]
    named = " and ".join(f"adopt.{key} ({getattr(config, key)})" for key in keys)
    if named or reason in OF_SOURCE:
        return f"{advice.meaning}; {named} {advice.change}".replace("  ", " ").rstrip("; ")
    return f"{advice.meaning}; {'look at the source' if reason in FOUND_HERE else LOST_BEFORE}"
