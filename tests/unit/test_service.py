"""The wiring: which headers reach which system, and which way into IRM a token leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from alert_sync.deadline import Deadline
from alert_sync.errors import ConfigurationError
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from tests.support.aws_answers import AwsAnswers, ok, refusal
from tests.support.fake_irm import GRAFANA_URL, FakeIrm
from tests.support.loopback_http import Answer
from tests.support.stub_alertmanager import StubAlertmanager


class Secrets(SecretStore):
    """Secrets that need no AWS."""

    def __init__(self, **texts: str) -> None:
        super().__init__()
        self._texts = texts

    def read(self, secret_id: str) -> str:
        return self._texts[secret_id]


@pytest.fixture
def irm() -> Iterator[FakeIrm]:
    with FakeIrm(is_hosted=True) as irm:
        yield irm


@pytest.fixture
def alertmanager() -> Iterator[StubAlertmanager]:
    with StubAlertmanager() as alertmanager:
        yield alertmanager


@pytest.fixture
def environ(irm: FakeIrm, alertmanager: StubAlertmanager) -> dict[str, str]:
    return {
        "ALERTMANAGER_URL": alertmanager.url,
        "GRAFANA_IRM_URL": irm.url,
        "GRAFANA_IRM_TOKEN": irm.admin.token,
        "GRAFANA_STACK_URL": GRAFANA_URL,
    }


def run(environ: Mapping[str, str], secrets: SecretStore | None = None) -> Report:
    service = Service(environ, secrets or Secrets())
    return service.reconciler().run(RunRequest(run_id="r", trigger=Trigger.CLI), Deadline(20.0))


# --- what is sent to Alertmanager


@pytest.mark.parametrize(
    ("variables", "header", "value"),
    [
        pytest.param({}, "Authorization", None, id="nothing"),
        pytest.param(
            {"ALERTMANAGER_AUTH": "basic", "ALERTMANAGER_SECRET": "user"},
            "Authorization",
            "Basic YW5uOnMzY3JldA==",
            id="basic",
        ),
        pytest.param(
            {"ALERTMANAGER_AUTH": "bearer", "ALERTMANAGER_SECRET": "token"},
            "Authorization",
            "Bearer t0k3n",
            id="bearer",
        ),
        pytest.param({}, "X-Scope-OrgID", None, id="no tenant"),
        pytest.param({"ALERTMANAGER_TENANT": "team-a"}, "X-Scope-OrgID", "team-a", id="tenant"),
    ],
)
def test_alertmanager_gets_the_headers_that_are_set(
    environ: dict[str, str], alertmanager: StubAlertmanager, variables: dict[str, str], header: str, value: str | None
) -> None:
    secrets = Secrets(user='{"username": "ann", "password": "s3cret"}', token="t0k3n")

    run({**environ, **variables}, secrets)

    assert [request.header(header) for request in alertmanager.requests] == [value, value]


def test_alertmanager_gets_signed_requests(
    environ: dict[str, str], alertmanager: StubAlertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    run({**environ, "ALERTMANAGER_AUTH": "sigv4"})

    assert [(request.header("Authorization") or "")[:41] for request in alertmanager.requests] == [
        "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/2"
    ] * 2


def test_every_peer_is_asked(environ: dict[str, str], alertmanager: StubAlertmanager) -> None:
    with StubAlertmanager() as other:
        run({**environ, "ALERTMANAGER_URL": f"{alertmanager.url},{other.url}"})

        assert (sorted(alertmanager.paths), sorted(other.paths)) == (
            ["/api/v2/alerts/groups", "/api/v2/status"],
            ["/api/v2/alerts/groups", "/api/v2/status"],
        )


# --- what is sent to IRM


@pytest.mark.parametrize("stack_url", [GRAFANA_URL, None], ids=["set", "not set"])
def test_irm_gets_the_address_of_the_stack_if_it_is_set(
    environ: dict[str, str], irm: FakeIrm, stack_url: str | None
) -> None:
    run({**environ, "GRAFANA_STACK_URL": stack_url or ""})

    assert [asked.headers.get("x-grafana-url") for asked in irm.requests] == [stack_url] * 3


def test_secret_wins_over_the_token_itself(environ: dict[str, str], irm: FakeIrm) -> None:
    run({**environ, "GRAFANA_IRM_TOKEN_SECRET": "irm"}, Secrets(irm="from-the-secret"))

    assert [asked.headers["authorization"] for asked in irm.requests] == ["from-the-secret"]


@pytest.mark.parametrize(
    ("is_service_account", "resolve_through", "way"),
    [
        pytest.param(False, "auto", "api", id="user, auto"),
        pytest.param(True, "auto", "integration", id="service account, auto"),
        pytest.param(False, "integration", "integration", id="user, integration"),
        pytest.param(False, "api", "api", id="user, API"),
        pytest.param(True, "integration", "integration", id="service account, integration"),
    ],
)
def test_token_and_setting_decide_the_way_into_irm(
    environ: dict[str, str],
    irm: FakeIrm,
    alertmanager: StubAlertmanager,
    *,
    is_service_account: bool,
    resolve_through: str,
    way: str,
) -> None:
    (group,) = irm.receive_webhook(alertmanager.silenced("Stuck"), irm.add_alertmanager_integration())
    token = irm.add_service_account().token if is_service_account else irm.admin.token

    run({**environ, "GRAFANA_IRM_TOKEN": token, "RESOLVE_THROUGH": resolve_through, "RESOLUTION_NOTES": "false"})

    (write,) = irm.writes
    assert (irm.resolved_ids, "api" if write.path.startswith("/api/") else "integration") == ([group.id], way)


def test_service_account_may_report_what_is_silenced(
    environ: dict[str, str], irm: FakeIrm, alertmanager: StubAlertmanager
) -> None:
    irm.add_alert_group(alertmanager.silenced("Stuck"))

    report = run({**environ, "GRAFANA_IRM_TOKEN": irm.add_service_account().token, "SILENCED_ACTION": "report"})

    assert (report.message, irm.writes) == (
        "inconsistencies: 1 found; nothing was changed (SILENCED_ACTION=report)",
        (),
    )


# --- what it says of itself


def test_nothing_is_wrong_with_two_systems_that_answer(environ: dict[str, str]) -> None:
    assert Service(environ, Secrets()).faults(Deadline(20.0)) == {}


def test_each_thing_that_is_wrong_has_its_name(environ: dict[str, str], alertmanager: StubAlertmanager) -> None:
    alertmanager.instead = Answer(status=401)

    faults = Service({**environ, "GRAFANA_IRM_TOKEN": "two words"}, Secrets()).faults(Deadline(20.0))

    unfit = "secret GRAFANA_IRM_TOKEN does not hold a token: it is empty or has characters no token has"
    assert faults == {
        "secret": unfit,
        "alertmanager": f"Alertmanager {alertmanager.url}: read status: HTTP 401",
        "irm": unfit,
    }


def test_memory_that_answers_is_no_fault(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with AwsAnswers([ok({})]) as dynamodb:
        dynamodb.point_here(monkeypatch)

        faults = Service({**environ, "STATE_TABLE": "state"}, Secrets()).faults(Deadline(20.0))

    assert faults == {}


def test_memory_that_is_missing_is_a_fault(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with AwsAnswers([refusal("ResourceNotFoundException")]) as dynamodb:
        dynamodb.point_here(monkeypatch)

        faults = Service({**environ, "STATE_TABLE": "gone"}, Secrets()).faults(Deadline(20.0))

    assert list(faults) == ["memory"]
    assert "STATE_TABLE" in faults["memory"]


@pytest.mark.parametrize(("table", "names"), [("state", ["memory"]), ("", [])], ids=["with a table", "without"])
def test_memory_that_cannot_be_reached_is_a_fault_if_there_is_to_be_one(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, table: str, names: list[str]
) -> None:
    with AwsAnswers([None]) as dynamodb:
        dynamodb.point_here(monkeypatch)

        faults = Service({**environ, "STATE_TABLE": table}, Secrets()).faults(Deadline(20.0))

    assert list(faults) == names


def test_faulty_settings_are_found_before_anything_is_asked(irm: FakeIrm) -> None:
    with pytest.raises(ConfigurationError, match=r"^GRAFANA_IRM_TOKEN_SECRET is not set"):
        Service({"GRAFANA_IRM_URL": irm.url}, Secrets())
