"""The fake Grafana IRM answers as the real engine did: each recorded request is sent to it in the recorded situation.

Which recordings are left out, and why, is in recordings/README.md; `test_no_recording_is_forgotten` holds that list.
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from tests.contract.comparison import answered, recorded, shape
from tests.contract.recorded_lab import DELETED, RECORDED_AT, RecordedLab, webhook
from tests.support.fake_irm_model import AlertGroup, Integration
from tests.support.fake_irm_state import Action
from tests.support.recordings import Recording, load, load_json, names

NOT_EXCHANGES = {
    "irm/paging/demonstration",
    "irm/ratelimit/sequence",
    "irm/scenario_fg/unres2_silnew_acknew",
    *names("irm/scenario_bcd"),
    *names("irm/scenario_eh"),
}
MADE_BY_ARRANGING_IN_PYTHON = {
    "irm/integrations/del_create",
    "irm/integrations/delete_204",
    "irm/maintenance/start",
    "irm/ratelimit/inbound_integration",
}


@pytest.fixture
def lab() -> Iterator[RecordedLab]:
    with RecordedLab() as irm:
        yield irm


def group_id_in(recording: Recording) -> str:
    found = re.search(r"/alert_groups/(\w+)", recording.path)
    assert found is not None
    return found[1]


READING = (*names("irm/list"), *names("irm/info"), *names("irm/users"), *names("irm/retrieve"))


@pytest.mark.parametrize("name", READING)
def test_reading_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    lab.fill_as_listed()
    recording = load(name)
    if name == "irm/retrieve/404_other_org":
        lab.delete_alert_group(lab.alert_group(group_id_in(recording)))

    seen = answered(lab, recording)

    assert seen == recorded(recording)


# What had happened to the group before the recorded request: actions on it, on the group it is attached to, or its
# absence.
BEFORE: dict[str, tuple[str, ...]] = {
    "acknowledge_400_already": ("acknowledge",),
    "acknowledge_400_attached": ("attach",),
    "acknowledge_400_on_resolved_was_acked": ("acknowledge", "resolve"),
    "acknowledge_400_resolved": ("resolve",),
    "acknowledge_404": ("absent",),
    "acknowledge_while_silenced": ("silence",),
    "after_ack_while_silenced": ("silence", "acknowledge"),
    "after_resolve_while_acked": ("acknowledge", "resolve"),
    "after_resolve_while_silenced": ("silence", "resolve"),
    "after_unresolve_was_acked": ("acknowledge", "resolve", "unresolve"),
    "after_unresolve_was_silenced": ("silence", "resolve", "unresolve"),
    "attached_get": ("attach",),
    "attached_get_after_root_ack": ("attach", "root acknowledge"),
    "attached_get_after_root_resolve": ("attach", "root acknowledge", "root resolve"),
    "attached_get_after_root_silence": ("attach", "root silence"),
    "deleted_get_404": ("absent",),
    "race_unsilence": ("silence",),
    "resolve_400_already": ("resolve",),
    "resolve_400_attached": ("attach",),
    "resolve_400_attached_already": ("attach", "root resolve"),
    "resolve_404": ("absent",),
    "resolve_lowercase_id": ("absent",),
    "resolve_while_acknowledged": ("acknowledge",),
    "resolve_while_silenced": ("silence",),
    "silence_400_acknowledged": ("acknowledge",),
    "silence_400_attached": ("attach",),
    "silence_400_resolved": ("resolve",),
    "silence_400_resolved_2": ("resolve",),
    "silence_404": ("absent",),
    "silence_again_while_silenced": ("silence",),
    "unacknowledge_200": ("acknowledge",),
    "unacknowledge_400_attached": ("attach",),
    "unacknowledge_400_attached_acked": ("attach", "root acknowledge"),
    "unacknowledge_400_resolved": ("acknowledge", "resolve"),
    "unacknowledge_404": ("absent",),
    "unresolve_200": ("resolve",),
    "unresolve_200_was_acked": ("acknowledge", "resolve"),
    "unresolve_400_acknowledged": ("acknowledge",),
    "unresolve_400_attached_resolved": ("attach", "root resolve"),
    "unresolve_400_attached_unresolved": ("attach",),
    "unresolve_404": ("absent",),
    "unresolve_was_silenced": ("silence", "resolve"),
    "unresolve_wiped": ("wipe",),
    "unresolve_with_bad_json_body": ("resolve",),
    "unresolve_with_empty_json_body": ("resolve",),
    "unsilence_200": ("silence",),
    "unsilence_400_acknowledged_unsilenced": ("acknowledge",),
    "unsilence_400_attached": ("attach",),
    "unsilence_400_attached_silenced": ("attach", "root silence"),
    "unsilence_400_resolved": ("resolve",),
    "unsilence_404": ("absent",),
    "wiped_get": ("wipe",),
    "wiped_get_after_unresolve": ("wipe", "unresolve"),
}


def add_group_with_history(lab: RecordedLab, recording: Recording, history: tuple[str, ...]) -> None:
    root = lab.add_group()
    if "absent" in history:
        return
    group = _group_as_shown(lab, recording)
    for step in history:
        if step == "attach":
            lab.attach(group, root)
        elif step == "wipe":
            lab.wipe(group)
        else:
            target = root if step.startswith("root ") else group
            lab.act(cast("Action", step.removeprefix("root ")), target.id, by=lab.admin)


def _group_as_shown(lab: RecordedLab, recording: Recording) -> AlertGroup:
    """Add the group of the request, with the payload that the recorded answer shows if it shows one."""
    if recording.method != "GET":
        return lab.add_group(group_id_in(recording))
    shown = recording.json()
    payload = shown["last_alert"]["payload"] or webhook("ActWipe")
    return lab.add_alert_group(payload, integration=lab.main, id=shown["id"], title=shown["title"])


ACTIONS = names("irm/actions")


@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    add_group_with_history(lab, recording, BEFORE.get(name.rpartition("/")[2], ()))

    seen = answered(lab, recording)

    assert seen == recorded(recording)


RBAC = {
    "rbac_no_permission_list": [],
    "rbac_read_list": ["grafana-oncall-app.alert-groups:read"],
    "rbac_read_resolve_403": ["grafana-oncall-app.alert-groups:read"],
    "rbac_info_needs_other_settings_read": ["grafana-oncall-app.alert-groups:read"],
    "rbac_integrations_needs_integrations_read": ["grafana-oncall-app.alert-groups:read"],
    "rbac_users_current": ["grafana-oncall-app.alert-groups:read"],
    "rbac_write_resolve": ["grafana-oncall-app.alert-groups:read", "grafana-oncall-app.alert-groups:write"],
    "rbac_irm_oncall_app_permissions": ["grafana-oncall-app.alert-groups:read"],
    "rbac_irm_irm_app_permissions": ["grafana-irm-app.alert-groups:read"],
}


TOKENS = (*names("irm/auth"), *names("irm/service_account"), *names("irm/notes"))


@pytest.mark.parametrize("name", TOKENS)
def test_each_kind_of_token_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    arrange_for(lab, recording)
    short_name = name.rpartition("/")[2]
    if short_name in RBAC:
        lab.user("editor").permissions = frozenset(RBAC[short_name])
    lab.has_irm_plugin = short_name.startswith("rbac_irm_")
    lab.is_organization_deleted = short_name.startswith("organization_deleted")

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def arrange_for(lab: RecordedLab, recording: Recording) -> None:
    """Add the groups that the answer lists, and older ones up to the count it gives; or the group it acts on."""
    if "/alert_groups/?" in recording.target:
        lab.fill_as_listed()
        if recording.status == 200 and not recording.is_cut:
            add_newest(lab, recording)
    elif "/alert_groups/I" in recording.target and "unresolve" in recording.target:
        lab.resolve(lab.add_group(group_id_in(recording)).id)
    elif "/alert_groups/I" in recording.target and "INOSUCH" not in recording.target:
        lab.add_group(group_id_in(recording))
    elif recording.name.startswith("irm/notes/"):
        add_recorded_note(lab)


def add_newest(lab: RecordedLab, recording: Recording) -> None:
    listed = recording.json()
    known = {group.id for group in lab.alert_groups()}
    for group in listed["results"]:
        if group["id"] not in known:
            lab.add_group_like(group)
    lab.fill_up(to=listed["count"])


def add_recorded_note(lab: RecordedLab) -> None:
    [note] = load("irm/notes/list").json()["results"]
    lab.add_note(lab.add_group(note["alert_group_id"]), note["text"], by=lab.admin)


INTEGRATIONS = sorted(set(names("irm/integrations")) - MADE_BY_ARRANGING_IN_PYTHON)


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_integration_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    add_deleted_integration(lab)
    if "other_types" in name:
        add_other_type(lab, name.rpartition("_")[2])

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def add_deleted_integration(lab: RecordedLab) -> Integration:
    integration = lab.add_integration_like(load("irm/integrations/del_create").json())
    integration.has_labels = False
    group = load("irm/integrations/group_of_deleted_get").json()
    lab.add_alert_group(group["last_alert"]["payload"], integration=integration, id=group["id"])
    lab.delete_integration(integration)
    assert integration.id == DELETED
    return integration


def add_other_type(lab: RecordedLab, id: str) -> Integration:
    shown = load(f"irm/integrations/other_types_{id}").json()
    return lab.add_integration_like(shown, is_legacy="legacy" in shown["name"])


INBOUND = names("irm/inbound")


@pytest.mark.parametrize("name", INBOUND)
def test_posted_notification_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    integration = add_deleted_integration(lab)
    integration.is_deleted = "deleted" in name

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def test_posted_resolve_without_a_group_makes_one_that_is_resolved(lab: RecordedLab) -> None:
    answered(lab, load("irm/inbound/resolved_for_unknown_group"))

    [group] = lab.alert_groups()
    assert (group.state, group.resolved_by, group.alerts_count) == ("resolved", None, 1)


def test_legacy_integration_makes_a_group_of_each_alert(lab: RecordedLab) -> None:
    add_other_type(lab, "CYDNUXPKLDKJV")
    posted = load("irm/integrations/other_types_inbound_CYDNUXPKLDKJV")

    answered(lab, posted)

    alerts = json.loads(posted.request_body or b"")["alerts"]
    assert [group.last_payload for group in reversed(lab.alert_groups())] == alerts


MAINTENANCE_STARTED_AT = datetime(2026, 11, 21, 3, 18, 59, tzinfo=UTC)
MAINTENANCE = sorted(set(names("irm/maintenance")) - MADE_BY_ARRANGING_IN_PYTHON)


def start_maintenance(lab: RecordedLab) -> AlertGroup:
    """Start the recorded maintenance, with the recorded group attached to it; return the group that stands for it."""
    lab.clock.advance((MAINTENANCE_STARTED_AT - RECORDED_AT).total_seconds())
    maintenance = lab.start_maintenance(lab.of_team, id=load("irm/maintenance/incident_get_after_resolve").json()["id"])
    shown = load("irm/maintenance/attached_get_after").json()
    attached = lab.add_alert_group(shown["last_alert"]["payload"], integration=lab.of_team, id=shown["id"])
    lab.attach(attached, maintenance)
    return maintenance


@pytest.mark.parametrize("name", MAINTENANCE)
def test_maintenance_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    lab.fill_as_listed(total=30)
    maintenance = start_maintenance(lab)
    if name.endswith(("after", "after_resolve", "unresolve")):
        lab.resolve(maintenance.id, by=lab.admin)
    if name.endswith("unsilence"):
        lab.silence(maintenance.id)

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def test_resolving_maintenance_ends_it_for_all_attached(lab: RecordedLab) -> None:
    maintenance = start_maintenance(lab)

    answered(lab, load("irm/maintenance/incident_resolve"))

    assert lab.of_team.maintenance_started_at is None
    assert lab.resolved_ids == [maintenance.id, "I56TNL23MC5RQ"]


# Rate limits

ADMITTED = ("irm/ratelimit/list_1", "irm/ratelimit/list_299", "irm/ratelimit/list_300")
REFUSED = (
    "irm/ratelimit/list_301",
    "irm/ratelimit/list_302",
    "irm/ratelimit/list_330",
    "irm/ratelimit/integrations_429",
    "irm/ratelimit/post_resolve_429",
)
OTHER_BUCKETS = ("irm/ratelimit/info_429", "irm/ratelimit/info_separate_bucket", "irm/ratelimit/inbound_429")


@pytest.mark.parametrize("name", ADMITTED)
def test_admitted_request_is_answered_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    lab.fill_as_listed()
    add_newest(lab, recording)

    seen = answered(lab, recording)

    assert seen == recorded(recording)


@pytest.mark.parametrize("name", REFUSED)
def test_request_over_the_limit_is_refused_as_recorded(lab: RecordedLab, name: str) -> None:
    recording = load(name)
    lab.limits.requests_per_minute = 1
    answered(lab, load("irm/ratelimit/list_1"))
    lab.clock.advance(60 - int(recording.header("Retry-After") or 0))

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def test_info_has_a_bucket_of_its_own(lab: RecordedLab) -> None:
    lab.limits.requests_per_minute = 0
    recording = load("irm/ratelimit/info_separate_bucket")

    seen = answered(lab, recording)

    assert seen == recorded(recording)


def test_info_over_its_limit_is_refused_without_reset_header(lab: RecordedLab) -> None:
    lab.limits.info_requests_per_minute = 1
    answered(lab, load("irm/ratelimit/info_separate_bucket"))
    lab.clock.advance(60 - 12)

    seen = answered(lab, load("irm/ratelimit/info_separate_bucket"))

    assert seen == recorded(load("irm/ratelimit/info_429"))


def test_integration_over_its_limit_is_refused_as_recorded(lab: RecordedLab) -> None:
    integration = lab.add_integration_like(load("irm/ratelimit/inbound_integration").json())
    lab.limits.inbound_per_five_minutes = 0
    posted = load("irm/inbound/firing_200").asked_as("POST", urlsplit(lab.inbound_url(integration)).path)

    seen = answered(lab, posted)

    assert seen == recorded(load("irm/ratelimit/inbound_429"))


def test_limit_slides_as_recorded_over_330_requests(lab: RecordedLab) -> None:
    sequence = load_json("irm/ratelimit/sequence")
    start, seen = lab.clock.now(), []
    request = load("irm/ratelimit/list_1")

    # One request followed the other: each began when the one before had been answered.
    for begun, (number, ended, *_) in zip([0.0, *(row[1] for row in sequence)], sequence, strict=False):
        lab.clock.advance((start + timedelta(seconds=begun) - lab.clock.now()).total_seconds())
        answer = answered(lab, request)
        seen.append([number, ended, answer.status, answer.headers["Retry-After"], answer.headers["RateLimit-Reset"]])

    assert seen == sequence


# Paging while groups come and go, as a person saw it


def section(heading: str) -> list[str]:
    """Return the lines of the demonstration below a heading."""
    lines: list[str] = load_json("irm/paging/demonstration")
    start = next(number for number, line in enumerate(lines) if line.startswith(heading)) + 1
    below = itertools.takewhile(lambda line: line.startswith("  "), lines[start:])
    return [line.strip() for line in below]


@dataclass(slots=True)
class Pager:
    """Lists as the demonstration did, and describes each page in its words."""

    lab: RecordedLab
    numbers: dict[str, int]
    seen: list[str] = field(default_factory=list)

    def describe(self, name: str, query: str) -> str:
        question = load("irm/list/perpage=1").asked_as("GET", f"/api/v1/alert_groups/?perpage=50&{query}")
        told = cast("dict[str, Any]", answered(self.lab, question).body)
        listed = [group["id"] for group in told["results"]]
        self.seen += listed
        items = sorted(self.numbers[known] for known in listed if known in self.numbers)
        where = f"current_page_number={told['current_page_number']}/{told['total_pages']} results={len(listed)}"
        following = "null" if told["next"] is None else "yes"
        return f"{name} count={told['count']} {where} items {items[0]}..{items[-1]} next={following}"

    def resolve_seen(self) -> None:
        for seen in self.seen:
            if self.lab.alert_group(seen).state == "firing":
                self.lab.resolve(seen)


@pytest.fixture
def pager(lab: RecordedLab) -> Pager:
    """120 firing groups, numbered from the oldest."""
    groups = [lab.add_group(created_at=RECORDED_AT + timedelta(seconds=number)) for number in range(120)]
    return Pager(lab=lab, numbers={group.id: number for number, group in enumerate(groups)})


def test_pages_shift_while_groups_of_the_filtered_state_are_resolved(pager: Pager) -> None:
    lines = []
    for number in (1, 2):
        lines.append(pager.describe(f"page {number}", f"state=new&page={number}"))
        pager.resolve_seen()
    seen = len(set(pager.seen))
    lines.append(pager.describe(f"seen {seen} of 120; never seen and still firing:", "state=new&page=1"))

    assert lines == section("A:")


def test_stale_page_number_gives_the_last_page(pager: Pager) -> None:
    for numbered, number in pager.numbers.items():
        if not 20 <= number < 70:
            pager.lab.resolve(numbered)

    line = pager.describe("page=3 asked:", "state=new&page=3")

    assert [line] == section("A2:")


def test_pages_stand_still_without_a_filter_by_state(pager: Pager) -> None:
    lines = []
    for number in (1, 2, 3):
        lines.append(pager.describe(f"page {number}", f"page={number}"))
        pager.resolve_seen()

    assert lines == section("B:")[:3]


def test_new_groups_push_known_ones_onto_the_next_page(pager: Pager) -> None:
    lines = [pager.describe("page 1", "state=new&page=1")]
    for seconds in range(7):
        pager.lab.add_group(created_at=RECORDED_AT + timedelta(hours=1, seconds=seconds))
    lines += [pager.describe(f"page {number}", f"state=new&page={number}") for number in (2, 3)]

    assert lines == section("C:")[:3]


def test_first_page_asked_again_and_again_shows_every_group(pager: Pager) -> None:
    lines = []
    for number in (1, 2, 3):
        lines.append(pager.describe(f"round {number}", "state=new&page=1"))
        pager.resolve_seen()

    assert lines == section("D:")[:3]


# What becomes of groups when Alertmanager notifies and people act: whole recorded scenarios

ACTS: dict[str, list[tuple[str, Action, str]]] = {
    "irm/scenario_bcd": [("2026-11-21T03:10:26Z", "resolve", "Ddef")],
    "irm/scenario_eh": [
        ("2026-11-21T03:12:17Z", "resolve", "Eresolved"),
        ("2026-11-21T03:12:19Z", "acknowledge", "Ack"),
        ("2026-11-21T03:12:19Z", "silence", "SilSrc"),
    ],
}


def play(lab: RecordedLab, scenario: str) -> None:
    """Let Alertmanager's recorded notifications arrive, and the recorded acts happen, in their order."""
    notified = [(sent["t"], "notify", sent["body"]) for sent in load_json(f"{scenario}/am_notifications")]
    for _, what, about in sorted([*notified, *ACTS[scenario]], key=lambda event: event[0]):
        if what == "notify":
            lab.receive_webhook(about, lab.main)
        else:
            [group] = [known for known in lab.alert_groups() if known.title == f"{about} (c1)"]
            lab.act(cast("Action", what), group.id, by=lab.admin)


SCENARIO_GROUPS = [name for scenario in ACTS for name in names(scenario) if name.endswith("_groups")]


@pytest.mark.parametrize("name", SCENARIO_GROUPS)
def test_groups_end_as_recorded_in_the_scenario(lab: RecordedLab, name: str) -> None:
    play(lab, name.rpartition("/")[0])

    about = name.rpartition("/")[2].removesuffix("_groups")
    ended = [outcome(group) for group in shown_groups(lab) if group["title"] == f"{about} (c1)"]
    assert ended == [outcome(group) for group in load_json(name)]


def shown_groups(lab: RecordedLab) -> list[dict[str, Any]]:
    return [json.loads(lab.serialised(group)) for group in lab.alert_groups()]


def outcome(group: dict[str, Any]) -> dict[str, Any]:
    """Keep of a group what does not depend on when and under which id it was made."""
    exact = {key: group[key] for key in ("title", "state", "alerts_count", "labels", "resolved_by", "acknowledged_by")}
    return {**shape(group), **exact, "last payload": group["last_alert"]["payload"]}


def test_unresolved_group_never_receives_or_resolves_again(lab: RecordedLab) -> None:
    resolved_at_once, unresolved = load_json("irm/scenario_fg/unres2_silnew_acknew")["Unres2"]
    [first] = lab.receive_webhook(unresolved["last_alert"]["payload"], lab.main)
    lab.resolve(first.id, by=lab.admin)
    lab.unresolve(first.id, by=lab.admin)

    lab.clock.advance(15)
    lab.receive_webhook(resolved_at_once["last_alert"]["payload"], lab.main)

    assert [outcome(group) for group in shown_groups(lab)] == [outcome(resolved_at_once), outcome(unresolved)]


@pytest.mark.parametrize(("about", "action"), [("SilNew", "silence"), ("AckNew", "acknowledge")])
def test_new_alert_leaves_a_quiet_group_quiet(lab: RecordedLab, about: str, action: Action) -> None:
    [expected] = load_json("irm/scenario_fg/unres2_silnew_acknew")[about]
    payload = expected["last_alert"]["payload"]
    [group] = lab.receive_webhook(payload, lab.main)
    lab.act(action, group.id, by=lab.admin)

    lab.receive_webhook(payload, lab.main)

    assert [outcome(group) for group in shown_groups(lab)] == [outcome(expected)]


def test_no_recording_is_forgotten() -> None:
    exchanged = {
        *READING,
        *ACTIONS,
        *TOKENS,
        *INTEGRATIONS,
        *INBOUND,
        *MAINTENANCE,
        *ADMITTED,
        *REFUSED,
        *OTHER_BUCKETS,
    }

    assert exchanged | NOT_EXCHANGES | MADE_BY_ARRANGING_IN_PYTHON == set(names("irm"))
