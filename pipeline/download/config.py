"""What may be fetched, how politely and patiently, and what is stored of it."""

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from configs import Config

from .guard import Allowed, split_target

# Which served JPEGs stay as they are, byte for byte; see originals.py.
Originals = Literal["clean", "plain", "never"]
# Who asks, how hard and from where changes no image; everything else does.
NOT_IN_FINGERPRINT = {
    "block_hashes",
    "resolve",
    "allow_addresses",
    "connections",
    "host_connections",
    "host_interval_s",
    "connect_s",
    "dns_s",
    "first_byte_s",
    "total_s",
    "retries",
    "retry_statuses",
    "backoff_s",
    "max_retry_after_s",
    "distributor",
    "stop_after_hosts",
    "tolerate_lost",
    "watchdog_s",
}
OPT_OUTS = ("noai", "noimageai", "noml", "none", "noindex", "noimageindex", "tdm-reservation")
Format = Literal["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif"]
FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")
Resize = Literal["keep_ratio_largest", "keep_ratio", "center_crop", "border", "no"]
Protocol = Literal["content-signal", "content-usage", "tdmrep", "ai.txt"]  # beside the two headers of OPT_OUTS
PROTOCOLS: tuple[Protocol, ...] = ("content-signal", "content-usage", "tdmrep", "ai.txt")


class Limits(NamedTuple):
    """What an image must be, and how it is stored."""

    formats: tuple[Format, ...]
    resize: Resize
    size_px: int
    only_if_bigger: bool
    min_side_px: int
    max_aspect: float
    max_pixels: int
    jpeg_quality: int
    jpeg_chroma: Literal["full", "half"]
    originals: Originals


class DownloadConfig(Config):
    """The download step. Limits on connections hold for one process; every worker has its own."""

    engine: Literal["guarded", "img2dataset"] = "guarded"  # who fetches: Corgi itself, or img2dataset as a library

    # Images.
    formats: tuple[Format, ...] = Field(default=FORMATS, min_length=1)  # of gif, bmp, tiff and avif the first frame
    resize: Resize = "keep_ratio_largest"  # which side is made `size_px`, and how: img2dataset's modes
    size_px: int = Field(default=256, ge=1, le=65_500)  # of the side that the mode names, as stored
    only_if_bigger: bool = True  # False enlarges, by Lanczos; what shrinks does by Hamming's window, near the area mean
    min_side_px: int = Field(default=0, ge=0)  # shortest side as served
    max_aspect: float = Field(default=100.0, ge=1)  # longest over shortest side as served
    max_pixels: int = Field(default=64_000_000, ge=1, le=178_000_000)  # as the header declares; more is a bomb
    max_bytes: int = Field(default=20_000_000, ge=1)  # of a body
    jpeg_quality: int = Field(default=95, ge=1, le=100)  # of images that are encoded anew
    jpeg_chroma: Literal["full", "half"] = "full"  # at small sizes halved colour is seen and learnt; it saves a third
    originals: Originals = "clean"  # JPEGs that need no change stay byte for byte: without metadata, with any, or never
    verify_hash: Literal["sha256", "md5", "none"] = "sha256"  # of the body, where the table has a column of that name

    # Images that are never stored: text files of sha256 of bodies and of pdq:<hash>. They are in no
    # fingerprint: a longer list is no reason to ask for all again; "corgi takedown" takes it for what is there already.
    block_hashes: tuple[Path, ...] = Field(default=(), examples=[["blocked.txt"]])

    # Politeness.
    user_agent: str = "corgi/0.1 (+https://example.org/who-to-ask)"  # put a page in it that says who you are
    robots: Literal["honour", "ignore"] = "honour"  # what robots.txt forbids
    opt_out: Literal["honour", "ignore"] = "honour"  # of the three keys below
    opt_out_directives: tuple[str, ...] = OPT_OUTS  # of X-Robots-Tag, and the TDM-Reservation header
    opt_out_agents: tuple[str, ...] = ("img2dataset",)  # what is addressed to these is meant for us, too
    # The first two stand in robots.txt and in a header; robots.txt is read for them even if `robots` says ignore. The
    # other two cost a small request a host each, once a day, and none where robots.txt refuses. They are on because the
    # EU's law lets a host reserve its rights by one such file alone, and it is heard no other way.
    opt_out_protocols: tuple[Protocol, ...] = PROTOCOLS
    connections: int = Field(default=64, ge=1)  # at one time, to all hosts together
    host_connections: int = Field(default=4, ge=1)  # at one time, to one host
    host_interval_s: float = Field(default=0.05, ge=0)  # between two requests to one host

    # Patience.
    dns_s: float = Field(default=10.0, gt=0)  # for the system to find a name's addresses
    connect_s: float = Field(default=5.0, gt=0)  # until the connection stands
    first_byte_s: float = Field(default=10.0, gt=0)  # of silence, before the first byte or any later one
    total_s: float = Field(default=30.0, gt=0)  # for one url: all redirects, attempts and waits between them
    max_redirects: int = Field(default=5, ge=0)  # followed for one url
    retries: int = Field(default=2, ge=0)  # further attempts after one that failed for a passing reason
    retry_statuses: tuple[int, ...] = (429, 500, 502, 503, 504)  # refused connections are tried again, too
    backoff_s: float = Field(default=0.5, ge=0)  # before the second attempt, doubled before each further one, +- 50 %
    host_failures: int = Field(default=5, ge=0)  # urls in a row without an answer, then a host is given up; 0: never
    stop_after_hosts: int = Field(default=50, ge=0)  # the step ends if none of the first is reached; 0: never
    max_retry_after_s: float = Field(default=20.0, ge=0)  # a server that asks for more gives up its pair
    tolerate_lost: float = Field(default=0.9, ge=0, le=1)  # share lost for one reason, then it ends with 3; 1: any

    # Where names lead. Both differ from machine to machine and are in no fingerprint and no output.

    # Host pattern -> "ip:port" asked instead.
    resolve: dict[str, str] = Field(default={}, examples=[{"*.test": "127.0.0.1:8080"}])
    # Let through although private: networks, addresses, or one port of an address.
    allow_addresses: tuple[str, ...] = Field(default=(), examples=[["10.0.0.0/8", "127.0.0.1:8080", "[::1]:80"]])

    # img2dataset.
    distributor: Literal["multiprocessing", "pyspark", "ray"] = "multiprocessing"  # its own; the others are to install
    watchdog_s: float = Field(default=3600.0, gt=0)  # the library and all its processes are killed after this

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, values: Any) -> Any:
        """Take configs of runs that were begun when the longest side was all that could be said."""
        if isinstance(values, dict) and "max_side_px" in values:
            if "size_px" in values:
                raise ValueError("size_px was called max_side_px before; say size_px alone")
            return {("size_px" if name == "max_side_px" else name): value for name, value in values.items()}
        return values

    @field_validator("user_agent")
    @classmethod
    def _named(cls, value: str) -> str:
        if not re.match(r"[A-Za-z][A-Za-z_-]*(/\S+)?( |$)", value) or not value.isascii() or not value.isprintable():
            raise ValueError('must begin with a name, "corgi/0.1 (+https://...)"; names are of letters, _ and -')
        return value

    @field_validator("resolve")
    @classmethod
    def _targets(cls, value: dict[str, str]) -> dict[str, str]:
        for target in value.values():
            split_target(target)
        return value

    @field_validator("allow_addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            Allowed.parse(text)
        return value

    @model_validator(mode="after")
    def _can_block(self) -> Self:
        if self.block_hashes and self.engine == "img2dataset":
            raise ValueError(
                "block_hashes is for the engine guarded: img2dataset writes images to disk before they can be looked at"
            )
        return self

    @model_validator(mode="after")
    def _sides(self) -> Self:
        if self.min_side_px**2 > self.max_pixels:
            raise ValueError(f"min_side_px is {self.min_side_px}, but max_pixels is only {self.max_pixels}")
        return self

    @property
    def agent(self) -> str:
        """Return the name robots.txt and opt-outs may call us by, lower-cased."""
        return re.split(r"[/ ]", self.user_agent)[0].lower()

    @property
    def limits(self) -> Limits:
        """Return the part that the decoder needs."""
        return Limits(**self.model_dump(include={*Limits._fields}))

    def made_of(self) -> dict[str, Any]:
        """Return the part that decides what is stored: what belongs into a fingerprint."""
        return self.model_dump(mode="json", exclude=NOT_IN_FINGERPRINT)
