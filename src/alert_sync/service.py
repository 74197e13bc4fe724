"""What lives as long as the execution environment: settings, connections, credentials, request budgets. Wired once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from alert_sync.alertmanager import AlertmanagerClient
from alert_sync.aws_api import AwsApi
from alert_sync.call import Authorizer, Upstream
from alert_sync.credentials import BasicAuth, NoAuth, Secret, TokenAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import ALERTMANAGER, DYNAMODB, IRM, ConfigurationError, ReconcilerError
from alert_sync.event_bus import EventBus
from alert_sync.http_transport import HttpTransport
from alert_sync.inbound import InboundClient
from alert_sync.irm import IrmClient
from alert_sync.memory.items import HEAD_KEY
from alert_sync.memory.ledger import Ledger, Memory, NoMemory
from alert_sync.memory.table import Table
from alert_sync.model import SilencedAction
from alert_sync.recall import Recall, short_hash
from alert_sync.reconcile import Reconciler
from alert_sync.request_budget import RequestBudget
from alert_sync.secrets_store import SecretStore
from alert_sync.settings import AlertmanagerAuth, ResolveThrough, load_settings
from alert_sync.sigv4 import SigV4Auth
from alert_sync.wake_up import WakeUp

WRITERS = 8


class Service:
    """Both clients and how they are set up.

    Raises:
        ConfigurationError: from the constructor, naming every faulty setting.
    """

    def __init__(self, environ: Mapping[str, str], secrets: SecretStore) -> None:
        self.settings = load_settings(environ)
        self._secrets = secrets
        self._transport = HttpTransport(connections=WRITERS)
        self._name = environ.get("POWERTOOLS_SERVICE_NAME", "")
        self._aws_transport = HttpTransport(connections=2, backoff_seconds=0.1)
        self.irm_budget = RequestBudget(self.settings.irm_requests_per_minute)
        self._irm_auth = TokenAuth(self._irm_secret())
        self.alertmanager = AlertmanagerClient(self._transport, self._peers())
        self.irm = IrmClient(self._transport, self._irm_upstream())
        self._inbound = InboundClient(self._transport, self.irm, self.irm_budget)
        table = self.table()
        self._memory: Memory = self._ledger(table) if table else NoMemory()

    def reconciler(self, function_arn: str = "") -> Reconciler:
        """What carries out one run. `function_arn` is what a wake-up invokes; without it there are none.

        Raises:
            ConfigurationError: the token cannot do what the settings ask for.
            UpstreamError: the token's secret could not be read.
        """
        through = self._resolve_through()
        return Reconciler(
            alertmanager=self.alertmanager,
            irm=self.irm,
            inbound=self._inbound if through is ResolveThrough.INTEGRATION else None,
            pager=self._inbound,
            settings=self.settings,
            memory=self._memory,
            event_bus=EventBus(
                self._aws_api("events", "Amazon EventBridge", "AWSEvents"),
                self.settings.event_bus,
                service=self._name,
            ),
            wake_up=WakeUp(
                self._aws_api("scheduler", "Amazon EventBridge Scheduler"),
                group=self.settings.wake_up_group,
                role_arn=self.settings.wake_up_role_arn,
                function_arn=function_arn,
            ),
            writers=WRITERS,
        )

    def table(self) -> Table | None:
        """Where runs are remembered; None without one."""
        name = self.settings.state_table
        return Table(name, self._aws_api("dynamodb", DYNAMODB, "DynamoDB_20120810")) if name else None

    def recall(self, deadline: Deadline) -> Recall:
        """Everything that is open."""
        return self._memory.recall(deadline)

    def lambda_api(self) -> AwsApi:
        """For a job that somebody triggers: the function invokes itself."""
        return self._aws_api("lambda", "AWS Lambda")

    def faults(self, deadline: Deadline) -> dict[str, str]:
        """What cannot be reached now, by name; empty when a run would be able to read everything."""
        faults: dict[str, str] = {}
        checks: dict[str, Callable[[], object]] = {
            "secret": self._irm_auth.token,
            "alertmanager": lambda: self.alertmanager.check(deadline.within(deadline.remaining() / 2)),
            "irm": lambda: self._check_irm(deadline),
        }
        if table := self.table():
            checks["memory"] = lambda: table.get([HEAD_KEY], deadline)
        for name, check in checks.items():
            try:
                check()
            except ReconcilerError as error:
                faults[name] = str(error)
        return faults

    def _aws_api(self, service: str, name: str, target: str = "") -> AwsApi:
        json_version = "1.1" if target == "AWSEvents" else "1.0"
        return AwsApi(service, self._aws_transport, name=name, target=target, json_version=json_version)

    def _ledger(self, table: Table) -> Ledger:
        settings = self.settings
        source = short_hash(settings.alertmanager_tenant, *sorted(settings.alertmanager_urls))
        return Ledger(table, retention=settings.retention, source=source)

    def _check_irm(self, deadline: Deadline) -> None:
        """IRM answers, and the token may do what the settings ask for."""
        self._resolve_through()
        self.irm.check(deadline, now=datetime.now(UTC))

    def _resolve_through(self) -> ResolveThrough:
        is_service_account = self._irm_auth.is_service_account
        if is_service_account and self.settings.policy.silenced_action is SilencedAction.SILENCE:
            raise ConfigurationError(
                "SILENCED_ACTION=silence needs a user's API key: IRM lets no service account (glsa_…) silence"
            )
        if self.settings.resolve_through is not ResolveThrough.AUTO:
            return self.settings.resolve_through
        return ResolveThrough.INTEGRATION if is_service_account else ResolveThrough.API

    def _peers(self) -> tuple[Upstream, ...]:
        settings = self.settings
        headers = {"X-Scope-OrgID": settings.alertmanager_tenant} if settings.alertmanager_tenant else {}
        authorizer = self._alertmanager_auth()
        return tuple(
            Upstream(name=f"{ALERTMANAGER} {url}", base_url=url, authorizer=authorizer, headers=headers)
            for url in settings.alertmanager_urls
        )

    def _alertmanager_auth(self) -> Authorizer:
        name = self.settings.alertmanager_secret
        secret = Secret(name, lambda: self._secrets.read(name))
        match self.settings.alertmanager_auth:
            case AlertmanagerAuth.NONE:
                return NoAuth()
            case AlertmanagerAuth.BASIC:
                return BasicAuth(secret)
            case AlertmanagerAuth.BEARER:
                return TokenAuth(secret, scheme="Bearer")
            case AlertmanagerAuth.SIGV4:
                return SigV4Auth()

    def _irm_secret(self) -> Secret:
        settings = self.settings
        if settings.irm_token_secret:
            return Secret(settings.irm_token_secret, lambda: self._secrets.read(settings.irm_token_secret))
        return Secret("GRAFANA_IRM_TOKEN", lambda: settings.irm_token)

    def _irm_upstream(self) -> Upstream:
        stack = self.settings.grafana_stack_url
        return Upstream(
            name=IRM,
            base_url=self.settings.irm_url,
            authorizer=self._irm_auth,
            headers={"X-Grafana-URL": stack} if stack else {},
            budgets=(self.irm_budget,),
        )
