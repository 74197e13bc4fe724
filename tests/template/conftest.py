"""The template, read and expanded once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support import tools
from tests.support.expand_template import Template, expand, read_template
from tests.template.created_stack import CreatedStack, create

REQUIRED = {"GrafanaIrmUrl": "https://irm.example/oncall"}

WORKSPACE = "arn:aws:aps:eu-west-1:123456789012:workspace/ws-1234"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:grafana-AbCdEf"
OTHER_SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:alertmanager-AbCdEf"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234-abcd"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
BUS = "arn:aws:events:eu-west-1:210987654321:event-bus/operations"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"

OPTIONS = [
    pytest.param({}, id="defaults"),
    pytest.param({"ReconcileInterval": "0"}, id="by hand only"),
    pytest.param({"Memory": "false", "EventBusName": ""}, id="no memory, tells nobody"),
    pytest.param({"WakeUps": "false"}, id="no wake-ups"),
    pytest.param({"ReconcileInterval": "3600", "AlarmEmail": "ops@example.com"}, id="hourly, alarms by e-mail"),
    pytest.param(
        {
            "GrafanaTokenSecretArn": SECRET,
            "AlertmanagerAuth": "sigv4",
            "AlertmanagerWorkspaceArn": WORKSPACE,
            "AlertmanagerSecretArn": OTHER_SECRET,
            "SecretsKmsKeyArn": KEY,
            "AlarmTopicArn": TOPIC,
            "VpcSubnetIds": "subnet-1a,subnet-2b",
            "VpcSecurityGroupIds": "sg-1a",
            "PermissionsBoundaryArn": BOUNDARY,
            "ReservedConcurrency": "1",
            "EventBusName": BUS,
            "MissingAction": "notify",
            "AlertStateMetrics": "true",
            "AlertStateLabels": "severity,team",
        },
        id="every option",
    ),
]

Deploy = Callable[..., CreatedStack]


@pytest.fixture(scope="session")
def source() -> Template:
    return read_template(tools.PROJECT / "template.yaml", sam_python=tools.sam_python())


@pytest.fixture(scope="session")
def expanded(source: Template) -> Template:
    return expand(source, sam_python=tools.sam_python())


@pytest.fixture
def deployed(expanded: Template) -> Deploy:
    """Return what a deployment with these parameters would create; the required ones are given already."""
    return lambda **parameters: create(expanded, {**REQUIRED, **parameters})


@pytest.fixture(params=OPTIONS)
def stack(request: pytest.FixtureRequest, deployed: Deploy) -> CreatedStack:
    return deployed(**request.param)
