"""Models on the Hugging Face hub: fetched unless the local cache has them, and one line where neither is there."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from configs import UserError

FILES = ("*.json", "*.safetensors", "*.model", "*.txt")  # all that is read of a model, and no pickle among it
CHATTER = logging.getLogger("huggingface_hub.utils._http")  # two lines for each of its six tries, at every start


def is_name(text: str) -> bool:
    """Tell whether a text has the form of a model's name: owner/model."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", text) is not None


def fetch_model(name: str, revision: str, *, what: str) -> Path:
    """Return the folder with those files of a model that match FILES.

    name: owner/model; revision: a branch, tag or commit; what: how a config calls it, for the UserError where it is
    neither in the cache nor to be had.
    """

    def snapshot() -> str:
        import huggingface_hub

        return huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=list(FILES))

    return _fetched(snapshot, name, what)


def fetch_config(name: str, revision: str, *, what: str) -> Path:
    """Return a model's config.json, as `fetch_model` does the rest."""

    def download() -> str:
        import huggingface_hub

        return huggingface_hub.hf_hub_download(name, "config.json", revision=revision)

    return _fetched(download, name, what)


def _fetched(fetch: Callable[[], str], name: str, what: str) -> Path:
    try:
        with _silence(CHATTER):
            return Path(fetch())
    except Exception as error:  # the library's own errors, and those of every layer of the network below it
        *_, root = _causes(error)
        reason = " ".join(str(root).split())[:200] or type(root).__name__
        advice = "where the hub cannot be reached, give a folder with its json and safetensors files"
        raise UserError(f"{what} {name!r} cannot be fetched: {reason}; {advice}", exit_code=1) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


@contextmanager
def _silence(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
