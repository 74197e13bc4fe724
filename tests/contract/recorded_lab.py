"""The organization that the IRM recordings were made in, built again in the fake, so that answers can be compared."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.fake_irm import Clock, FakeIrm
from tests.support.fake_irm_model import AlertGroup, Integration, IntegrationType, Payload, User
from tests.support.recordings import Recording, load

ADMIN_ID = "UPNBXANBUERLH"
TEAM_ID = "T89I3XGZKZX34"
MAIN, OF_TEAM, DELETED = "CHYCJXMSYI75I", "C2UFAFJ7RPSEA", "CFU9E5HR6MVE5"
RECORDED_AT = datetime(2026, 11, 21, 3, 17, tzinfo=UTC)

_COUNT_OF_ALL, _COUNT_OF_RESOLVED = 31, 6
_LISTS_THAT_SHOW_A_GROUP = (
    "perpage=1",
    "perpage=1_page=2",
    "perpage=1_page=99999",
    "id=I2GWAK6GHIZ9H",
    "label=alertname_ActA",
    "state=silenced_perpage=3",
)
_TOKENS_OF_THE_LAB = {"editor", "viewer", "norole", "inactive", "loadtest"}


class RecordedLab(FakeIrm):
    """A fake with the users, integrations and alert groups of the laboratory; its clock stands still."""

    def __init__(self) -> None:
        super().__init__(clock=Clock(RECORDED_AT), path_prefix="")
        # Links with the recorded host, so that they can be compared as they are; nobody follows them here.
        self.links_base_url = "http://irm.example"
        self.admin.id = ADMIN_ID
        self.add_user("editor", role="editor")
        self.add_user("viewer", role="viewer")
        self.add_user("norole", role="none")
        self.add_user("inactive", is_active=False)
        self.add_user("loadtest")
        self.add_service_account("admin00")
        self.add_service_account("reader0", role="viewer")
        self.add_service_account("nothing", role="none")
        self.main = self._integration("irm/integrations/get")
        self.of_team = self._integration("irm/maintenance/integration_get_after")
        self.webhook = self.add_alertmanager_integration(
            "webhook", key="fakeintegrationkey0000005", type=IntegrationType.WEBHOOK
        )

    def user(self, name: str) -> User:
        return next(user for user in self.users if user.name == name)

    def authorization(self, recording: Recording) -> str | None:
        """Return the header that stands for the recorded `<token>`; None where there was none."""
        if "Authorization" not in dict(recording.request_headers):
            return None
        sent = recording.token_of
        if sent in _TOKENS_OF_THE_LAB:
            sent = self.user(sent).token
        return self._odd_authorization(recording.name) or (sent or self.admin.token).removeprefix("raw:")

    def _odd_authorization(self, name: str) -> str | None:
        token = self.admin.token
        odd = {
            "irm/auth/revoked_token": "a token that was deleted",
            "irm/auth/bearer_prefix": f"Bearer {token}",
            "irm/auth/token_prefix": f"Token {token}",
            "irm/auth/upper_case": token.upper(),
            "irm/auth/last_char_wrong": f"{token[:-1]}x",
            "irm/auth/trailing_space": f"{token} ",
            # Another organization sees none of this one's groups; here the groups are simply not there.
            "irm/retrieve/404_other_org": token,
        }
        return odd.get(name)

    def add_integration_like(self, recorded: dict[str, Any], *, is_legacy: bool = False) -> Integration:
        """Add an integration with the recorded name, key, team and route."""
        integration = self.add_alertmanager_integration(
            recorded["name"],
            id=recorded["id"],
            key=recorded["link"].rstrip("/").rpartition("/")[2],
            team_id=recorded["team_id"],
            type=IntegrationType(recorded["type"]),
            is_legacy=is_legacy,
        )
        integration.route_id = recorded["default_route"]["id"]
        integration.escalation_chain_id = recorded["default_route"]["escalation_chain_id"]
        return integration

    def _integration(self, name: str) -> Integration:
        return self.add_integration_like(load(name).json())

    def add_group_like(self, recorded: dict[str, Any]) -> AlertGroup:
        """Add an alert group with the recorded identity, age, state and last payload."""
        known = {self.main.id: self.main, self.of_team.id: self.of_team}
        last = recorded["last_alert"]
        group = self.add_alert_group(
            last["payload"],
            integration=known.get(recorded["integration_id"]),
            state=recorded["state"],
            id=recorded["id"],
            title=recorded["title"],
            created_at=datetime.fromisoformat(recorded["created_at"]),
        )
        group.labels = {label["key"]["name"]: label["value"]["name"] for label in recorded["labels"]}
        group.resolved_by, group.acknowledged_by = recorded["resolved_by"], recorded["acknowledged_by"]
        return group

    def add_group(self, id: str | None = None, *, created_at: datetime | None = None) -> AlertGroup:
        """Add a firing alert group of the main integration."""
        return self.add_alert_group(webhook("Filler"), integration=self.main, id=id, created_at=created_at)

    def fill_as_listed(self, *, total: int = _COUNT_OF_ALL) -> None:
        """Add the 31 alert groups there were when the lists were recorded, or as many as there were at another time."""
        listed = {
            group["id"]: group
            for name in _LISTS_THAT_SHOW_A_GROUP
            for group in load(f"irm/list/{name}").json()["results"]
        }
        for recorded in listed.values():
            self.add_group_like(recorded)
        self.fill_up(to=total)

    def fill_up(self, *, to: int) -> None:
        """Add groups older than the recorded ones, except the oldest, until there are as many as were counted."""
        for minute in range(to - len(self.alert_groups())):
            group = self.add_group(created_at=RECORDED_AT - timedelta(minutes=6, seconds=minute))
            if minute < _COUNT_OF_RESOLVED:
                self.resolve(group.id)


def webhook(name: str, *, status: str = "firing") -> Payload:
    """Return what Alertmanager posts about one alert."""
    labels = {"alertname": name, "cluster": "c1"}
    alert = {"status": status, "labels": {**labels, "instance": "a"}, "fingerprint": "00000000c0ffee00"}
    return {
        "receiver": "oncall",
        "status": status,
        "alerts": [alert],
        "groupLabels": labels,
        "groupKey": f"{{}}:{json.dumps(labels)}",
        "truncatedAlerts": 0,
    }
