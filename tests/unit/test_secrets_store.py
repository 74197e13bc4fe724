"""Secrets Manager: each of its answers, and a token that is rotated while the function lives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.session
import pytest

from alert_sync.call import Call
from alert_sync.deadline import Deadline
from alert_sync.errors import ConfigurationError, PermanentUpstreamError, TransientUpstreamError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from tests.support.fake_irm import FakeIrm
from tests.support.faults import closed_port
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request
from tests.support.secrets_manager import secrets_manager
from tests.support.stub_alertmanager import StubAlertmanager

REGION = "eu-west-1"
NAME = "irm-token"
NO_VALUE = (
    f"secret {NAME} does not exist or has no value yet: "
    f"aws secretsmanager put-secret-value --secret-id {NAME} --secret-string file://token.txt"
)


@pytest.fixture(autouse=True)
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with secrets_manager() as url:
        yield url


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client to fill it, and the store pointed at it as at AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    client: Any = botocore.session.Session().create_client("secretsmanager", region_name=REGION)
    yield client
    for secret in client.list_secrets(IncludePlannedDeletion=True)["SecretList"]:
        client.delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)


def fault_of(store: SecretStore) -> str:
    with pytest.raises(ConfigurationError) as caught:
        store.read(NAME)
    return str(caught.value)


def failure_of(code: str, status: int, monkeypatch: pytest.MonkeyPatch) -> UpstreamError:
    """The error when Secrets Manager answers so."""

    def refuse(_: Request, connection: Connection) -> None:
        connection.send(Answer(status=status, body=json.dumps({"__type": f"com.amazonaws#{code}"}).encode()))

    with LoopbackHttpServer(refuse) as server:
        return unanswered(server.url, monkeypatch)


def unanswered(url: str, monkeypatch: pytest.MonkeyPatch) -> UpstreamError:
    """The error when this is where Secrets Manager should be."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)
    with pytest.raises(UpstreamError) as caught:
        SecretStore(HttpTransport(backoff_seconds=0.01)).read(NAME)
    return caught.value


# --- reading


def test_secret_is_read_by_its_name(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretString="t0k3n")

    assert SecretStore().read(NAME) == "t0k3n"


def test_secret_is_read_by_its_arn(aws: Any) -> None:
    arn = aws.create_secret(Name=NAME, SecretString="t0k3n")["ARN"]

    assert SecretStore().read(arn) == "t0k3n"


def test_newest_value_is_read_each_time(aws: Any) -> None:
    store = SecretStore()
    aws.create_secret(Name=NAME, SecretString="old")
    first = store.read(NAME)

    aws.put_secret_value(SecretId=NAME, SecretString="new")

    assert (first, store.read(NAME)) == ("old", "new")


# --- what a person has to put right


@pytest.mark.usefixtures("aws")
def test_missing_secret_says_how_to_make_it() -> None:
    assert fault_of(SecretStore()) == NO_VALUE


def test_secret_without_a_value_says_how_to_give_it_one(aws: Any) -> None:
    aws.create_secret(Name=NAME)

    assert fault_of(SecretStore()) == NO_VALUE


def test_binary_secret_is_refused(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretBinary=b"t0k3n")

    assert fault_of(SecretStore()) == f"secret {NAME} has no text value: put one in with put-secret-value"


def test_blank_secret_is_refused(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretString=" \n")

    assert fault_of(SecretStore()) == f"secret {NAME} has no text value: put one in with put-secret-value"


def test_secret_on_its_way_to_be_deleted_is_refused(aws: Any) -> None:
    aws.create_secret(Name=NAME, SecretString="t0k3n")
    aws.delete_secret(SecretId=NAME)

    assert fault_of(SecretStore()) == (
        f"secret {NAME} is scheduled for deletion: aws secretsmanager restore-secret --secret-id {NAME}"
    )


def test_machine_without_a_region_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    assert fault_of(SecretStore()) == f"secret {NAME} cannot be read: AWS_DEFAULT_REGION is not set"


def test_machine_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert fault_of(SecretStore()) == f"secret {NAME} cannot be read: there are no AWS credentials"


def test_machine_without_the_profile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    assert fault_of(SecretStore()) == (
        f"secret {NAME} cannot be read: AWS credentials cannot be had: The config profile (nobody) could not be found"
    )


# --- what failed


@pytest.mark.parametrize("code", ["AccessDeniedException", "DecryptionFailure"])
def test_denied_secret_asks_for_the_two_rights(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure_of(code, 400, monkeypatch)

    assert (type(error), error.status, str(error)) == (
        PermanentUpstreamError,
        400,
        (
            f"AWS Secrets Manager: read secret {NAME}: {code}: "
            "may this function's role read it (secretsmanager:GetSecretValue, kms:Decrypt)?"
        ),
    )


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "ExpiredTokenException", "ValidationException"])
def test_any_other_refusal_is_named(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure_of(code, 400, monkeypatch)

    assert (type(error), error.status, str(error)) == (
        PermanentUpstreamError,
        400,
        f"AWS Secrets Manager: read secret {NAME}: {code}",
    )


@pytest.mark.parametrize(
    ("code", "status", "cause"),
    [
        ("ThrottlingException", 400, "ThrottlingException"),
        ("RequestTimeout", 400, "RequestTimeout"),
        ("InternalServiceError", 500, "HTTP 500"),
        ("ServiceUnavailable", 503, "HTTP 503"),
        ("SomethingNew", 502, "HTTP 502"),
    ],
)
def test_failure_that_may_heal_is_transient(
    code: str, status: int, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failure_of(code, status, monkeypatch)

    assert (type(error), error.status, str(error)) == (
        TransientUpstreamError,
        status,
        f"AWS Secrets Manager: read secret {NAME}: {cause}",
    )


def test_service_that_cannot_be_reached_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as url:
        error = unanswered(url, monkeypatch)

    cause = "the connection was refused or the host cannot be reached"
    assert (type(error), str(error)) == (
        TransientUpstreamError,
        f"AWS Secrets Manager: read secret {NAME}: {cause}",
    )


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "secretsmanager.eu-west-1.amazonaws.com"),
        ("cn-north-1", "secretsmanager.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_endpoint_is_that_of_the_region(region: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    asked: list[str] = []

    class Listening(HttpTransport):
        def get_json(self, call: Call, **_: Any) -> Any:
            asked.append(call.url)
            return {"SecretString": "t0k3n"}

    assert SecretStore(Listening()).read(NAME) == "t0k3n"
    assert asked == [f"https://{host}/"]


# --- rotation, over real sockets


@pytest.fixture
def irm() -> Iterator[FakeIrm]:
    with FakeIrm() as irm:
        yield irm


@pytest.fixture
def service(aws: Any, irm: FakeIrm) -> Iterator[Service]:
    """Two empty systems, read once with the token that was in the secret at first."""
    aws.create_secret(Name=NAME, SecretString=irm.admin.token)
    with StubAlertmanager() as alertmanager:
        environ = {
            "ALERTMANAGER_URL": alertmanager.url,
            "GRAFANA_IRM_URL": irm.url,
            "GRAFANA_IRM_TOKEN_SECRET": NAME,
            "IRM_REQUESTS_PER_MINUTE": "300",
        }
        service = Service(environ, SecretStore())
        assert run(service).status is Status.SUCCESS
        irm.forget_requests()
        yield service


def run(service: Service) -> Report:
    return service.reconciler().run(RunRequest(run_id="r", trigger=Trigger.INVOKE), Deadline(20.0))


def test_rotated_token_is_read_again_after_the_refusal(aws: Any, irm: FakeIrm, service: Service) -> None:
    irm.admin.tokens = {"rotated"}
    aws.put_secret_value(SecretId=NAME, SecretString="rotated")

    report = run(service)

    assert report.status is Status.SUCCESS
    assert [(asked.query["state"], asked.headers["authorization"], asked.status) for asked in irm.requests] == [
        ("new", "token-of-admin", 403),
        ("new", "rotated", 200),
        ("acknowledged", "rotated", 200),
        ("silenced", "rotated", 200),
    ]


def test_refused_token_is_not_sent_again_while_the_secret_is_unchanged(irm: FakeIrm, service: Service) -> None:
    irm.admin.tokens = {"rotated"}

    report = run(service)

    assert (report.status, report.error) == (
        Status.FAILED,
        "Grafana IRM: list new alert groups, page 1: HTTP 403: Invalid token.",
    )
    assert [asked.status for asked in irm.requests] == [403]


def test_second_refusal_in_a_row_is_the_last(aws: Any, irm: FakeIrm, service: Service) -> None:
    irm.admin.tokens = {"yet another"}
    aws.put_secret_value(SecretId=NAME, SecretString="rotated")

    report = run(service)

    assert (report.status, [asked.status for asked in irm.requests]) == (Status.FAILED, [403, 403])


def test_write_that_a_stale_token_was_refused_for_is_repeated_once(aws: Any, irm: FakeIrm, service: Service) -> None:
    group = irm.add_alert_group({})
    irm.admin.tokens = {"rotated"}
    aws.put_secret_value(SecretId=NAME, SecretString="rotated")

    service.irm.resolve(group.id, Deadline(20.0), confirm=lambda: None)

    assert irm.resolved_ids == [group.id]
    assert [(asked.method, asked.status) for asked in irm.requests] == [("POST", 403), ("POST", 200)]


def test_many_threads_with_a_stale_token_all_go_on_with_the_new_one(aws: Any, irm: FakeIrm, service: Service) -> None:
    groups = [irm.add_alert_group({}) for _ in range(6)]
    irm.admin.tokens = {"rotated"}
    aws.put_secret_value(SecretId=NAME, SecretString="rotated")
    irm.latency_seconds = 0.05

    with ThreadPoolExecutor(max_workers=6) as threads:
        for _ in threads.map(lambda group: service.irm.resolve(group.id, Deadline(20.0), confirm=lambda: None), groups):
            pass

    assert sorted(irm.resolved_ids) == sorted(group.id for group in groups)
