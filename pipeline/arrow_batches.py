"""Parquet and Arrow files as streams of record batches, read by Arrow from any file system.

Text comes as its bytes: DuckDB's own reader would stop at the first cell that is no UTF-8.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.fs import FSSpecHandler, PyFileSystem

from configs import UserError

from .table_files import TableFile, told_of

if TYPE_CHECKING:
    import pyarrow.dataset

ENCODED = pa.large_binary()  # the type of text
BINARY = pa.binary()  # the type of what may be text, as older writers do not say
BATCH = 16_384  # rows that are read at a time


def open_batches(files: Sequence[TableFile]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the columns of files of one kind, and all their rows, in order. Raises UserError."""
    return _of_parquet(files) if files[0].kind == "parquet" else _of_arrow(files)


def count_rows(files: Sequence[TableFile]) -> int:
    """Return how many rows parquet files have, from their footers alone."""
    with told_of(files[0].name):
        return _parquet(files).count_rows()


def seen_by_arrow(opened: Any) -> pa.PythonFile:
    """Return a file of fsspec for Arrow to read; it does not always say itself how it was opened."""
    return pa.PythonFile(opened, mode="r")


def _parquet(files: Sequence[TableFile]) -> "pyarrow.dataset.Dataset":
    import pyarrow.dataset  # it imports pandas, of which every other command knows nothing

    # Without these, whole files are held in memory.
    options = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    kind = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=options)
    parts = []
    for _, group in groupby(files, key=lambda file: id(file.filesystem)):
        same = list(group)
        filesystem = None if same[0].is_local else PyFileSystem(FSSpecHandler(same[0].filesystem))
        parts.append(pyarrow.dataset.dataset([file.path for file in same], format=kind, filesystem=filesystem))
    return parts[0] if len(parts) == 1 else pyarrow.dataset.dataset(parts)


def _of_parquet(files: Sequence[TableFile]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with told_of(files[0].name):
        own = [part.physical_schema for part in _parquet(files).get_fragments()]
        schema = _common(own, files)
        # Opened anew: a part that knows its footer asks for ranges, which not every server of files has.
        parts = zip(_parquet(files).get_fragments(), own, strict=True)
        scanners = (part.scanner(schema=kinds, batch_size=BATCH, batch_readahead=2) for part, kinds in parts)
    return schema, _cast((batch for scanner in scanners for batch in scanner.to_batches()), schema)


def _of_arrow(files: Sequence[TableFile]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    with told_of(files[0].name):
        schema = _common([_ipc(file).schema for file in files], files)
    return schema, _cast((part for file in files for batch in _batches(file) for part in _parts(batch)), schema)


def _ipc(file: TableFile) -> Any:
    """Open an Arrow file; `datasets` writes streams, Feather and the rest files with a footer."""
    source = pa.memory_map(file.path) if file.is_local else seen_by_arrow(file.filesystem.open(file.path, "rb"))
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _batches(file: TableFile) -> Iterator[pa.RecordBatch]:
    reader = _ipc(file)
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    return (batch.slice(start, BATCH) for start in range(0, len(batch), BATCH))


def _encoded(schema: pa.Schema) -> pa.Schema:
    return pa.schema([*zip(_names(schema), [_read_as(field.type) for field in schema], strict=True)])


def _common(schemas: list[pa.Schema], files: Sequence[TableFile]) -> pa.Schema:
    """Return the columns of all files, of types that hold the values of each. Raises UserError where there are none."""
    common = first = _encoded(schemas[0])
    for schema, file in zip(schemas[1:], files[1:], strict=True):
        if (encoded := _encoded(schema)) == first:
            continue
        try:
            common = pa.unify_schemas([common, encoded], promote_options="permissive")
        except pa.ArrowException as error:
            said = " ".join(str(error).replace(str(ENCODED), "text").split())
            raise UserError(f"{file.name} does not go with {files[0].name}: {said}; make the types equal") from None
    return common


def _names(schema: pa.Schema) -> list[str]:
    """Return the columns' names; those without one, as an index that was saved too, are called as in a csv."""
    return [name or f"column{place}" for place, name in enumerate(schema.names)]


def _cast(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the batches with all columns in one order; those that a file does not have are NULL."""
    for batch in batches:
        columns = dict(zip(_names(batch.schema), batch.columns, strict=True))
        arrays = [_fitted(columns.get(field.name), field.type, len(batch)) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _fitted(column: pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, kind) if column is None else column.cast(kind)


def _read_as(kind: pa.DataType) -> pa.DataType:
    """Return the type that a column is read as: text as bytes, whoever said that they are UTF-8."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain):
        return ENCODED
    is_binary = pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or pa.types.is_binary_view(plain)
    return BINARY if is_binary else _known(plain)


def _known(kind: pa.DataType) -> pa.DataType:
    """Return the type with halves and long decimals, which DuckDB does not have, as wider floats."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.float64()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_known(kind.value_type), kind.list_size)
    return pa.list_(_known(kind.value_type)) if pa.types.is_list(kind) else kind
