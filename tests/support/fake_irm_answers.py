"""The answers the fake Grafana IRM gives, byte for byte where a recording shows them: JSON, refusals, HTML pages."""

import json

from tests.support.loopback_http import Answer

_ON_EVERY_ANSWER = (
    ("X-Frame-Options", "DENY"),
    ("Vary", "Origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)


class ApiError(Exception):
    """An answer other than success, raised from wherever it is found out."""

    def __init__(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = headers


class ServerError(Exception):
    """What makes the real engine fail with its HTML page 500."""


def json_answer(status: int, value: object, *headers: tuple[str, str]) -> Answer:
    """Answer with JSON; bytes are taken as JSON already."""
    body = value if isinstance(value, bytes) else dumped(value)
    return Answer(status=status, headers=(("Content-Type", "application/json"), *headers, *_ON_EVERY_ANSWER), body=body)


def empty_answer(status: int) -> Answer:
    """Answer without a body, and so without a Content-Type, as every successful action does."""
    return Answer(status=status, headers=_ON_EVERY_ANSWER)


def text_answer(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """Answer with plain words under an HTML content type, as the inbound URLs do."""
    html = ("Content-Type", "text/html; charset=utf-8")
    return Answer(status=status, headers=(html, *headers, *_ON_EVERY_ANSWER), body=text.encode())


def page_not_found() -> Answer:
    return _html_page(404, "Not Found", "The requested resource was not found on this server.")


def server_error_page() -> Answer:
    return _html_page(500, "Server Error (500)", "")


def dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _html_page(status: int, title: str, text: str) -> Answer:
    head = f'<!doctype html>\n<html lang="en">\n<head>\n  <title>{title}</title>\n</head>'
    return text_answer(status, f"\n{head}\n<body>\n  <h1>{title}</h1><p>{text}</p>\n</body>\n</html>\n")
