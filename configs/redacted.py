"""Text that is shown or sent, without what only its writer should know: passwords, signatures of urls, tokens."""

import re
from typing import Any

HIDDEN = "***"
USER = re.compile(r"(?<=://)[^/\s?#\"'<>]*@")  # https://user:password@host
ASSIGNED = re.compile(r"(?<![^?&;,\s\"'{-])([^\s=&;,?\"'{]{1,64})=([^\s&;,#\"'}]+)")  # ?sig=, --token=
SECRET = re.compile(
    r"(?<![a-z])sig(?![a-z])|signature|token|secret|passw|pwd|credential|auth(?!or)"
    r"|api.?key|access.?key|key.?(id|pair)|^(key|policy|sas|code)$",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return text in which passwords within urls, and values of what is named like a secret, are three stars."""
    return ASSIGNED.sub(_without_value, USER.sub(f"{HIDDEN}@", text))


def redact(value: Any) -> Any:
    """Return a config's values, dicts and lists of them, each text `redacted`; what is named like a secret, hidden."""
    if isinstance(value, dict):
        return {name: HIDDEN if _is_secret(name, inner) else redact(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(inner) for inner in value]
    return redacted(value) if isinstance(value, str) else value


def _is_secret(name: Any, value: Any) -> bool:
    return isinstance(value, str) and SECRET.search(str(name)) is not None


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN}" if SECRET.search(found[1]) else found[0]
