"""Tensors out of PyTorch's old file format without unpickling anything.

    magic number | version | system | a dict: name -> (storage key, offset, shape, stride) | storage keys | raw storages
    `---------------------- five pickles, walked opcode by opcode -----------------------'

A pickle is a program and may run anything. Here `pickletools.genops` only names the opcodes, and a stack machine that
knows the few a state dict needs replays them: names of functions stay text, and what is not listed is refused.
"""

import hashlib
import io
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC = 119547037146038801333356
VERSION = 1001
LARGEST_STORAGE = 1 << 28  # numbers; a file that claims more is broken

_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_DTYPES: dict[str, np.dtype] = {"torch FloatStorage": np.dtype("<f4"), "torch LongStorage": np.dtype("<i8")}


class _Name(NamedTuple):
    """What GLOBAL pushes: the text of a name, never the thing it names."""

    text: str


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    numbers: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Mark:
    """Where MARK stood on the stack."""


class _Machine:
    """Replays one pickle on values that are plain text, numbers, tuples, lists, dicts and the records above."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[opcode.name]())
            elif opcode.name in _LITERALS:
                self.stack.append(argument)
            elif opcode.name in _OPS:
                _OPS[opcode.name](self, argument)
            else:
                raise ValueError(f"refused: opcode {opcode.name} has no place in a file of weights")
        (result,) = self.stack
        return result

    def since_mark(self) -> list[Any]:
        place = max(i for i, value in enumerate(self.stack) if isinstance(value, _Mark))
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def put(self, argument: int) -> None:
        self.memo[argument] = self.stack[-1]

    def get(self, argument: int) -> None:
        self.stack.append(self.memo[argument])

    def name(self, argument: str) -> None:
        if argument not in {_DICT, _TENSOR, *_DTYPES}:
            raise ValueError(f"refused: the file names {argument!r}; only tensors and their storages are read")
        self.stack.append(_Name(argument))

    def pack(self, count: int | None) -> None:
        values = self.since_mark() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(values))

    def append_all(self) -> None:
        values = self.since_mark()
        self.stack[-1].extend(values)

    def set_items(self, values: list[Any]) -> None:
        self.stack[-1].update(zip(values[::2], values[1::2], strict=True))

    def set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def persistent(self) -> None:
        match self.stack.pop():
            case ("storage", _Name(kind), str(key), "cpu", int(numbers), None) if kind in _DTYPES:
                if not 0 <= numbers <= LARGEST_STORAGE:
                    raise ValueError(f"refused: storage {key} claims {numbers} numbers")
                self.stack.append(_Storage(key, _DTYPES[kind], numbers))
            case other:
                raise ValueError(f"refused: {other!r} is not a storage on the CPU")

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        match function, arguments:
            case (_Name(text), ()) if text == _DICT:
                self.stack.append({})
            case (_Name(text), (_Storage() as storage, int(offset), tuple(shape), tuple(stride), False, dict())) if (
                text == _TENSOR
            ):
                self.stack.append(_checked(_Tensor(storage, offset, shape, stride)))
            case _:
                raise ValueError(f"refused: call of {function!r} with {arguments!r}")

    def build(self) -> None:
        self.stack.pop()  # the state dict's _metadata: versions of layers, not needed


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": _Mark,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
}
_LITERALS = {"LONG1", "BININT", "BININT1", "BININT2", "BINUNICODE"}
_OPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "GLOBAL": _Machine.name,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": lambda machine, _: machine.pack(None),
    "TUPLE1": lambda machine, _: machine.pack(1),
    "TUPLE2": lambda machine, _: machine.pack(2),
    "APPENDS": lambda machine, _: machine.append_all(),
    "SETITEM": lambda machine, _: machine.set_one(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPERSID": lambda machine, _: machine.persistent(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


def _checked(tensor: _Tensor) -> _Tensor:
    """The tensor must lie inside its storage."""
    numbers = (tensor.offset, *tensor.shape, *tensor.stride)
    if len(tensor.shape) != len(tensor.stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError(f"refused: tensor with shape {tensor.shape}, stride {tensor.stride}, offset {tensor.offset}")
    steps = [(size - 1) * step for size, step in zip(tensor.shape, tensor.stride, strict=True)]
    if 0 in tensor.shape or tensor.offset + sum(steps) >= tensor.storage.numbers:
        raise ValueError(f"refused: tensor of shape {tensor.shape} reaches beyond its storage {tensor.storage.key}")
    return tensor


def read(path: Path, *, sha256: str) -> dict[str, np.ndarray]:
    """Name -> array of the state dict in a file that torch.save wrote before its zip format.

    ValueError when the file is not the one of this digest or holds anything but plain CPU tensors.
    """
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ValueError(f"{path.name}: sha256 is {found}, expected {sha256}; install the package again")
    return parse(data)


def parse(data: bytes) -> dict[str, np.ndarray]:
    """The same from bytes, without the digest."""
    stream = io.BytesIO(data)
    magic, version, _, tensors, keys = (_Machine().run(stream) for _ in range(5))
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"refused: magic number {magic}, version {version}; this is not PyTorch's old file format")
    described = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if sorted(keys) != sorted(described):
        raise ValueError("refused: the storages listed are not the storages used")
    storages = {key: _storage(stream, described[key]) for key in keys}
    if stream.read(1):
        raise ValueError("refused: bytes left over after the last storage")
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _storage(stream: io.BytesIO, storage: _Storage) -> np.ndarray:
    """int64 count, then the numbers."""
    count = int.from_bytes(stream.read(8), "little")
    raw = stream.read(storage.numbers * storage.dtype.itemsize)
    if count != storage.numbers or len(raw) != storage.numbers * storage.dtype.itemsize:
        raise ValueError(f"refused: storage {storage.key} should hold {storage.numbers} numbers, the file says {count}")
    return np.frombuffer(raw, storage.dtype)


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    stride = [step * storage.itemsize for step in tensor.stride]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, stride, writeable=False)
    return view.copy()
