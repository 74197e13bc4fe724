"""One AWS service over JSON: where it is, who we are there, and what its refusals mean.

Without an AWS client: to import and make botocore's takes longer than all else that this service does while it starts,
and a few calls need nothing of what a client can do. This module knows how AWS answers, but no service's operations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from alert_sync.aws_identity import aws_region
from alert_sync.call import Call, Upstream
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    TransientUpstreamError,
    UnsentError,
    UpstreamError,
)
from alert_sync.http_transport import HttpTransport
from alert_sync.sigv4 import SigV4Auth
from alert_sync.wording import one_line

ATTEMPTS = 5

_NONE: Mapping[str, str] = MappingProxyType({})
# Two services have another name in the variables that AWS's own tools read.
_NAMES_IN_VARIABLES = {"secretsmanager": "SECRETS_MANAGER", "events": "EVENTBRIDGE"}
# AWS's JSON protocols say most of these with status 400.
_HEALING_CODES = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_CANCELED = "TransactionCanceledException"
_HEALING_REASONS = frozenset({"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"})
_DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "KMSAccessDeniedException"})
# What AWS says about other refusals may hold headers that we sent, the token of a session among them.
_CODES_THAT_SAY_WHY = _DENIED_CODES | {"ValidationException"}
# Several operations in one are allowed by the actions of each.
_ACTIONS = {"TransactWriteItems": "PutItem, DeleteItem, ConditionCheckItem"}
_CODE_LENGTH = 100
_SAID_LENGTH = 400


class Sendings:
    """How often a call was sent. After the second an answer may be about what the first did."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> None:
        self.number += 1


class AwsApi:
    """One service, in the region and under the identity of this process.

    Args:
        service: the name that AWS signs for and that its host begins with, such as `dynamodb`.
        transport: what sends; shared by threads.
        name: the service as people know it.
        target: what names the protocol in X-Amz-Target, for services that have one.
        json_version: of that protocol.
    """

    def __init__(
        self, service: str, transport: HttpTransport, *, name: str, target: str = "", json_version: str = "1.0"
    ) -> None:
        self.name = name
        self._service = service
        self._transport = transport
        self._target = target
        self._content_type = f"application/x-amz-json-{json_version}"

    def call(
        self,
        operation: str,
        body: Mapping[str, Any],
        deadline: Deadline,
        *,
        what: str,
        sendings: Sendings | None = None,
    ) -> dict[str, Any]:
        """Call an operation of a JSON protocol and return its answer.

        It is sent again after throttling and failures that may heal, as long as the deadline allows: only for what may
        be repeated. `what` is the operation for people; `sendings`, if given, has counted how often it was sent.

        Raises:
            ConfigurationError: no region is set.
            UpstreamError: of the kind that errors.py describes; `aws_code` gives AWS's name of it.
        """
        counted = sendings or Sendings()
        headers = {"Content-Type": self._content_type, "X-Amz-Target": f"{self._target}.{operation}"}
        call = Call(
            upstream=self._upstream(headers),
            operation=what,
            path="/",
            deadline=deadline,
            method="POST",
            json_body=body,
            confirm=counted,
        )
        try:
            answer = self._transport.get_json(call, attempts=ATTEMPTS, may_heal=_may_heal)
        except PostponedError as error:
            raise _certain(error, counted) from error
        except PermanentUpstreamError as error:
            raise _explained(error, f" ({self._service}:{_ACTIONS.get(operation, operation)})") from error
        if not isinstance(answer, dict):
            raise ContractError(self.name, what, "the answer is not a JSON object")
        return answer

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        deadline: Deadline,
        *,
        what: str,
        headers: Mapping[str, str] = _NONE,
    ) -> None:
        """Call a service that has paths instead. Sent once, so for anything; the answer's body is ignored.

        Raises:
            ConfigurationError: no region is set.
            UpstreamError: of the kind that errors.py describes; `aws_code` gives AWS's name of it.
        """
        call = Call(
            upstream=self._upstream(headers),
            operation=what,
            path=path,
            deadline=deadline,
            method=method,
            json_body=body if body or method not in {"GET", "DELETE"} else None,
        )
        try:
            self._transport.post(call)
        except PermanentUpstreamError as error:
            raise _explained(error, "") from error

    def _upstream(self, headers: Mapping[str, str]) -> Upstream:
        return Upstream(name=self.name, base_url=self._endpoint(), authorizer=SigV4Auth(self._service, headers))

    def _endpoint(self) -> str:
        """Where AWS's own tools would look: at the endpoint that is set, or in the region."""
        name = _NAMES_IN_VARIABLES.get(self._service, self._service.upper())
        for variable in (f"AWS_ENDPOINT_URL_{name}", "AWS_ENDPOINT_URL"):
            if url := os.environ.get(variable):
                return url.rstrip("/")
        region = aws_region()
        return f"https://{self._service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def aws_code(error: UpstreamError) -> str:
    """AWS's name of the error, such as `ConditionalCheckFailedException`; empty if the answer held none.

    Services with paths say it in a header as `Name:address`, the others in the body as `namespace#Name`.
    """
    in_body = error.answer.get("__type") or error.answer.get("code") or ""
    named = error.headers.get("x-amzn-errortype") or str(in_body)
    return one_line(named.partition(":")[0].rpartition("#")[2], _CODE_LENGTH)


def cancellation_reasons(error: UpstreamError) -> tuple[str, ...]:
    """Why a transaction was cancelled: one code for each of its writes, `None` for those that it was not due to."""
    reasons = error.answer.get("CancellationReasons") if aws_code(error) == _CANCELED else None
    if not isinstance(reasons, list):
        return ()
    return tuple(str(reason.get("Code")) if isinstance(reason, dict) else "None" for reason in reasons)


def _may_heal(error: UpstreamError) -> bool:
    if isinstance(error, TransientUpstreamError) or aws_code(error) in _HEALING_CODES:
        return True
    reasons = frozenset(cancellation_reasons(error)) - {"None"}
    return bool(reasons) and reasons <= _HEALING_REASONS


def _certain(error: PostponedError, sendings: Sendings) -> UpstreamError:
    """Postponed means that nothing happened, which holds only if there was no earlier sending."""
    if sendings.number <= 1:
        return error
    cause = f"{error.cause}; it was sent before, and may have happened"
    return TransientUpstreamError(error.upstream, error.operation, cause, status=error.status)


def _explained(error: PermanentUpstreamError, actions: str) -> UpstreamError:
    """The refusal under AWS's name instead of its HTTP status, and by whether it may heal."""
    code = aws_code(error)
    if isinstance(error, UnsentError) or not code:
        return error
    cause = code
    if reasons := frozenset(cancellation_reasons(error)) - {"None"}:
        cause = f"{code} ({', '.join(sorted(one_line(reason, _CODE_LENGTH) for reason in reasons))})"
    if code in _DENIED_CODES:
        cause = f"{code}: may this function's role do this{actions}?"
    said = error.answer.get("message") or error.answer.get("Message")
    if said and code in _CODES_THAT_SAY_WHY:
        cause = f"{cause}{' ' if code in _DENIED_CODES else ': '}{one_line(str(said), _SAID_LENGTH)}"
    kind = TransientUpstreamError if _may_heal(error) else PermanentUpstreamError
    return kind(error.upstream, error.operation, cause, status=error.status, answer=error.answer, headers=error.headers)
