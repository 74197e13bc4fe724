"""The worlds that whole runs are tried in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.world import World
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.dynamodb import DynamoDb
from tests.support.fake_irm import FakeIrm
from tests.support.webhook_recorder import WebhookRecorder


@pytest.fixture(scope="module")
def world_webhooks() -> Iterator[WebhookRecorder]:
    with WebhookRecorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def world_alertmanager(world_webhooks: WebhookRecorder) -> Iterator[Alertmanager]:
    with Alertmanager(tools.alertmanager(), config=routing_config(world_webhooks.url)) as running:
        yield running


@pytest.fixture
def world(world_alertmanager: Alertmanager, world_webhooks: WebhookRecorder) -> Iterator[World]:
    with FakeIrm() as irm:
        yield World(alertmanager=world_alertmanager, webhooks=world_webhooks, irm=irm)


@pytest.fixture
def lasting_world(
    world_alertmanager: Alertmanager, world_webhooks: WebhookRecorder, state_table: str
) -> Iterator[World]:
    """A world whose runs remember. What fired in it does not fire in the next test's."""
    with FakeIrm() as irm:
        world = World(alertmanager=world_alertmanager, webhooks=world_webhooks, irm=irm, state_table=state_table)
        yield world
        world.expire_silences()
        world.end_all_alerts()


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[DynamoDb]:
    with DynamoDb() as running:
        yield running


@pytest.fixture
def state_table(dynamodb: DynamoDb, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty table, at which this process is pointed for the length of a test."""
    dynamodb.point_at(monkeypatch)
    return dynamodb.new_table()
