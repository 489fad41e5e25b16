"""A server on loopback that is W&B as far as a run needs it, or as badly as a test wants it.

with serving() as fake: ...; fake.rows["abc"]      the history of run abc: what its streams said, by offset
with serving("hangs")                              or "fails", "closes"
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HISTORY = "wandb-history.jsonl"


class Fake:
    """What it was told."""

    def __init__(self, mood: str) -> None:
        self.mood, self.url = mood, ""
        self.requests = 0
        self.over = threading.Event()
        self.streams: dict[str, dict[int, str]] = {}  # run -> offset -> line
        self.artifacts: list[dict[str, Any]] = []  # what each was made with
        self.runs: dict[str, dict[str, Any]] = {}  # run -> what it was made with

    def history(self, run: str) -> list[dict[str, Any]]:
        """Return the rows of a run in order."""
        return [json.loads(line) for _, line in sorted(self.streams.get(run, {}).items())]

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a query of GraphQL: what the client needs to begin or go on with a run."""
        if "upsertBucket" in query:
            name = variables.get("name") or variables.get("id") or "?"
            is_new = name not in self.runs
            self.runs[name] = variables
            bucket = {
                **{"id": name, "name": name, "displayName": name, "description": None, "config": "{}"},
                **{"sweepName": None, "historyLineCount": len(self.streams.get(name, {}))},
                "project": {"id": "p", "name": "corgi", "entity": {"id": "e", "name": "tester"}},
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}
        if "historyTail" in query or "RunResumeStatus" in query:
            return {"model": {"bucket": self._tail(variables.get("name") or variables.get("run") or "?")}}
        if "viewer" in query:
            return {
                "viewer": {"id": "v", "entity": "tester", "username": "tester", "flags": "{}", "teams": {"edges": []}}
            }
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if "serverInfo" in query:
            return {"serverInfo": {"features": []}}
        if "query ArtifactType" in query:
            return {"project": {"artifact": None}}
        if "createArtifact(" in query:
            self.artifacts.append(variables)
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if "useArtifact(" in query:
            return {"useArtifact": {"artifact": {"id": "a", "digest": "", "description": "", "state": "COMMITTED"}}}
        return {}

    def _tail(self, run: str) -> dict[str, Any] | None:
        if run not in self.runs:
            return None
        rows = self.history(run)
        return {
            **{"id": run, "name": run, "config": "{}", "summaryMetrics": "{}", "eventsLineCount": 0, "logLineCount": 0},
            "historyLineCount": len(rows),
            "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
            **{"eventsTail": "[]", "wandbConfig": '{"t": 1}', "tags": [], "stopped": False, "sweepName": None},
        }

    def stream(self, run: str, content: dict[str, Any]) -> None:
        """Keep what a stream of files says, each line at its offset."""
        part = (content.get("files") or {}).get(HISTORY)
        if part:
            for number, line in enumerate(part["content"], part["offset"]):
                self.streams.setdefault(run, {})[number] = line


@contextmanager
def serving(mood: str = "well") -> Iterator[Fake]:
    """Serve until the end."""
    fake = Fake(mood)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            fake.requests += 1
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if fake.mood == "hangs":
                fake.over.wait(300)
            if fake.mood in ("hangs", "closes"):
                self.close_connection = True
                return
            if fake.mood == "fails":
                return self.reply(500, {"error": "out of order"})
            if self.path.endswith("/graphql"):
                content = json.loads(body)
                return self.reply(200, {"data": fake.answer(content.get("query", ""), content.get("variables") or {})})
            if self.path.endswith("/file_stream"):
                fake.stream(self.path.split("/")[-2], json.loads(body))
            self.reply(200, {})

        do_GET = do_PUT = do_POST  # noqa: N815

        def reply(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
