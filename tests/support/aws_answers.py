"""A stand-in for an AWS service that gives the answers it is told to, one after the other, and keeps what was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving


@dataclass(slots=True)
class AwsAnswers(Serving):
    """The last answer is given again and again. None breaks the connection instead."""

    answers: Sequence[Answer | None]
    requests: list[Request] = field(default_factory=list, init=False)
    _server: LoopbackHttpServer = field(init=False)

    def __post_init__(self) -> None:
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def bodies(self) -> list[Any]:
        """What was asked, in order."""
        return [json.loads(request.body) if request.body else None for request in self.requests]

    def point_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process take it for AWS."""
        for name, value in {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
        }.items():
            monkeypatch.setenv(name, value)

    def _serve(self, request: Request, connection: Connection) -> None:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer is None:
            connection.reset()
        else:
            connection.send(answer)


def ok(body: object) -> Answer:
    return Answer(status=200, body=json.dumps(body).encode())


def refusal(code: str, *, status: int = 400, namespace: str = "com.amazonaws.any", **more: object) -> Answer:
    """As AWS's JSON protocols say it."""
    body: Mapping[str, object] = {"__type": f"{namespace}#{code}", **more}
    return Answer(status=status, body=json.dumps(body).encode())
