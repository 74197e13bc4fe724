"""Signatures for Amazon Managed Prometheus, checked as AWS does: computed again from the request that arrived."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.call import Call, Upstream
from alert_sync.deadline import Deadline
from alert_sync.errors import ConfigurationError
from alert_sync.http_transport import HttpTransport
from alert_sync.sigv4 import SigV4Auth
from tests.support.loopback_http import Request
from tests.support.stub_alertmanager import StubAlertmanager

KEY_ID, SECRET_KEY = "AKIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
WORKSPACE = "/workspaces/ws-1/alertmanager"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def server() -> Iterator[StubAlertmanager]:
    with StubAlertmanager(path_prefix=WORKSPACE) as server:
        yield server


def arrived(server: StubAlertmanager, **more: object) -> Request:
    """One signed request, as the server got it."""
    upstream = Upstream(name="Alertmanager", base_url=server.url, authorizer=SigV4Auth())
    call = Call(
        upstream=upstream,
        operation="read status",
        path="/api/v2/status",
        deadline=Deadline(20.0),
        **more,  # type: ignore[arg-type] # passed on
    )
    HttpTransport().get_json(call)
    return server.requests[-1]


def signature_by_hand(request: Request, *, region: str, service: str = "aps") -> str:
    """The signature by the specification of AWS Signature Version 4, over the headers that the request says it has."""
    headers = {name.lower(): value.strip() for name, value in request.headers}
    signed = parts_of(headers["authorization"])["SignedHeaders"].split(";")
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),
            "&".join(
                f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(request.query)
            ),
            *(f"{name}:{headers[name]}" for name in signed),
            "",
            ";".join(signed),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    moment = headers["x-amz-date"]
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}".encode(), "sha256").hexdigest()


def parts_of(authorization: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in authorization.removeprefix("AWS4-HMAC-SHA256 ").split(", "))


def scope_of(url: str) -> str:
    """Region and service that a request to this URL is signed for."""
    authorization = SigV4Auth().headers("GET", url, b"")["Authorization"]
    return "/".join(parts_of(authorization)["Credential"].split("/")[2:4])


def test_signature_is_the_one_that_aws_computes(server: StubAlertmanager) -> None:
    request = arrived(server)

    authorization = request.header("Authorization") or ""
    assert parts_of(authorization)["Signature"] == signature_by_hand(request, region="eu-west-1")


def test_query_is_signed_too(server: StubAlertmanager) -> None:
    request = arrived(server, query={"silenced": "false", "active": "true"})

    authorization = request.header("Authorization") or ""
    assert parts_of(authorization)["Signature"] == signature_by_hand(request, region="eu-west-1")


SEGMENTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="/?#%+"), max_size=8)
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"}


@given(
    path=st.lists(SEGMENTS.filter(lambda part: part.strip(".")), max_size=4).map(
        lambda parts: quote("/" + "/".join(parts))
    ),
    query=st.dictionaries(SEGMENTS, SEGMENTS, max_size=3).map(lambda pairs: urlencode(pairs, quote_via=quote)),
    body=st.binary(max_size=40),
    headers=st.sampled_from([{}, HEADERS]),
    token=st.sampled_from(["", "session-token"]),
)
def test_every_request_is_signed_as_by_the_library_of_aws(
    path: str, query: str, body: bytes, headers: dict[str, str], token: str
) -> None:
    url = f"https://secretsmanager.eu-west-1.amazonaws.com{path}" + (f"?{query}" if query else "")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_SESSION_TOKEN", token)

        ours = SigV4Auth("secretsmanager", headers).headers("POST", url, body)

    assert ours["Authorization"] == signed_by_botocore(url, body, headers, token=token, moment=ours["X-Amz-Date"])


def signed_by_botocore(url: str, body: bytes, headers: dict[str, str], *, token: str, moment: str) -> str:
    """The signature of the same request at the same moment."""
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    request.context["timestamp"] = moment
    signer = Signer(Credentials(KEY_ID, SECRET_KEY, token or None), "secretsmanager", "eu-west-1")
    request.headers["X-Amz-Date"] = moment
    if token:
        request.headers["X-Amz-Security-Token"] = token
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signature = signer.signature(text, request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    return f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"


def test_host_and_time_cannot_be_changed_on_the_way(server: StubAlertmanager) -> None:
    authorization = arrived(server).header("Authorization") or ""

    assert parts_of(authorization)["SignedHeaders"] == "host;x-amz-date"


def test_token_of_a_role_is_sent_and_signed(server: StubAlertmanager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")

    request = arrived(server)

    parts = parts_of(request.header("Authorization") or "")
    assert request.header("X-Amz-Security-Token") == "session-token"
    assert (parts["SignedHeaders"], parts["Signature"]) == (
        "host;x-amz-date;x-amz-security-token",
        signature_by_hand(request, region="eu-west-1"),
    )


def test_secret_key_is_never_sent(server: StubAlertmanager) -> None:
    request = arrived(server)

    assert SECRET_KEY not in str(request.headers)
    assert re.fullmatch(
        rf"{KEY_ID}/\d{{8}}/eu-west-1/aps/aws4_request", parts_of(request.header("Authorization") or "")["Credential"]
    )


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        pytest.param("aps-workspaces.us-east-2.amazonaws.com", "us-east-2/aps", id="public endpoint"),
        pytest.param("aps-workspaces.us-east-2.amazonaws.com:443", "us-east-2/aps", id="with port"),
        pytest.param("aps-workspaces.cn-north-1.amazonaws.com.cn", "cn-north-1/aps", id="China"),
        pytest.param("aps-workspaces.us-east-2.api.aws", "us-east-2/aps", id="dual stack"),
        pytest.param("proxy.internal", "eu-west-1/aps", id="proxy"),
        pytest.param("aps-workspaces.internal", "eu-west-1/aps", id="name without a region"),
        pytest.param("vpce-1.aps-workspaces.us-east-2.vpce.amazonaws.com", "us-east-2/aps", id="VPC endpoint"),
        pytest.param("127.0.0.1:9093", "eu-west-1/aps", id="address"),
    ],
)
def test_region_is_that_of_the_workspace(host: str, scope: str) -> None:
    assert scope_of(f"https://{host}{WORKSPACE}/api/v2/status") == scope


def test_without_credentials_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(ConfigurationError, match="there are no AWS credentials"):
        SigV4Auth().headers("GET", "https://proxy.internal/", b"")


def test_without_a_region_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(ConfigurationError, match="AWS_DEFAULT_REGION is not set"):
        SigV4Auth().headers("GET", "https://proxy.internal/", b"")


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        pytest.param("AWS_PROFILE", "nobody", "The config profile (nobody) could not be found", id="no such profile"),
        pytest.param(
            "AWS_SECRET_ACCESS_KEY",
            None,
            "Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY",
            id="half the credentials",
        ),
    ],
)
def test_credentials_that_cannot_be_had_say_why(
    name: str, value: str | None, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    if value is not None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as caught:
        SigV4Auth().headers("GET", "https://proxy.internal/", b"")

    assert str(caught.value) == f"AWS credentials cannot be had: {cause}"


def test_credentials_renew_themselves() -> None:
    auth = SigV4Auth()

    assert not auth.renew(auth.version)
