"""The environment variables, what they mean, and every fault in them at once. Pure: reads a mapping, not os.environ.

An empty value counts as not set, because CloudFormation cannot leave a variable out as easily.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from alert_sync.errors import ConfigurationError
from alert_sync.matchers import parse_matchers
from alert_sync.model import AlertGroupState, GoneAction, Matcher, MissingAction, Policy, SilencedAction

VARIABLES = frozenset(
    {
        "ALERTMANAGER_URL",
        "ALERTMANAGER_HOST",
        "ALERTMANAGER_AUTH",
        "ALERTMANAGER_SECRET",
        "ALERTMANAGER_TENANT",
        "GRAFANA_IRM_URL",
        "GRAFANA_IRM_TOKEN_SECRET",
        "GRAFANA_IRM_TOKEN",
        "GRAFANA_STACK_URL",
        "SILENCED_ACTION",
        "RESOLVE_THROUGH",
        "ALERT_GROUP_STATES",
        "ALERT_MATCHERS",
        "IRM_INTEGRATION_IDS",
        "IRM_TEAM_ID",
        "DRY_RUN",
        "RESOLUTION_NOTES",
        "IRM_REQUESTS_PER_MINUTE",
        "MIN_ALERTMANAGER_UPTIME_SECONDS",
        "MAX_CHANGES_PERCENT",
        "MAX_CHANGES_MINIMUM",
        "GONE_ACTION",
        "MAX_GONE_PERCENT",
        "MISSING_ACTION",
        "GROUP_WAIT_SECONDS",
        "RECONCILE_INTERVAL",
        "STATE_TABLE",
        "RETENTION_DAYS",
        "EVENT_BUS",
        "WAKE_UP_GROUP",
        "WAKE_UP_ROLE_ARN",
        "ALERT_STATE_METRICS",
        "ALERT_STATE_LABELS",
    }
)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_OPEN_STATES = (AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED)
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@:-]+")
# A service account's token, or a user's API key.
_TOKEN = re.compile(r"glsa_.*|[0-9a-f]{64}")
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_BUS_NAME = re.compile(r"[A-Za-z0-9_./:-]{1,256}")
_GROUP_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class AlertmanagerAuth(StrEnum):
    """How this service proves itself to Alertmanager, or to what stands in front of it."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    SIGV4 = "sigv4"


class ResolveThrough(StrEnum):
    """Which way a resolve takes into IRM; see docs/decisions/0004-which-credential.md."""

    AUTO = "auto"
    API = "api"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. Built by load_settings; the defaults of decisions stand in model.Policy."""

    alertmanager_urls: tuple[str, ...]
    """Peers of one cluster, each asked directly: behind a load balancer an alert can hide from a run."""

    alertmanager_auth: AlertmanagerAuth
    """`none`; `basic` and `bearer` need alertmanager_secret; `sigv4` signs for Amazon Managed Prometheus."""

    alertmanager_secret: str
    """Name or ARN in Secrets Manager."""

    alertmanager_tenant: str
    """X-Scope-OrgID, for Mimir."""

    irm_url: str
    """Base of the OnCall API, without /api/v1."""

    irm_token_secret: str
    """Name or ARN in Secrets Manager; wins over irm_token."""

    irm_token: str = field(repr=False)
    """The token itself, for runs on a person's machine."""

    grafana_stack_url: str
    """X-Grafana-URL, which hosted IRM wants from service accounts."""

    resolve_through: ResolveThrough
    """`auto`: through the integration for a service account's token, which may not resolve, else the API."""

    dry_run: bool
    """Plan and report, write nothing. An invocation can ask for a dry run too, but never undo this one."""

    resolution_notes: bool
    """Say why in the alert group's timeline: one request more per change."""

    irm_requests_per_minute: int
    """Own share of IRM's 300 a minute per user. Too high: people who use the same user's token meet 429."""

    state_table: str
    """DynamoDB table that is remembered in; empty: nothing is, and what needs memory is off."""

    retention: timedelta
    """How long runs, closed mismatches and the audit trail can be asked about."""

    event_bus: str
    """EventBridge bus that changes and conditions are told to; empty: none."""

    wake_up_group: str
    """Schedule group for the one run at a silence's end; empty: the next scheduled run notices it."""

    wake_up_role_arn: str
    """What EventBridge Scheduler invokes this function as."""

    alert_state_metrics: bool
    """GET /metrics tells the state of every alert too, for which both systems are read."""

    alert_state_labels: tuple[str, ...]
    """Labels of the alerts to tell there."""

    policy: Policy
    """All that decides what is changed."""


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    Raises:
        ConfigurationError: names every faulty variable and says what would be right.
    """
    reader = _Reader(environ)
    settings = Settings(
        alertmanager_urls=reader.alertmanager_urls(),
        alertmanager_auth=reader.choice("ALERTMANAGER_AUTH", AlertmanagerAuth, AlertmanagerAuth.NONE),
        alertmanager_secret=reader.secret_name("ALERTMANAGER_SECRET"),
        alertmanager_tenant=reader.header("ALERTMANAGER_TENANT"),
        irm_url=reader.irm_url(),
        irm_token_secret=reader.secret_name("GRAFANA_IRM_TOKEN_SECRET"),
        irm_token=reader.text("GRAFANA_IRM_TOKEN"),
        grafana_stack_url=reader.optional_url("GRAFANA_STACK_URL"),
        resolve_through=reader.choice("RESOLVE_THROUGH", ResolveThrough, ResolveThrough.AUTO),
        dry_run=reader.boolean("DRY_RUN", default=False),
        resolution_notes=reader.boolean("RESOLUTION_NOTES", default=True),
        irm_requests_per_minute=reader.number("IRM_REQUESTS_PER_MINUTE", 240, lowest=1, highest=300),
        state_table=reader.matching("STATE_TABLE", _TABLE_NAME, "the name of a DynamoDB table"),
        retention=timedelta(days=reader.number("RETENTION_DAYS", 90, lowest=1, highest=3_650)),
        event_bus=reader.matching("EVENT_BUS", _BUS_NAME, "the name or ARN of an EventBridge bus"),
        wake_up_group=reader.matching("WAKE_UP_GROUP", _GROUP_NAME, "the name of a schedule group"),
        wake_up_role_arn=reader.matching("WAKE_UP_ROLE_ARN", _ROLE_ARN, "the ARN of a role"),
        alert_state_metrics=reader.boolean("ALERT_STATE_METRICS", default=False),
        alert_state_labels=reader.label_names("ALERT_STATE_LABELS"),
        policy=_policy(reader),
    )
    faults = [*reader.faults, *_contradictions(settings)]
    if faults:
        # Two peers may share a fault; the sentence is the same.
        raise ConfigurationError(*dict.fromkeys(faults))
    return settings


def _policy(reader: _Reader) -> Policy:
    seconds = reader.number
    return Policy(
        silenced_action=reader.choice("SILENCED_ACTION", SilencedAction, SilencedAction.RESOLVE),
        alert_group_states=reader.states(),
        matchers=reader.matchers(),
        integration_ids=frozenset(reader.listed("IRM_INTEGRATION_IDS")),
        team_id=reader.text("IRM_TEAM_ID"),
        min_uptime=timedelta(seconds=seconds("MIN_ALERTMANAGER_UPTIME_SECONDS", 600, highest=86_400)),
        max_changes_percent=reader.number("MAX_CHANGES_PERCENT", 50, highest=100),
        max_changes_minimum=reader.number("MAX_CHANGES_MINIMUM", 20, highest=100_000),
        gone_action=reader.choice("GONE_ACTION", GoneAction, GoneAction.RESOLVE),
        max_gone_percent=reader.number("MAX_GONE_PERCENT", 30, highest=100),
        missing_action=reader.choice("MISSING_ACTION", MissingAction, MissingAction.REPORT),
        group_wait=timedelta(seconds=seconds("GROUP_WAIT_SECONDS", 300, highest=86_400)),
        interval=timedelta(seconds=seconds("RECONCILE_INTERVAL", 300, highest=86_400)),
    )


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if not settings.irm_token_secret and not settings.irm_token:
        faults.append(
            "GRAFANA_IRM_TOKEN_SECRET is not set: give the name or ARN of the secret that holds the Grafana IRM token "
            "(on a person's machine GRAFANA_IRM_TOKEN may hold the token itself)"
        )
    needs_secret = settings.alertmanager_auth in (AlertmanagerAuth.BASIC, AlertmanagerAuth.BEARER)
    if needs_secret and not settings.alertmanager_secret:
        auth = settings.alertmanager_auth.value
        faults.append(f"ALERTMANAGER_SECRET is not set, and ALERTMANAGER_AUTH={auth} needs it: a secret's name or ARN")
    if bool(settings.wake_up_group) is not bool(settings.wake_up_role_arn):
        faults.append("WAKE_UP_GROUP and WAKE_UP_ROLE_ARN go together")
    policy = settings.policy
    if policy.silenced_action is SilencedAction.SILENCE and AlertGroupState.FIRING not in policy.alert_group_states:
        faults.append("ALERT_GROUP_STATES must include firing with SILENCED_ACTION=silence: IRM silences no others")
    return faults


class _Reader:
    """Reads one variable at a time and collects the faults instead of stopping at the first."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def header(self, name: str) -> str:
        text = self.text(name)
        if not (text.isascii() and text.isprintable()):
            self.faults.append(f"{name} holds characters that an HTTP header cannot carry")
            return ""
        return text

    def secret_name(self, name: str) -> str:
        """What names a secret stands in errors and logs, so it must not be the secret itself by mistake."""
        text = self.text(name)
        if text and (not _SECRET_NAME.fullmatch(text) or _TOKEN.fullmatch(text)):
            self.faults.append(f"{name} must be the name or ARN of a secret, not what is in it")
        return text

    def matching(self, name: str, pattern: re.Pattern[str], wanted: str) -> str:
        text = self.text(name)
        if text and not pattern.fullmatch(text):
            self.faults.append(f"{name} must be {wanted}, not {text[:60]!r}")
            return ""
        return text

    def label_names(self, name: str) -> tuple[str, ...]:
        names = self.listed(name)
        if not all(_LABEL_NAME.fullmatch(each) for each in names):
            self.faults.append(f"{name} must be a comma-separated list of label names, not {self.text(name)[:60]!r}")
        return tuple(names)

    def listed(self, name: str) -> list[str]:
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def boolean(self, name: str, *, default: bool) -> bool:
        return self._parsed(name, default, lambda text: _BOOLEANS[text.lower()], "true or false")

    def number(self, name: str, default: int, *, lowest: int = 0, highest: int) -> int:
        def parse(text: str) -> int:
            if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
                raise ValueError
            return int(text)

        return self._parsed(name, default, parse, f"a whole number from {lowest} to {highest}")

    def choice(self, name: str, kind: type[E], default: E) -> E:
        return self._parsed(name, default, lambda text: kind(text.lower()), "one of " + ", ".join(kind))

    def states(self) -> frozenset[AlertGroupState]:
        def parse(text: str) -> frozenset[AlertGroupState]:
            states = frozenset(AlertGroupState(part.strip().lower()) for part in text.split(","))
            if not states <= frozenset(_OPEN_STATES):
                raise ValueError
            return states

        wanted = "a comma-separated list of " + ", ".join(_OPEN_STATES)
        return self._parsed("ALERT_GROUP_STATES", frozenset({AlertGroupState.FIRING}), parse, wanted)

    def matchers(self) -> tuple[Matcher, ...]:
        try:
            return parse_matchers(self.text("ALERT_MATCHERS"))
        except ValueError as error:
            self.faults.append(f"ALERT_MATCHERS: {error}")
            return ()

    def alertmanager_urls(self) -> tuple[str, ...]:
        urls = self.listed("ALERTMANAGER_URL")
        if urls:
            return tuple(dict.fromkeys(self._url("ALERTMANAGER_URL", url) for url in urls))
        host = self.text("ALERTMANAGER_HOST") or "localhost:9093"
        return (self._url("ALERTMANAGER_HOST", "" if "/" in host else f"http://{host}"),)

    def irm_url(self) -> str:
        text = self.text("GRAFANA_IRM_URL")
        if not text:
            self.faults.append(
                "GRAFANA_IRM_URL is not set: give the OnCall API's base URL, "
                "for example https://oncall-prod-eu-west-0.grafana.net/oncall"
            )
            return ""
        return self._url("GRAFANA_IRM_URL", text).removesuffix("/api/v1")

    def optional_url(self, name: str) -> str:
        return self._url(name, self.text(name)) if self.text(name) else ""

    def _url(self, name: str, text: str) -> str:
        """The URL without its trailing slash. Faults never quote it: it could hold a password."""
        try:
            parts = urlsplit(text)
            is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            parts, is_complete = urlsplit(""), False
        if not is_complete or not text.isascii() or not text.isprintable() or " " in text:
            self.faults.append(f"{name} must be {_WANTED[name]}")
            return ""
        if "?" in text or "#" in text:
            self.faults.append(f"{name} must not have a query or fragment")
        if parts.username or parts.password:
            self.faults.append(f"{name} must not hold a user or password: {_INSTEAD[name]}")
        return text.rstrip("/")

    def _parsed(self, name: str, default: T, parse: Callable[[str], T], wanted: str) -> T:
        text = self.text(name)
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, KeyError):
            self.faults.append(f"{name} must be {wanted}, not {text[:60]!r}")
            return default


_URL = "a URL with scheme and host, for example https://"
_WANTED = {
    "ALERTMANAGER_URL": f"{_URL}alertmanager.example.com",
    "ALERTMANAGER_HOST": "host:port, for example alertmanager.example.com:9093; for a URL use ALERTMANAGER_URL",
    "GRAFANA_IRM_URL": f"{_URL}oncall-prod-eu-west-0.grafana.net/oncall",
    "GRAFANA_STACK_URL": f"{_URL}mystack.grafana.net",
}
_INSTEAD = {
    "ALERTMANAGER_URL": "use ALERTMANAGER_AUTH=basic and ALERTMANAGER_SECRET",
    "ALERTMANAGER_HOST": "use ALERTMANAGER_AUTH=basic and ALERTMANAGER_SECRET",
    "GRAFANA_IRM_URL": "use GRAFANA_IRM_TOKEN_SECRET",
    "GRAFANA_STACK_URL": "use GRAFANA_IRM_TOKEN_SECRET",
}
