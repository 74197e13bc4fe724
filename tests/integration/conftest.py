"""The worlds that whole runs are tried in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.world import World
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
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
