"""What an image that exists already comes to: used as it is, encoded anew, or lost for a reason."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any, NamedTuple

from pipeline.download.decoders import Decoders
from pipeline.download.reasons import Refused
from pipeline.workers import Tally
from storage.pairs import OK, Outcome
from storage.tar_members import Member

from .samples import NoImage, Problem, Sample, Source

NEEDS_COPY = "needs_copy"
AHEAD = 8  # images that wait for the decoder, or for their turn
CARRIED = {"original_width": "original_width", "original_height": "original_height", "sha256": "fetched_sha256"}


class Judged(NamedTuple):
    """A sample with what becomes of it."""

    sample: Sample
    outcome: Outcome
    is_as_it_is: bool  # its own bytes are used

    def placed(self) -> Outcome:
        """Return the outcome where the tar is read as it lies: of its images, those are lost that are no plain JPEG."""
        if self.outcome.stored is None:
            return self.outcome
        if not self.is_as_it_is:
            about = {name: getattr(self.outcome, name) for name in (*CARRIED.values(), "format")}
            detail = f"a {self.outcome.format} that would have to be encoded anew"
            return Outcome(status=NEEDS_COPY, detail=detail, **about)
        place: Member = self.sample.place
        sha256 = hashlib.sha256(self.outcome.stored).hexdigest()
        return replace(self.outcome, stored=None, stored_sha256=sha256, tar_offset=place.offset, tar_size=place.size)


def judge(samples: Sequence[Sample], source: Source, decoders: Decoders) -> Iterator[Judged]:
    """Yield what becomes of each sample, in order; a few images are decoded ahead."""
    under_way, tally = deque[Future[Judged]](), Tally(of=len(samples))

    def first() -> Judged:
        judged = under_way.popleft().result()
        tally.add(judged.outcome.status)
        return judged

    try:
        for sample in samples:
            if len(under_way) == AHEAD:
                yield first()
            under_way.append(decoders.threads.submit(_judge, sample, source, decoders))
        while under_way:
            yield first()
    finally:
        for future in under_way:
            future.cancel()
        wait(under_way)  # they read from the source, which is closed next


def _judge(sample: Sample, source: Source, decoders: Decoders) -> Judged:
    if sample.problem is not None:
        return _lost(sample, sample.problem)
    try:
        if not (data := source.read(sample.place)):
            return _lost(sample, Problem("no_image", "empty"))
        stored = decoders.store(data)
    except NoImage as error:
        return _lost(sample, Problem("no_image", str(error)))
    except Refused as refused:
        return _lost(sample, Problem(refused.reason, refused.detail))
    outcome = Outcome(
        status=OK,
        format=stored.header.format,
        original_width=stored.header.width,
        original_height=stored.header.height,
        stored=stored.data,
        stored_width=stored.width,
        stored_height=stored.height,
    )
    return Judged(sample, replace(outcome, **_published(sample)), stored.data == data)


def _lost(sample: Sample, problem: Problem) -> Judged:
    return Judged(sample, Outcome(status=problem.reason, detail=problem.detail or None, **_published(sample)), True)


def _published(sample: Sample) -> dict[str, Any]:
    """Return what the source knows of the image as it was once served."""
    known = {ours: sample.fields.get(name) for name, ours in CARRIED.items()}
    sizes = {name: value for name, value in known.items() if type(value) is int and 0 < value < 2**31}
    digest = known["fetched_sha256"]
    return sizes | ({"fetched_sha256": digest} if isinstance(digest, str) and len(digest) == 64 else {})
