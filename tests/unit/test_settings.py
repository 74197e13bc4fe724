"""Every environment variable: its default, what it may hold, and the sentence that names it when it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.errors import ConfigurationError
from alert_sync.model import AlertGroupState, GoneAction, Matcher, MissingAction, Policy, SilencedAction
from alert_sync.settings import VARIABLES, AlertmanagerAuth, ResolveThrough, Settings, load_settings

IRM = "https://oncall-prod-eu-west-0.grafana.net/oncall"
NEEDED = {"GRAFANA_IRM_URL": IRM, "GRAFANA_IRM_TOKEN_SECRET": "irm-token"}

DEFAULTS = Settings(
    alertmanager_urls=("http://localhost:9093",),
    alertmanager_auth=AlertmanagerAuth.NONE,
    alertmanager_secret="",
    alertmanager_tenant="",
    irm_url=IRM,
    irm_token_secret="irm-token",
    irm_token="",
    grafana_stack_url="",
    resolve_through=ResolveThrough.AUTO,
    dry_run=False,
    resolution_notes=True,
    irm_requests_per_minute=240,
    state_table="",
    retention=timedelta(days=90),
    event_bus="",
    wake_up_group="",
    wake_up_role_arn="",
    alert_state_metrics=False,
    alert_state_labels=(),
    policy=Policy(
        silenced_action=SilencedAction.RESOLVE,
        alert_group_states=frozenset({AlertGroupState.FIRING}),
        matchers=(),
        integration_ids=frozenset(),
        team_id="",
        min_uptime=timedelta(seconds=600),
        max_changes_percent=50,
        max_changes_minimum=20,
        interval=timedelta(seconds=300),
    ),
)

AN_ALERTMANAGER = "http://alertmanager.example.com:9093"


def settings_with(**variables: str) -> Settings:
    return load_settings({**NEEDED, **variables})


def policy_with(**variables: str) -> Policy:
    return settings_with(**variables).policy


def faults_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return caught.value.faults


def faults_with(**variables: str) -> tuple[str, ...]:
    return faults_of({**NEEDED, **variables})


class RecordingEnvironment(Mapping[str, str]):
    """Remembers which variables were asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return NEEDED[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("nobody needs the names of all variables")

    def __len__(self) -> int:
        raise AssertionError("nobody needs the number of all variables")


# --- all together


def test_two_variables_are_enough() -> None:
    assert load_settings(NEEDED) == DEFAULTS


def test_empty_variables_count_as_not_set() -> None:
    assert load_settings({**dict.fromkeys(VARIABLES, "  "), **NEEDED}) == DEFAULTS


def test_documented_variables_are_exactly_those_that_are_read() -> None:
    environment = RecordingEnvironment()

    load_settings(environment)

    assert environment.asked == VARIABLES


def test_every_variable_can_be_set() -> None:
    settings = load_settings(
        {
            "ALERTMANAGER_URL": "https://a.example/am/, http://b:9093",
            "ALERTMANAGER_HOST": "ignored:9093",
            "ALERTMANAGER_AUTH": "Basic",
            "ALERTMANAGER_SECRET": "am-secret",
            "ALERTMANAGER_TENANT": "team-a|team-b",
            "GRAFANA_IRM_URL": "https://irm.example/oncall/api/v1/",
            "GRAFANA_IRM_TOKEN_SECRET": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:irm-AbCdEf",
            "GRAFANA_IRM_TOKEN": "ignored-too",
            "GRAFANA_STACK_URL": "https://mystack.grafana.net/",
            "SILENCED_ACTION": "silence",
            "RESOLVE_THROUGH": "api",
            "ALERT_GROUP_STATES": "firing, Acknowledged,silenced",
            "ALERT_MATCHERS": 'severity="critical"',
            "IRM_INTEGRATION_IDS": "C1, C2,",
            "IRM_TEAM_ID": "T1",
            "DRY_RUN": "true",
            "RESOLUTION_NOTES": "false",
            "IRM_REQUESTS_PER_MINUTE": "60",
            "MIN_ALERTMANAGER_UPTIME_SECONDS": "0",
            "MAX_CHANGES_PERCENT": "10",
            "MAX_CHANGES_MINIMUM": "5",
            "GONE_ACTION": "report",
            "MAX_GONE_PERCENT": "5",
            "MISSING_ACTION": "notify",
            "GROUP_WAIT_SECONDS": "30",
            "RECONCILE_INTERVAL": "60",
            "STATE_TABLE": "alert-sync-StateTable-1ABC",
            "RETENTION_DAYS": "30",
            "EVENT_BUS": "default",
            "WAKE_UP_GROUP": "alert-sync-wake-ups",
            "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/alert-sync-wake-up",
            "ALERT_STATE_METRICS": "true",
            "ALERT_STATE_LABELS": "severity, namespace",
        }
    )

    assert settings == Settings(
        alertmanager_urls=("https://a.example/am", "http://b:9093"),
        alertmanager_auth=AlertmanagerAuth.BASIC,
        alertmanager_secret="am-secret",
        alertmanager_tenant="team-a|team-b",
        irm_url="https://irm.example/oncall",
        irm_token_secret="arn:aws:secretsmanager:eu-west-1:123456789012:secret:irm-AbCdEf",
        irm_token="ignored-too",
        grafana_stack_url="https://mystack.grafana.net",
        resolve_through=ResolveThrough.API,
        dry_run=True,
        resolution_notes=False,
        irm_requests_per_minute=60,
        state_table="alert-sync-StateTable-1ABC",
        retention=timedelta(days=30),
        event_bus="default",
        wake_up_group="alert-sync-wake-ups",
        wake_up_role_arn="arn:aws:iam::123456789012:role/alert-sync-wake-up",
        alert_state_metrics=True,
        alert_state_labels=("severity", "namespace"),
        policy=Policy(
            silenced_action=SilencedAction.SILENCE,
            alert_group_states=frozenset(
                {AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED}
            ),
            matchers=(Matcher(name="severity", value="critical", is_regex=False, is_equal=True),),
            integration_ids=frozenset({"C1", "C2"}),
            team_id="T1",
            min_uptime=timedelta(0),
            max_changes_percent=10,
            max_changes_minimum=5,
            gone_action=GoneAction.REPORT,
            max_gone_percent=5,
            missing_action=MissingAction.NOTIFY,
            group_wait=timedelta(seconds=30),
            interval=timedelta(seconds=60),
        ),
    )


def test_all_faults_are_named_at_once() -> None:
    faults = faults_of(
        {
            "ALERTMANAGER_URL": "alertmanager:9093",
            "ALERTMANAGER_AUTH": "kerberos",
            "ALERTMANAGER_TENANT": "größe",
            "GRAFANA_STACK_URL": "mystack",
            "SILENCED_ACTION": "mute",
            "RESOLVE_THROUGH": "phone",
            "ALERT_GROUP_STATES": "new",
            "ALERT_MATCHERS": "severity=critical",
            "DRY_RUN": "maybe",
            "RESOLUTION_NOTES": "2",
            "IRM_REQUESTS_PER_MINUTE": "0",
            "MIN_ALERTMANAGER_UPTIME_SECONDS": "-1",
            "MAX_CHANGES_PERCENT": "101",
            "MAX_CHANGES_MINIMUM": "1.5",
            "RECONCILE_INTERVAL": "abc",
        }
    )

    assert faults == (
        "ALERTMANAGER_URL must be a URL with scheme and host, for example https://alertmanager.example.com",
        "ALERTMANAGER_AUTH must be one of none, basic, bearer, sigv4, not 'kerberos'",
        "ALERTMANAGER_TENANT holds characters that an HTTP header cannot carry",
        (
            "GRAFANA_IRM_URL is not set: give the OnCall API's base URL, for example "
            "https://oncall-prod-eu-west-0.grafana.net/oncall"
        ),
        "GRAFANA_STACK_URL must be a URL with scheme and host, for example https://mystack.grafana.net",
        "RESOLVE_THROUGH must be one of auto, api, integration, not 'phone'",
        "DRY_RUN must be true or false, not 'maybe'",
        "RESOLUTION_NOTES must be true or false, not '2'",
        "IRM_REQUESTS_PER_MINUTE must be a whole number from 1 to 300, not '0'",
        "SILENCED_ACTION must be one of resolve, silence, report, not 'mute'",
        "ALERT_GROUP_STATES must be a comma-separated list of firing, acknowledged, silenced, not 'new'",
        (
            "ALERT_MATCHERS: cannot read 'severity=critical'; expected name=\"value\", for example "
            'severity=~"critical|warning", namespace!="dev"'
        ),
        "MIN_ALERTMANAGER_UPTIME_SECONDS must be a whole number from 0 to 86400, not '-1'",
        "MAX_CHANGES_PERCENT must be a whole number from 0 to 100, not '101'",
        "MAX_CHANGES_MINIMUM must be a whole number from 0 to 100000, not '1.5'",
        "RECONCILE_INTERVAL must be a whole number from 0 to 86400, not 'abc'",
        (
            "GRAFANA_IRM_TOKEN_SECRET is not set: give the name or ARN of the secret that holds the Grafana IRM token "
            "(on a person's machine GRAFANA_IRM_TOKEN may hold the token itself)"
        ),
    )


def test_error_text_joins_the_faults() -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings_with(DRY_RUN="maybe", RESOLUTION_NOTES="2")

    assert str(caught.value) == (
        "DRY_RUN must be true or false, not 'maybe'; RESOLUTION_NOTES must be true or false, not '2'"
    )


def test_token_is_not_shown_when_settings_are_printed() -> None:
    settings = settings_with(GRAFANA_IRM_TOKEN="the-token-itself")

    assert settings == replace(DEFAULTS, irm_token="the-token-itself")
    assert "the-token-itself" not in repr(settings)


# --- Alertmanager's addresses


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        pytest.param(AN_ALERTMANAGER, (AN_ALERTMANAGER,), id="plain"),
        pytest.param(f"{AN_ALERTMANAGER}/", (AN_ALERTMANAGER,), id="trailing slash"),
        pytest.param("https://a/am/prefix/", ("https://a/am/prefix",), id="path prefix"),
        pytest.param("HTTPS://a", ("HTTPS://a",), id="scheme in capitals"),
        pytest.param("http://[::1]:9093", ("http://[::1]:9093",), id="IPv6"),
        pytest.param("http://a,http://b , http://c", ("http://a", "http://b", "http://c"), id="three peers"),
        pytest.param("http://a,http://a/", ("http://a",), id="one peer named twice"),
        pytest.param(",http://a,,", ("http://a",), id="stray commas"),
    ],
)
def test_alertmanager_url_is_a_list_of_base_urls(text: str, urls: tuple[str, ...]) -> None:
    assert settings_with(ALERTMANAGER_URL=text) == replace(DEFAULTS, alertmanager_urls=urls)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("alertmanager", id="no scheme"),
        pytest.param("alertmanager:9093", id="port but no scheme"),
        pytest.param("ftp://alertmanager", id="another scheme"),
        pytest.param("http://", id="no host"),
        pytest.param("http://:9093", id="port but no host"),
        pytest.param("http://a:0", id="port 0"),
        pytest.param("http://a:65536", id="port too large"),
        pytest.param("http://a:http", id="port not a number"),
        pytest.param("http://[::1", id="open bracket"),
        pytest.param("http://a b", id="blank"),
        pytest.param("http://a\tb", id="control character"),
        pytest.param("http://größe", id="not ASCII"),
    ],
)
def test_incomplete_url_is_a_fault(url: str) -> None:
    assert faults_with(ALERTMANAGER_URL=url) == (
        "ALERTMANAGER_URL must be a URL with scheme and host, for example https://alertmanager.example.com",
    )


@pytest.mark.parametrize("url", ["http://a?x=1", "http://a#x", "http://a?", "http://a#", "http://a/am?"])
def test_url_with_query_or_fragment_is_a_fault(url: str) -> None:
    assert faults_with(ALERTMANAGER_URL=url) == ("ALERTMANAGER_URL must not have a query or fragment",)


@pytest.mark.parametrize(
    ("name", "text", "instead"),
    [
        pytest.param(
            "ALERTMANAGER_URL",
            "http://ann:s3cret@a",
            "use ALERTMANAGER_AUTH=basic and ALERTMANAGER_SECRET",
            id="ALERTMANAGER_URL",
        ),
        pytest.param(
            "ALERTMANAGER_HOST",
            "ann:s3cret@a:9093",
            "use ALERTMANAGER_AUTH=basic and ALERTMANAGER_SECRET",
            id="ALERTMANAGER_HOST",
        ),
        pytest.param("GRAFANA_IRM_URL", "https://:s3cret@irm", "use GRAFANA_IRM_TOKEN_SECRET", id="GRAFANA_IRM_URL"),
        pytest.param("GRAFANA_STACK_URL", "https://ann@stack", "use GRAFANA_IRM_TOKEN_SECRET", id="GRAFANA_STACK_URL"),
    ],
)
def test_password_in_a_url_is_a_fault_that_says_where_it_belongs(name: str, text: str, instead: str) -> None:
    assert faults_with(**{name: text}) == (f"{name} must not hold a user or password: {instead}",)


@pytest.mark.parametrize("url", ["ftp://ann:s3cret@a", "http://ann:s3cret@a:0", "ann:s3cret@a"])
def test_faulty_url_is_not_quoted_because_it_could_hold_a_password(url: str) -> None:
    assert "s3cret" not in "".join(faults_with(ALERTMANAGER_URL=url, GRAFANA_IRM_URL=url, GRAFANA_STACK_URL=url))


def test_same_fault_of_two_peers_is_named_once() -> None:
    assert faults_with(ALERTMANAGER_URL="a:9093,b:9093") == (
        "ALERTMANAGER_URL must be a URL with scheme and host, for example https://alertmanager.example.com",
    )


def test_alertmanager_host_counts_when_there_is_no_url() -> None:
    settings = settings_with(ALERTMANAGER_HOST="alertmanager:9093")

    assert settings == replace(DEFAULTS, alertmanager_urls=("http://alertmanager:9093",))


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("http://alertmanager:9093", id="with scheme"),
        pytest.param("alertmanager:9093/prefix", id="with path"),
        pytest.param("alertmanager:99999", id="port too large"),
        pytest.param("alert manager", id="blank"),
        pytest.param(":9093", id="no host"),
    ],
)
def test_anything_but_host_and_port_in_alertmanager_host_is_a_fault(host: str) -> None:
    assert faults_with(ALERTMANAGER_HOST=host) == (
        (
            "ALERTMANAGER_HOST must be host:port, for example alertmanager.example.com:9093; for a URL use "
            "ALERTMANAGER_URL"
        ),
    )


# --- Alertmanager's credentials


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_auth_with_a_secret_needs_the_secret(auth: str) -> None:
    assert faults_with(ALERTMANAGER_AUTH=auth) == (
        f"ALERTMANAGER_SECRET is not set, and ALERTMANAGER_AUTH={auth} needs it: a secret's name or ARN",
    )


@pytest.mark.parametrize("auth", ["basic", "bearer", "BEARER"])
def test_auth_with_its_secret_is_complete(auth: str) -> None:
    settings = settings_with(ALERTMANAGER_AUTH=auth, ALERTMANAGER_SECRET="am")

    assert settings == replace(DEFAULTS, alertmanager_auth=AlertmanagerAuth(auth.lower()), alertmanager_secret="am")


@pytest.mark.parametrize("auth", ["none", "sigv4"])
def test_auth_without_a_secret_is_complete(auth: str) -> None:
    assert settings_with(ALERTMANAGER_AUTH=auth) == replace(DEFAULTS, alertmanager_auth=AlertmanagerAuth(auth))


@pytest.mark.parametrize("name", ["GRAFANA_IRM_TOKEN_SECRET", "ALERTMANAGER_SECRET"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("glsa_AbCdEf0123456789_01234567", id="service account's token"),
        pytest.param("0123456789abcdef" * 4, id="user's API key"),
        pytest.param('{"token": "t0k3n"}', id="JSON"),
        pytest.param("two words", id="a blank"),
    ],
)
def test_secret_itself_in_the_place_of_its_name_is_a_fault_that_does_not_quote_it(name: str, text: str) -> None:
    """The name of a secret stands in errors, and so in logs and answers."""
    assert faults_with(**{name: text}) == (f"{name} must be the name or ARN of a secret, not what is in it",)


@pytest.mark.parametrize(
    "text",
    ["team/irm_token+v1=2.0@eu-west", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:irm-AbCdEf", "f" * 63],
)
def test_secret_may_be_named_by_all_that_aws_allows(text: str) -> None:
    assert settings_with(GRAFANA_IRM_TOKEN_SECRET=text) == replace(DEFAULTS, irm_token_secret=text)


@pytest.mark.parametrize("tenant", ["größe", "a\nb", "a\x7fb"])
def test_tenant_must_fit_into_a_header(tenant: str) -> None:
    assert faults_with(ALERTMANAGER_TENANT=tenant) == (
        "ALERTMANAGER_TENANT holds characters that an HTTP header cannot carry",
    )


# --- names of secrets


@pytest.mark.parametrize("name", ["GRAFANA_IRM_TOKEN_SECRET", "ALERTMANAGER_SECRET"])
class TestNameOfASecret:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("irm-token", id="name"),
            pytest.param("prod/irm_token+=.@-", id="every character of a name"),
            pytest.param("arn:aws:secretsmanager:eu-west-1:123456789012:secret:irm-AbCdEf", id="ARN"),
            pytest.param("0123456789abcdef" * 3, id="hexadecimal, but no API key"),
            pytest.param("my_glsa_token", id="name about a service account"),
        ],
    )
    def test_name_or_arn_is_taken(self, name: str, text: str) -> None:
        settings = settings_with(**{name: text})

        assert {
            "GRAFANA_IRM_TOKEN_SECRET": settings.irm_token_secret,
            "ALERTMANAGER_SECRET": settings.alertmanager_secret,
        }[name] == text

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("glsa_HOruNAb7SOiCdshU7algkrq7FDsNSLAa_54e2f8be", id="service account's token"),
            pytest.param("0123456789abcdef" * 4, id="API key"),
            pytest.param('{"token": "s3cret"}', id="JSON"),
            pytest.param("two words", id="blank"),
        ],
    )
    def test_secret_itself_is_a_fault_that_does_not_repeat_it(self, name: str, text: str) -> None:
        assert faults_with(**{name: text}) == (f"{name} must be the name or ARN of a secret, not what is in it",)


# --- Grafana IRM


@pytest.mark.parametrize("text", [IRM, f"{IRM}/", f"{IRM}/api/v1", f"{IRM}/api/v1/"])
def test_irm_url_may_be_given_with_the_path_of_the_api(text: str) -> None:
    assert settings_with(GRAFANA_IRM_URL=text) == DEFAULTS


def test_token_itself_is_enough_without_a_secret() -> None:
    settings = load_settings({"GRAFANA_IRM_URL": IRM, "GRAFANA_IRM_TOKEN": "t"})

    assert settings == replace(DEFAULTS, irm_token_secret="", irm_token="t")


# --- words and numbers


@pytest.mark.parametrize(
    ("text", "is_set"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        ("yes", True),
        ("false", False),
        ("False", False),
        ("0", False),
        ("no", False),
    ],
)
def test_yes_and_no_may_be_spelled_as_people_do(text: str, is_set: bool) -> None:  # noqa: FBT001 - a table's column
    assert settings_with(DRY_RUN=text) == replace(DEFAULTS, dry_run=is_set)


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("IRM_REQUESTS_PER_MINUTE", 1, 300),
        ("MIN_ALERTMANAGER_UPTIME_SECONDS", 0, 86_400),
        ("MAX_CHANGES_PERCENT", 0, 100),
        ("MAX_CHANGES_MINIMUM", 0, 100_000),
        ("RECONCILE_INTERVAL", 0, 86_400),
    ],
)
class TestNumber:
    def test_both_ends_are_allowed(self, name: str, lowest: int, highest: int) -> None:
        assert [self._value(name, str(end)) for end in (lowest, highest)] == [lowest, highest]

    def test_one_more_or_less_is_a_fault(self, name: str, lowest: int, highest: int) -> None:
        for beyond in (lowest - 1, highest + 1):
            assert faults_with(**{name: str(beyond)}) == (
                f"{name} must be a whole number from {lowest} to {highest}, not '{beyond}'",
            )

    @pytest.mark.parametrize("text", ["abc", "-5", "1.0", "1e2", "+1", "1 0", "0x10", "٣", "²", "1_0"])
    def test_anything_but_digits_is_a_fault(self, name: str, lowest: int, highest: int, text: str) -> None:
        assert faults_with(**{name: text}) == (
            f"{name} must be a whole number from {lowest} to {highest}, not {text!r}",
        )

    def test_endless_digits_are_quoted_only_in_part(self, name: str, lowest: int, highest: int) -> None:
        assert faults_with(**{name: "9" * 5000}) == (
            f"{name} must be a whole number from {lowest} to {highest}, not '{'9' * 60}'",
        )

    @staticmethod
    def _value(name: str, text: str) -> int:
        settings = settings_with(**{name: text})
        policy = settings.policy
        return {
            "IRM_REQUESTS_PER_MINUTE": settings.irm_requests_per_minute,
            "MIN_ALERTMANAGER_UPTIME_SECONDS": int(policy.min_uptime.total_seconds()),
            "MAX_CHANGES_PERCENT": policy.max_changes_percent,
            "MAX_CHANGES_MINIMUM": policy.max_changes_minimum,
            "RECONCILE_INTERVAL": int(policy.interval.total_seconds()),
        }[name]


@pytest.mark.parametrize("action", SilencedAction)
def test_silenced_action_takes_each_of_its_words(action: SilencedAction) -> None:
    assert policy_with(SILENCED_ACTION=action.upper()) == replace(DEFAULTS.policy, silenced_action=action)


@pytest.mark.parametrize("states", ["resolved", "firing,resolved", "firing;silenced", "firing,,silenced", "unknown"])
def test_states_are_those_of_open_alert_groups(states: str) -> None:
    assert faults_with(ALERT_GROUP_STATES=states) == (
        f"ALERT_GROUP_STATES must be a comma-separated list of firing, acknowledged, silenced, not {states!r}",
    )


def test_silencing_without_the_one_state_that_can_be_silenced_is_refused() -> None:
    assert faults_with(SILENCED_ACTION="silence", ALERT_GROUP_STATES="acknowledged,silenced") == (
        "ALERT_GROUP_STATES must include firing with SILENCED_ACTION=silence: IRM silences no others",
    )
