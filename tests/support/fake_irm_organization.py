"""The organization that the fake Grafana IRM serves: people, tokens, teams, integrations. No alert groups here."""

import itertools
import threading
from collections.abc import Iterable

from tests.support.fake_irm_model import Clock, Integration, IntegrationType, Role, User


class IrmOrganization:
    """People with their tokens, and the endpoints that take webhooks."""

    def __init__(self, *, clock: Clock, is_hosted: bool, has_irm_plugin: bool) -> None:
        self.clock = clock
        self.is_hosted = is_hosted
        self.has_irm_plugin = has_irm_plugin
        """Whether the organization has moved from OnCall to IRM: other permission names, other permalinks."""
        self.is_organization_deleted = False
        self.users: list[User] = []
        self.teams: set[str] = set()
        self.lock = threading.RLock()
        self._integrations: dict[str, Integration] = {}
        self._numbers = itertools.count(1)

    @property
    def plugin(self) -> str:
        return "grafana-irm-app" if self.has_irm_plugin else "grafana-oncall-app"

    def add_user(
        self,
        name: str = "user",
        *,
        role: Role | str = Role.ADMIN,
        token: str | None = None,
        id: str | None = None,
        is_active: bool = True,
        permissions: Iterable[str] | None = None,
    ) -> User:
        """Add a person with one API token; `permissions` are RBAC names like `grafana-irm-app.alert-groups:read`."""
        user = User(
            id=id or self._new_id("U"),
            name=name,
            role=Role(role),
            is_active=is_active,
            permissions=None if permissions is None else frozenset(permissions),
            tokens={token or f"token-of-{name}"},
        )
        self.users.append(user)
        return user

    def add_service_account(self, name: str = "robot", *, role: Role | str = Role.ADMIN, token: str = "") -> User:
        """Add a service account; IRM tells it from a user by the prefix `glsa_` of its token."""
        account = self.add_user(name, role=role, token=token or f"glsa_{name}")
        account.is_service_account = True
        return account

    def add_alertmanager_integration(
        self,
        name: str = "alertmanager",
        *,
        id: str | None = None,
        key: str | None = None,
        team_id: str | None = None,
        type: IntegrationType = IntegrationType.ALERTMANAGER,
        is_legacy: bool = False,
        grouping_key: str | None = None,
        resolve_signal: str | None = None,
    ) -> Integration:
        """Add an integration; a `grouping_key` or `resolve_signal` other than None was customized by somebody."""
        with self.lock:
            integration = Integration(
                id=id or self._new_id("C"),
                key=key or f"fakekeyof{name.replace(' ', '')}{next(self._numbers):04d}",
                name=name,
                route_id=self._new_id("R"),
                type=type,
                is_legacy=is_legacy,
                team_id=team_id,
                grouping_key=grouping_key,
                resolve_signal=resolve_signal,
            )
            self._integrations[integration.id] = integration
            if team_id is not None:
                self.teams.add(team_id)
            return integration

    def integration(self, integration_id: str) -> Integration | None:
        """Return the integration as the API knows it: None when it was deleted or stands for maintenance."""
        found = self._integrations.get(integration_id)
        return None if found is None or found.is_deleted else found

    def integrations(self) -> list[Integration]:
        return [integration for integration in self._integrations.values() if not integration.is_deleted]

    def integration_of_key(self, key: str) -> Integration | None:
        """Return the integration of an inbound key, deleted ones included."""
        return next((known for known in self._integrations.values() if known.key == key), None)

    def delete_integration(self, integration: Integration) -> None:
        """Delete it; its alert groups stay listed and can still be resolved."""
        integration.is_deleted = True

    def _new_id(self, letter: str) -> str:
        return f"{letter}FAKE{next(self._numbers):08d}"

    def _unlisted_integration(self, name: str) -> Integration:
        return Integration(id=self._new_id("C"), key="", name=name, route_id=self._new_id("R"))
