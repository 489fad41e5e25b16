"""S3 and S4: urls, redirects and names that lead where a table of urls has no business."""

from collections.abc import Iterator

from .case import OK, Case, Script, answer, picture, to

PRIVATE, BAD_URL, BAD_SCHEME = ("private_address",), ("bad_url",), ("bad_scheme",)
# url -> the right reasons. Behind {inner} and behind every address here a picture waits for those who ask.
URLS = {
    "file://{canary}": BAD_SCHEME,
    "FILE://localhost{canary}": BAD_SCHEME,
    "local_file://{canary}": BAD_SCHEME + BAD_URL,
    "data:image/jpeg;base64,{base64}": BAD_SCHEME + BAD_URL,  # longer than a url may be, if nothing else
    "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=": BAD_SCHEME,
    "ftp://127.0.0.1:{inner}/x.jpg": BAD_SCHEME,
    "ftp://files.test/x.jpg": BAD_SCHEME,
    "gopher://127.0.0.1:{inner}/_GET%20/x.jpg": BAD_SCHEME,
    "dict://127.0.0.1:{inner}/x.jpg": BAD_SCHEME,
    "ws://scheme.test/x.jpg": BAD_SCHEME,
    "javascript:alert(1)": BAD_SCHEME,
    "jar:http://scheme.test/x.jpg!/": BAD_SCHEME,
    "//127.0.0.1:{inner}/x.jpg": BAD_URL,
    "/etc/passwd": BAD_URL,
    "{canary}": BAD_URL,
    "http:///x.jpg": BAD_URL,
    "http://127.0.0.1:{inner}/x.jpg": PRIVATE,
    "http://127.0.0.2:{inner}/x.jpg": PRIVATE,
    "http://127.1:{inner}/x.jpg": PRIVATE,
    "http://127.0.1:{inner}/x.jpg": PRIVATE,
    "http://127.0.0.1.:{inner}/x.jpg": PRIVATE,
    "http://localhost:{inner}/x.jpg": PRIVATE,
    "http://LOCALHOST.:{inner}/x.jpg": PRIVATE,
    "http://0x7f.1:{inner}/x.jpg": PRIVATE,
    "http://0x7f.0.0.0x1:{inner}/x.jpg": PRIVATE,
    "http://0X7F000001:{inner}/x.jpg": PRIVATE,
    "http://2130706433:{inner}/x.jpg": PRIVATE,
    "http://017700000001:{inner}/x.jpg": PRIVATE,
    "http://0177.0.0.1:{inner}/x.jpg": PRIVATE,
    "http://0177.0x0.0.01:{inner}/x.jpg": PRIVATE,
    "http://\u2460\u2461\u2466.0.0.1:{inner}/x.jpg": PRIVATE,  # digits in circles
    "http://\uff11\uff12\uff17.0.0.1:{inner}/x.jpg": PRIVATE,  # full-width digits
    "http://127\u30020\u30020\u30021:{inner}/x.jpg": PRIVATE + BAD_URL,  # ideographic full stops
    "http://0:{inner}/x.jpg": PRIVATE,
    "http://0.0.0.0:{inner}/x.jpg": PRIVATE,
    "http://[::1]:{inner}/x.jpg": PRIVATE,
    "http://[0:0:0:0:0:0:0:1]:{inner}/x.jpg": PRIVATE,
    "http://[::]:{inner}/x.jpg": PRIVATE,
    "http://[::ffff:127.0.0.1]:{inner}/x.jpg": PRIVATE,
    "http://[::ffff:7f00:1]:{inner}/x.jpg": PRIVATE,
    "http://[::7f00:1]:{inner}/x.jpg": PRIVATE,
    "http://[64:ff9b::127.0.0.1]:{inner}/x.jpg": PRIVATE,
    "http://[64:ff9b::a00:7]/x.jpg": PRIVATE,
    "http://[2002:7f00:1::]/x.jpg": PRIVATE,
    "http://[fe80::1]/x.jpg": PRIVATE,
    "http://[fe80::1%25eth0]/x.jpg": PRIVATE,
    "http://[fd00:ec2::254]/latest/x.jpg": PRIVATE,
    "http://[ff02::1]/x.jpg": PRIVATE,
    "http://[2001:db8::1]/x.jpg": PRIVATE,
    "http://169.254.169.254/latest/x.jpg": PRIVATE,
    "http://0xa9fea9fe/latest/x.jpg": PRIVATE,
    "http://2852039166/latest/x.jpg": PRIVATE,
    "http://168.63.129.16/x.jpg": PRIVATE,
    "http://10.0.0.7/x.jpg": PRIVATE,
    "http://10.255.255.254/x.jpg": PRIVATE,
    "http://172.16.0.1/x.jpg": PRIVATE,
    "http://172.31.255.254/x.jpg": PRIVATE,
    "http://192.168.1.1/x.jpg": PRIVATE,
    "http://100.64.0.1/x.jpg": PRIVATE,
    "http://100.127.255.254/x.jpg": PRIVATE,
    "http://192.0.0.8/x.jpg": PRIVATE,
    "http://198.18.0.1/x.jpg": PRIVATE,
    "http://224.0.0.1/x.jpg": PRIVATE,
    "http://240.0.0.1/x.jpg": PRIVATE,
    "http://255.255.255.255/x.jpg": PRIVATE,
    "http://user@127.0.0.1:{inner}/x.jpg": BAD_URL,
    "http://user:word@127.0.0.1:{inner}/x.jpg": BAD_URL,
    "http://known.test@127.0.0.1:{inner}/x.jpg": BAD_URL,
    "http://127.0.0.1:{inner}\\@known.test/x.jpg": BAD_URL,
    "http://known.test\\@127.0.0.1:{inner}/x.jpg": BAD_URL,
    "http://%31%32%37.0.0.1:{inner}/x.jpg": BAD_URL,
    "http://127.0.0.1%00.known.test/x.jpg": BAD_URL,
    "http://known.test\r\nHost: 127.0.0.1/x.jpg": BAD_URL,
    "http://known.test:0/x.jpg": BAD_URL,
    "http://known.test:99999/x.jpg": BAD_URL,
    "http://999.1.1.1/x.jpg": BAD_URL,
}
TARGETS = {
    "rfc1918": ("http://10.0.0.7/x.jpg", PRIVATE),
    "loopback": ("http://127.0.0.1:{inner}/x.jpg", PRIVATE),
    "v6": ("http://[::1]:{inner}/x.jpg", PRIVATE),
    "metadata": ("http://169.254.169.254/latest/x.jpg", PRIVATE),
    "hexadecimal": ("http://0x7f.1:{inner}/x.jpg", PRIVATE),
    "a name": ("http://localhost:{inner}/x.jpg", PRIVATE),
    "a file": ("file://{canary}", BAD_SCHEME),
    "a user": ("http://me@127.0.0.1:{inner}/x.jpg", BAD_URL),
}
HOPS = 5  # as many as are followed
# What a name server answers, question by question; {outer} serves a picture, all else is private.
NAMES: dict[str, tuple[list[list[str]], tuple[str, ...]]] = {
    "private at once": ([["10.0.0.7"]], PRIVATE),
    "loopback": ([["127.0.0.2"]], PRIVATE),
    "metadata": ([["169.254.169.254"]], PRIVATE),
    "carriers": ([["100.64.0.1"]], PRIVATE),
    "v6 loopback": ([["::1"]], PRIVATE),
    "v4 in v6": ([["::ffff:10.0.0.7"]], PRIVATE),
    "nat64": ([["64:ff9b::a00:7"]], PRIVATE),
    "link local": ([["fe80::1"]], PRIVATE),
    "one of two": ([["8.8.8.8", "10.0.0.7"]], PRIVATE),
    "one of two, v6": ([["2606:4700::1111", "fd00::1"]], PRIVATE),
    "private, then public": ([["10.0.0.7"], ["127.0.0.1"]], PRIVATE),
    "public, then private": ([["127.0.0.1"], ["127.0.0.2"]], OK),  # the checked address is the one that is asked
    "public, then metadata": ([["127.0.0.1"], ["169.254.169.254"]], OK),
    "no address": ([[]], ("dns",)),
}


def cases() -> Iterator[Case]:
    """Yield all cases of S3 and S4."""
    for url, expected in URLS.items():
        names = {"localhost": [["127.0.0.1"]], "localhost.": [["127.0.0.1"]]} if "localhost" in url.lower() else {}
        yield Case(url[:60], "S3 urls", url, expected, names=names)
    for hop in range(1, HOPS + 1):
        for name, (target, expected) in TARGETS.items():
            yield _redirected(f"{name} at hop {hop}", [*_way(hop - 1), target], expected)
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        yield _redirected(f"{status} to a private address", ["http://10.0.0.7/x.jpg"], PRIVATE, status=status)
        yield _redirected(f"{status} to a picture", ["/end.jpg"], OK, status=status)
    yield _redirected("as many hops as are followed", [*_way(HOPS - 1), "/end.jpg"], OK)
    yield _redirected("one hop more", [*_way(HOPS + 1), "/end.jpg"], ("too_many_redirects",))
    yield _redirected("to itself", ["/x.jpg"], ("too_many_redirects",))
    yield _redirected("to another spelling of private", ["//127.1:{inner}/x.jpg"], PRIVATE)
    yield _redirected("to nothing that can be read", ["http://x[]@/x.jpg"], BAD_URL)
    for name, (answers, expected) in NAMES.items():
        host = f"{name.replace(' ', '-').replace(',', '')}.example"
        pages = {f"{host}/x.jpg": answer(picture(3))}
        url = f"http://{host}:{{outer}}/x.jpg"
        yield Case(f"name server: {name}", "S4 name servers", url, expected, pages, names={host: answers})


def _way(hops: int) -> list[str]:
    return [f"/hop{number}.jpg" for number in range(hops)]


def _redirected(name: str, way: list[str], expected: tuple[str, ...], *, status: str = "302 Found") -> Case:
    """Return a case whose url leads along `way`; /end.jpg has a picture."""
    host = f"{''.join(letter if letter.isalnum() else '-' for letter in name.lower())}.redirects.test"
    pages: dict[str, Script] = {f"{host}/end.jpg": answer(picture(4))}
    for place, target in zip(["/x.jpg", *way], way, strict=False):
        if place.startswith("/"):
            pages[host + place] = to(target, status)
    names = {"localhost": [["127.0.0.1"]]}
    return Case(name, "S4 redirects", f"http://{host}/x.jpg", expected, pages, names=names)
