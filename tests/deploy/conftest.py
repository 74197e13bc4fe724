"""What the tests of a deployment share: an account, the built project, both upstreams, and stacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.deploy.sam_project import SamProject
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import Integration
from tests.support.ministack import REGION, MiniStack
from tests.support.waiting import wait_for

ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstreams:
    """A real Alertmanager that notifies a fake IRM, and the integration in between."""

    alertmanager: Alertmanager
    irm: FakeIrm
    integration: Integration

    def parameters(self) -> dict[str, object]:
        """Return the parameters that lead a stack here. The Alertmanager has only just started, and may be trusted."""
        return {
            "GrafanaIrmUrl": self.irm.url,
            "AlertmanagerUrl": self.alertmanager.url,
            "MinAlertmanagerUptimeSeconds": 0,
        }


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack, as its owner sees it."""

    name: str
    aws: MiniStack

    def describe(self) -> dict[str, Any]:
        (stack,) = self.aws.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return dict(stack)

    def output(self, name: str) -> str:
        outputs = {output["OutputKey"]: output["OutputValue"] for output in self.describe()["Outputs"]}
        return str(outputs[name])

    def put_token(self, token: str) -> None:
        secret = self.output("GrafanaTokenSecretArn")
        self.aws.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=token)

    def invoke(self, event: object) -> dict[str, Any]:
        """Invoke the function by hand, and return its answer."""
        answer = self.aws.client("lambda").invoke(FunctionName=self.output("FunctionName"), Payload=json.dumps(event))
        return dict(json.loads(answer["Payload"].read()))

    def run(self, event: object) -> dict[str, Any]:
        """Have a run by hand, and return its report: once no scheduled one is under way, which runs wait for."""
        return wait_for(lambda: self._run_unless_another_runs(event), what="its turn to run")

    def _run_unless_another_runs(self, event: object) -> dict[str, Any]:
        report = self.invoke(event)
        return {} if report.get("status") == "skipped" else report

    def call(
        self, method: str, path: str, *, signed_by: Credentials | None = None, body: object = None
    ) -> urllib3.BaseHTTPResponse:
        """Call the HTTP API as its clients do: by its own host name, signed or not."""
        host = f"{self.api_id}.execute-api.{self.aws.url.removeprefix('http://')}"
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        request = AWSRequest(method=method, url=f"http://{host}{path}", data=data, headers=headers)
        if signed_by is not None:
            SigV4Auth(signed_by, "execute-api", REGION).add_auth(request)
        sent = {**dict(request.headers.items()), "Host": host}
        return urllib3.request(method, f"{self.aws.url}{path}", headers=sent, body=data, retries=False, timeout=60.0)

    @property
    def api_id(self) -> str:
        return self.output("ApiUrl").removeprefix("https://").partition(".")[0]

    def new_caller(self, name: str, *routes: str) -> Credentials:
        """Make a person who may call these routes: `POST/reconcile`, with a star for what is filled in."""
        iam = self.aws.client("iam")
        resources = [f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{self.api_id}/$default/{route}" for route in routes]
        statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="call", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def physical_ids(self) -> dict[str, str]:
        """Return under which name each resource exists, by its logical id."""
        answer = self.aws.client("cloudformation").describe_stack_resources(StackName=self.name)
        return {found["LogicalResourceId"]: found["PhysicalResourceId"] for found in answer["StackResources"]}

    def items(self, partition: str) -> list[dict[str, Any]]:
        """Return what the stack's table holds there, oldest first, in DynamoDB's notation."""
        answer = self.aws.client("dynamodb").query(
            TableName=self.output("StateTableName"),
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": partition}},
        )
        return list(answer["Items"])

    def log_documents(self) -> tuple[dict[str, Any], ...]:
        """Return the function's log lines that are JSON objects, oldest first."""
        lines = self.aws.log_lines(self.output("LogGroupName"))
        return tuple(json.loads(line) for line in lines if line.startswith("{"))

    def reports(self, trigger: str) -> tuple[dict[str, Any], ...]:
        """Return the reports in the log of the runs with that trigger, oldest first."""
        reports = (document["report"] for document in self.log_documents() if "report" in document)
        return tuple(report for report in reports if report["trigger"] == trigger)


@pytest.fixture(scope="module")
def aws() -> Iterator[MiniStack]:
    """Return a fresh account, in which a schedule's minute takes a second."""
    python, lambda_pythons = tools.ministack_python(), {"3.13": tools.lambda_python("3.13")}
    with MiniStack(python, lambda_pythons=lambda_pythons, seconds_a_minute_takes=1) as account:
        yield account


@pytest.fixture(scope="module")
def project(aws: MiniStack, tmp_path_factory: pytest.TempPathFactory) -> SamProject:
    """Return the project after `sam build`."""
    built = SamProject(tmp_path_factory.mktemp("project"), aws.environment())
    built.build()
    return built


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with FakeIrm() as irm:
        integration = irm.add_alertmanager_integration()
        config = routing_config(irm.inbound_url(integration))
        with Alertmanager(tools.alertmanager(), config=config) as alertmanager:
            yield Upstreams(alertmanager=alertmanager, irm=irm, integration=integration)


@pytest.fixture(scope="module")
def stack(aws: MiniStack, project: SamProject, upstreams: Upstreams) -> Stack:
    """Return a stack as its owner has it after `sam deploy`, with the token in the secret, running every minute."""
    project.deploy("alert-sync", {**upstreams.parameters(), "ReconcileInterval": 60})
    deployed = Stack("alert-sync", aws)
    deployed.put_token(upstreams.irm.admin.token)
    answer = deployed.run({})
    assert answer.get("status") == "success", f"the first run failed: {answer}\n{aws.log[-2000:]}"
    return deployed
