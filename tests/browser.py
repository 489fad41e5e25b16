"""A real Chromium, driven by its own protocol: pages that are clicked, typed into, measured and looked at.

with browser(folder) as chromium:
    page = chromium.page(url, width=360, height=740)
    page.evaluate("document.title")
    page.press("Tab"); page.click("#shuffle")
"""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-port=0"
)
WAIT_S = 60.0
KEYS = {"Enter": "\r", " ": " ", "Tab": "\t"}  # those that type something


class Page:
    """One tab. Everything it asks for is noted in `requests`, and what its console says in `complaints`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop, self._socket, self._number = loop, socket, 0
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def send(self, method: str, **params: Any) -> Any:
        """Send one command and return its result."""
        return self._loop.run_until_complete(asyncio.wait_for(self._send(method, params), WAIT_S))

    async def _send(self, method: str, params: dict[str, Any]) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))

    def evaluate(self, expression: str) -> Any:
        """Return what an expression comes to, as JSON; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + WAIT_S
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.02)

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self.send("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href !== 'about:blank' && {json.dumps(url)} !== ''")

    def click(self, selector: str, number: int = 0) -> None:
        """Click the middle of an element by the mouse."""
        where = self.evaluate(
            f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{number}]; "
            "e.scrollIntoView({block: 'center'}); const r = e.getClientRects()[0]; "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], **button)

    def press(self, key: str) -> None:
        """Press and release a key by its name: Tab, Enter, ArrowDown, a."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"text": KEYS.get(key, key if len(key) == 1 else "")} if key != "Tab" else {}
        about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": codes.get(key, 0)}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **{k: v for k, v in text.items() if v})
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def content(self, url: str) -> bytes:
        """Return the bytes of a file that the page has loaded."""
        frame = self.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        answer = self.send("Page.getResourceContent", frameId=frame, url=url)
        return base64.b64decode(answer["content"]) if answer["base64Encoded"] else answer["content"].encode()

    def picture(self, path: Path) -> None:
        """Write what can be seen as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def prefer(self, **features: str) -> None:
        """Set what a person prefers: color_scheme="dark", reduced_motion="reduce"."""
        named = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=named)


class Chromium:
    """A running browser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession, port: int) -> None:
        self._loop, self._session, self._port = loop, session, port

    def page(self, url: str, *, width: int = 1280, height: int = 900, **preferred: str) -> Page:
        """Return a new tab of this size with a page in it, loaded."""
        page = Page(self._loop, self._loop.run_until_complete(self._open()))
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.send(f"{domain}.enable")
        page.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        if preferred:
            page.prefer(**preferred)
        page.send("Page.bringToFront")  # others draw nothing
        page.go(url)
        return page

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        async with self._session.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as answer:
            target = json.loads(await answer.text())
        return await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)


@contextmanager
def browser(folder: Path) -> Iterator[Chromium]:
    """Run Chromium with a fresh profile in `folder`; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium here")
    profile = folder / "profile"
    command = [program, *QUIET.split(), f"--user-data-dir={profile}", "about:blank"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    try:
        port = _port(profile / "DevToolsActivePort", child)
        session = loop.run_until_complete(_session())
        yield Chromium(loop, session, port)
        loop.run_until_complete(session.close())
    finally:
        child.terminate()
        child.wait()
        loop.close()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


def _port(file: Path, child: "subprocess.Popen[bytes]") -> int:
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end and child.poll() is None:
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise RuntimeError("Chromium did not start")
