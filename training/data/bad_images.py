"""What stands in where an image is missing or broken: the next good row of its shard, so that the order stays."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from configs import UserError

from .dataset import Dataset, ImageError, Place, Sample

SUBSTITUTES = 100  # rows that are tried in a shard before the next shard is


class BadImage(NamedTuple):
    """An image that could not be used."""

    position: int
    shard: int  # its number
    key: str
    reason: str
    instead: str  # the key of the pair that was used
    also: list[tuple[int, str]] = []  # shard and key of others that might have stood in, and could not be used either

    @property
    def all(self) -> list[tuple[int, str]]:
        """Return shard and key of all images that could not be used here."""
        return [(self.shard, self.key), *self.also]


class SubstitutingReader:
    """Reads samples of a dataset, and remembers which images are bad. Safe to use from several threads.

    limit: how many may be bad before reading on is an error for people. known: shard and key of images that are bad,
    whether they could be read by now or not: all processes, and all restarts, train on the same samples.
    """

    def __init__(self, dataset: Dataset, *, limit: int, known: Iterable[tuple[int, str]] = ()) -> None:
        self._dataset, self._limit = dataset, limit
        self._reasons: dict[tuple[int, str], str] = {}
        self.know(known)

    def know(self, images: Iterable[tuple[int, str]]) -> None:
        """Learn of images, by shard and key, that another process could not use."""
        for image in images:
            self._reasons.setdefault(image, "it could not be used before")

    def read(self, place: Place, *, position: int) -> tuple[Sample, BadImage | None]:
        """Return the sample of a place, or what stands in for it and why. Raises UserError beyond the limit."""
        failed: list[tuple[int, str]] = []
        for candidate in self._candidates(place):
            sample = self._try(candidate)
            if sample is None:
                failed.append(self._name(candidate))
            elif not failed:
                return sample, None
            else:
                first, *also = failed
                return sample, BadImage(position, *first, self._reasons[first], sample.key, also)
        reason = self._reasons[failed[0]]
        raise UserError(f"no image of any shard can be used; that of {failed[0][1]}: {reason}", exit_code=1)

    def _name(self, place: Place) -> tuple[int, str]:
        return int(self._dataset.index.numbers[place.shard]), self._dataset.key(place)

    def _try(self, place: Place) -> Sample | None:
        name = self._name(place)
        if name in self._reasons:
            return None
        try:
            return self._dataset[place]
        except ImageError as error:
            self._reasons[name] = str(error)
        if len(self._reasons) > self._limit:
            raise UserError(
                f"more than data.bad_images = {self._limit} images cannot be used; the last: {self._reasons[name]}",
                exit_code=1,
            )
        return None

    def _candidates(self, place: Place) -> Iterator[Place]:
        """Yield the place itself, the rows after it, then those of the next shards: a pure function of the place."""
        counts = self._dataset.counts
        for step in range(len(counts)):
            shard = (place.shard + step) % len(counts)
            count = int(counts[shard])
            for further in range(min(count, SUBSTITUTES)):
                yield Place(shard, (place.row + further) % count)
