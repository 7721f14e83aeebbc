"""An OpenAI-compatible endpoint on 127.0.0.1 that fails on demand: to try the tool, and its tests.

``python -m rewardsmith.agent.fake_server [FAULT ...]`` prints the ``OPENAI_BASE_URL`` to set. Each
FAULT (a key of ``FAULTS``) is what one chat request meets, in order; after the last all go well.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar

REWARD = """```python
def compute_reward(action):
    effort = -0.1 * np.sum(action**2, axis=-1)
    return effort, {"effort": effort}
```"""
MODELS = ("fake-small", "fake-large")
Answer = Callable[[dict[str, Any]], str]


class FakeServer:
    """The endpoint, in threads of this process; a context manager."""

    def __init__(
        self,
        faults: Iterable[str] = (),
        *,
        answer: Answer | None = None,
        key: str | None = None,
        port: int = 0,
    ) -> None:
        """Prepares, and binds the port.

        Args:
            faults: what the chat requests meet, in order of arrival; may be endless.
            answer: text for a request body that meets no fault; default ``REWARD``.
            key: the bearer key that is wanted, None for any.
            port: 0 for any free one.
        """
        self.requests: list[dict[str, Any]] = []
        self.answer = answer or (lambda _: REWARD)
        self.key = key
        self.closing = threading.Event()
        self._faults: Iterator[str] = iter(faults)
        self._lock = threading.Lock()
        handler = type("_BoundHandler", (_Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Returns the base URL, for ``OPENAI_BASE_URL``."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def next_fault(self, body: dict[str, Any]) -> str:
        """Notes the request; returns the fault it meets, ``ok`` for none."""
        with self._lock:
            self.requests.append(body)
            return next(self._faults, "ok")

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: a client that hangs up is what many of the faults are for."""


class _Handler(BaseHTTPRequestHandler):
    fake: ClassVar[FakeServer]
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/models"):
            data = [{"id": name, "object": "model"} for name in MODELS]
            self.send({"object": "list", "data": data})
        else:
            self.send(_error("no such path", "not_found"), 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if not self.path.rstrip("/").endswith("/chat/completions"):
            self.send(_error("no such path", "not_found"), 404)
            return
        if self.fake.key is not None and self.headers["Authorization"] != f"Bearer {self.fake.key}":
            unauthorized(self, body)
            return
        FAULTS[self.fake.next_fault(body)](self, body)

    def send(self, body: object, status: int = 200, **headers: str) -> None:
        """Sends a JSON document."""
        self.send_bytes(json.dumps(body).encode(), status, **headers)

    def send_bytes(self, content: bytes, status: int = 200, **headers: str) -> None:
        """Sends bytes that claim to be JSON."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


def completion(body: dict[str, Any], text: str | None, finish: str = "stop") -> dict[str, Any]:
    """A chat completion that answers ``body`` with ``text``, always a single choice."""
    prompt_tokens = sum(len(str(m.get("content"))) // 4 for m in body.get("messages", []))
    completion_tokens = len(text or "") // 4
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": 0,
        "model": body.get("model", MODELS[0]),
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def _error(message: str, code: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": code, "param": param, "code": code}}


def ok(handler: _Handler, body: dict[str, Any]) -> None:
    """Answers well."""
    handler.send(completion(body, handler.fake.answer(body)))


def unauthorized(handler: _Handler, body: dict[str, Any]) -> None:
    """Refuses the key and, like some real endpoints, repeats it."""
    key = str(handler.headers["Authorization"]).removeprefix("Bearer ")
    handler.send(_error(f"Incorrect API key provided: {key}.", "invalid_api_key"), 401)


def unknown_model(handler: _Handler, body: dict[str, Any]) -> None:
    """Does not know the model."""
    name = body.get("model")
    handler.send(_error(f"The model `{name}` does not exist", "model_not_found"), 404)


def bad_parameter(handler: _Handler, body: dict[str, Any]) -> None:
    """Refuses ``temperature`` as long as it is sent, as reasoning models do."""
    if "temperature" not in body:
        ok(handler, body)
        return
    said = "Unsupported value: 'temperature' does not support 0.7 with this model."
    handler.send(_error(said, "unsupported_value", "temperature"), 400)


def renamed_parameter(handler: _Handler, body: dict[str, Any]) -> None:
    """Wants ``max_completion_tokens`` for ``max_tokens``."""
    if "max_tokens" not in body:
        ok(handler, body)
        return
    said = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead."
    )
    handler.send(_error(said, "unsupported_parameter", "max_tokens"), 400)


def bad_request(handler: _Handler, body: dict[str, Any]) -> None:
    """Refuses the request for a reason that dropping a parameter does not cure."""
    handler.send(_error("This model's maximum context length is 10", "context_length"), 400)


def rate_limit(handler: _Handler, body: dict[str, Any]) -> None:
    """Asks for patience without saying how much."""
    handler.send(_error("Rate limit reached", "rate_limit_exceeded"), 429)


def rate_limit_with_retry_after(handler: _Handler, body: dict[str, Any]) -> None:
    """Asks for 1 s of patience."""
    handler.send(_error("Rate limit reached", "rate_limit_exceeded"), 429, Retry_After="1")


def quota(handler: _Handler, body: dict[str, Any]) -> None:
    """Has no credit left, which waiting does not cure."""
    handler.send(_error("You exceeded your current quota", "insufficient_quota"), 429)


def server_error(handler: _Handler, body: dict[str, Any]) -> None:
    """Breaks."""
    handler.send(_error("The server had an error", "server_error"), 500)


def reset(handler: _Handler, body: dict[str, Any]) -> None:
    """Hangs up without a word."""
    handler.close_connection = True
    handler.connection.close()


def slow_drip(handler: _Handler, body: dict[str, Any]) -> None:
    """Sends one byte at a time, faster than any read timeout, and never ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.fake.closing.is_set():
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


def stall(handler: _Handler, body: dict[str, Any]) -> None:
    """Accepts the request and never says anything."""
    handler.fake.closing.wait(3600.0)
    handler.close_connection = True


def truncated(handler: _Handler, body: dict[str, Any]) -> None:
    """Stops in the middle at the token limit."""
    handler.send(completion(body, REWARD[:60], "length"))


def truncated_empty(handler: _Handler, body: dict[str, Any]) -> None:
    """Spends the whole token limit before any text."""
    handler.send(completion(body, "", "length"))


def empty(handler: _Handler, body: dict[str, Any]) -> None:
    """Says nothing, politely."""
    handler.send(completion(body, ""))


def no_choices(handler: _Handler, body: dict[str, Any]) -> None:
    """Sends a completion without a choice."""
    handler.send({**completion(body, ""), "choices": []})


def content_filter(handler: _Handler, body: dict[str, Any]) -> None:
    """Withholds the answer."""
    handler.send(completion(body, None, "content_filter"))


def two_blocks(handler: _Handler, body: dict[str, Any]) -> None:
    """Answers with a draft and a final block."""
    handler.send(completion(body, f"Draft:\n```python\nx = 1\n```\nFinal:\n{REWARD}\n"))


def prose(handler: _Handler, body: dict[str, Any]) -> None:
    """Talks about it without code."""
    handler.send(completion(body, "A good reward would pay for speed."))


def missing_usage(handler: _Handler, body: dict[str, Any]) -> None:
    """Does not say how many tokens it took."""
    whole = completion(body, handler.fake.answer(body))
    handler.send({name: value for name, value in whole.items() if name != "usage"})


def wrong_model(handler: _Handler, body: dict[str, Any]) -> None:
    """Claims to be another model."""
    handler.send({**completion(body, handler.fake.answer(body)), "model": "somebody-else"})


def huge(handler: _Handler, body: dict[str, Any]) -> None:
    """Answers with five megabytes."""
    handler.send(completion(body, "reward " * 750_000))


def invalid_utf8(handler: _Handler, body: dict[str, Any]) -> None:
    """Sends bytes that are no text."""
    handler.send_bytes(b'{"choices": [{"message": {"content": "\xff\xfe\xfa"}}]}')


def not_json(handler: _Handler, body: dict[str, Any]) -> None:
    """Sends the page of a proxy in between."""
    handler.send_bytes(b"<html>Bad gateway</html>")


FAULTS: dict[str, Callable[[_Handler, dict[str, Any]], None]] = {
    fault.__name__: fault
    for fault in (
        ok, unauthorized, unknown_model, bad_parameter, renamed_parameter, bad_request,
        rate_limit, rate_limit_with_retry_after, quota, server_error, reset, slow_drip, stall,
        truncated, truncated_empty, empty, no_choices, content_filter, two_blocks, prose,
        missing_usage, wrong_model, huge, invalid_utf8, not_json,
    )
}  # fmt: skip


def _main(faults: list[str]) -> int:
    unknown = [name for name in faults if name not in FAULTS]
    if unknown:
        sys.stderr.write(f"unknown fault {unknown[0]!r}; there are: {', '.join(FAULTS)}\n")
        return 2
    with FakeServer(faults) as server:
        sys.stdout.write(f"export OPENAI_BASE_URL={server.url}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
