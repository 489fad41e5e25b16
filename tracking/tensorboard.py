"""A ledger as a file of TensorBoard's events, which grows as the ledger does: `tensorboard --logdir RUN`.

The same lines give the same bytes, and more lines give more bytes after them. So a file that is there is only added to,
and one that is open in TensorBoard shows what comes; a sync that was killed leaves a beginning, and the next one adds
the rest.
"""

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from report.sensitive import SensitivePairs
from storage.atomic import commit_bytes
from storage.pictures import contact_sheet

from .pictures import drawn
from .sources import Source
from .told import Line, told

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0.corgi"
COLUMNS = 4  # images of a grid in a row


def write(source: Source) -> list[str]:
    """Write what is new; return a line for a person."""
    folder = source.folder / FOLDER / ("" if source.is_training else source.name)
    path, events = folder / FILE, _events(source)
    known = path.read_bytes() if path.exists() else b""
    if known and events.startswith(known):
        with path.open("ab") as file:
            file.write(events[len(known) :])
            file.flush()
            os.fsync(file.fileno())
    else:
        commit_bytes(path, events)
    return [f"{source.name}: {len(source.lines):,} lines in {folder}"]


def _events(source: Source) -> bytes:
    """Return the whole file: records of TensorBoard's Event message."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    lines, sensitive = [*told(source.lines)], SensitivePairs({})
    with tempfile.TemporaryDirectory() as scratch:
        writer = RecordWriter(f"{scratch}/events")
        writer.write(Event(wall_time=lines[0][1].get("time", 0), file_version="brain.Event:2").SerializeToString())
        for number, line in lines:
            values = [Summary.Value(tag=name, simple_value=figure) for name, figure in source.figures(line).items()]
            values += [
                Summary.Value(
                    tag="grid", image=Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
                )
                for height, width, png in _grid(source, line, sensitive)
            ]
            step = line["step"] if source.is_training else number
            event = Event(wall_time=line.get("time", 0), step=step, summary=Summary(value=values))
            writer.write(event.SerializeToString())
        writer.close()
        return Path(scratch, "events").read_bytes()


def _grid(source: Source, line: Line, sensitive: SensitivePairs) -> Iterator[tuple[int, int, bytes]]:
    """Yield height, width and PNG of what a line drew."""
    if not source.is_training or line["event"] != "grid" or not (images := drawn(source, line, sensitive)):
        return
    sheet = contact_sheet([np.asarray(image) for _, image in images], columns=COLUMNS, px=line["px"])
    file = io.BytesIO()
    sheet.save(file, "PNG")
    yield sheet.height, sheet.width, file.getvalue()
