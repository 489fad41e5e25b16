"""What goes wrong between two machines, in our words."""

import errno

import aiohttp

from configs import UserError

from .reasons import Refused, Transient

TLS = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
NETWORK_ERRORS = (aiohttp.ClientError, OSError, TimeoutError, ValueError)  # what a request may raise


def as_refused(error: Exception, *, answered: bool) -> Refused:
    """Return the reason for one of NETWORK_ERRORS. `answered`: the headers had come.

    The text of the error is not passed on: it holds addresses and ports. Raises UserError where this machine has no
    descriptor left, for which no url is to blame.
    """
    if isinstance(error, OSError) and error.errno in NO_DESCRIPTORS:
        raise UserError(
            'this process may open no more files; raise "ulimit -n" or lower download.connections', exit_code=1
        ) from error
    if isinstance(error, TLS):
        return Refused("tls", "no trusted connection")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Transient("connect", "no connection in time")
    if isinstance(error, TimeoutError):
        return Refused("timeout", "body" if answered else "no answer")
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.errno == errno.EACCES:  # the last gate, see resolver.py
            return Refused("private_address", "at the socket")
        return Transient("connect", "no connection")
    if isinstance(error, aiohttp.ClientResponseError):
        return Refused("bad_http", "no answer that is HTTP")
    if answered:
        return Refused("cut_off", "the connection broke inside the body")
    if isinstance(error, ValueError):  # InvalidURL, too
        return Refused("bad_url", "nothing that can be asked for")
    return Transient("connect", "closed without an answer")
