"""A bucket of a real S3 server on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest

SECRETS = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def bucket_called(name: str) -> Iterator[fsspec.AbstractFileSystem]:
    """The file system of a server with an empty bucket of this name; every s3:// inside leads there."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for key, value in {**SECRETS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            environment.setenv(key, value)
        filesystem = fsspec.filesystem("s3")
        filesystem.mkdir(name)
        yield filesystem
        filesystem.clear_instance_cache()
    server.stop()
