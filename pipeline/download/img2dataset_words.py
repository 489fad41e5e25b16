"""img2dataset's status and error messages in our words. What it cannot tell apart, we cannot either."""

import re

# (pattern in the message, reason), first match wins. {0} is the pattern's first group.
FAILED_TO_DOWNLOAD = (
    (r"would lead to an infinite loop", "too_many_redirects"),
    (r"Redirection to url .* is not allowed", "bad_scheme"),
    (r"HTTP Error (\d+)", "http_{0}"),
    (r"X-Robots-Tag", "opt_out"),
    (r"hash mismatch", "hash_mismatch"),
    (r"unknown url type", "bad_scheme"),
    (r"no host given|control characters|nonnumeric port|Invalid IPv6|codec can't encode", "bad_url"),
    (r"Name or service not known|No address associated|Temporary failure in name|nodename nor servname", "dns"),
    (r"timed out", "timeout"),
    (r"\bssl\b|SSL:|CERTIFICATE_VERIFY", "tls"),
    (r"IncompleteRead|Connection reset", "cut_off"),
)
FAILED_TO_RESIZE = (
    (r"image too small", "too_small"),
    (r"image area too large|CV_IO_MAX_IMAGE_PIXELS", "too_many_pixels"),
    (r"aspect ratio too large", "bad_aspect"),
)
# Met only after the headers of a good answer.
AFTER_200 = ("opt_out", "hash_mismatch", "cut_off", "corrupt", *(reason for _, reason in FAILED_TO_RESIZE))


def reason_of(status: str, message: str | None) -> str:
    """The reason for a row that img2dataset did not store."""
    table, other = (FAILED_TO_RESIZE, "corrupt") if status == "failed_to_resize" else (FAILED_TO_DOWNLOAD, "connect")
    for pattern, reason in table:
        found = re.search(pattern, message or "", re.IGNORECASE)
        if found:
            return reason.format(*found.groups())
    return other


def http_status_of(reason: str, message: str | None) -> int | None:
    """The status of the last answer as far as it can be told: named, or 200 where a body came."""
    found = re.search(r"HTTP Error (\d+)", message or "")
    return int(found[1]) if found else 200 if reason in AFTER_200 else None
