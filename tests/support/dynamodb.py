"""A DynamoDB that keeps its promises about conditions and transactions: MiniStack's, with a fresh table for each test.

Moto's loses updates when threads meet, so it must not be used for anything about races.
"""

from __future__ import annotations

import uuid

import pytest

from alert_sync.aws_api import AwsApi
from alert_sync.http_transport import HttpTransport
from alert_sync.memory.table import Table
from tests.support import tools
from tests.support.life_cycle import Running
from tests.support.ministack import MiniStack


class DynamoDb(Running):
    """A running server. Making a table costs milliseconds, and none sees what is in another.

    Example:
        with DynamoDb() as dynamodb:
            name = dynamodb.new_table()
            subprocess.run(command, env={**os.environ, **dynamodb.environment(), "STATE_TABLE": name})
    """

    def __init__(self) -> None:
        """Skip the test where MiniStack cannot be had."""
        self.account = MiniStack(tools.ministack_python(), lambda_pythons={})

    @property
    def url(self) -> str:
        return self.account.url

    def environment(self) -> dict[str, str]:
        """Return the variables that point the project, and AWS's own tools, at this server."""
        return self.account.environment()

    def point_at(self, monkeypatch: pytest.MonkeyPatch, *, url: str = "") -> None:
        """Point this process at it for the length of a test; through `url`, if that is a proxy before it."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)
        if url:
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)

    def new_table(self) -> str:
        """Make an empty table like the template's, and return its name."""
        name = f"state-{uuid.uuid4().hex[:12]}"
        self.account.client("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
        )
        return name

    def start(self) -> None:
        self.account.start()

    def tidy_up(self) -> None:
        self.account.tidy_up()


def table_named(name: str, *, backoff_seconds: float = 0.01) -> Table:
    """The project's own way to the table, with connections of its own: what another process would use."""
    transport = HttpTransport(backoff_seconds=backoff_seconds)
    return Table(name, AwsApi("dynamodb", transport, name="Amazon DynamoDB", target="DynamoDB_20120810"))
