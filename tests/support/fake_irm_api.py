"""The HTTP face of the fake Grafana IRM: its routes, and what each of them answers and refuses, as a real engine does.

Turns one request into one answer. Who may ask is in `fake_irm_admission`, sockets and the request log in `fake_irm`.
"""

import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, get_args

from tests.support.fake_irm_admission import Admission
from tests.support.fake_irm_answers import (
    ApiError,
    ServerError,
    dumped,
    empty_answer,
    json_answer,
    page_not_found,
    server_error_page,
    text_answer,
)
from tests.support.fake_irm_listing import InvalidFilterError, filtered, page
from tests.support.fake_irm_model import GRAFANA_URL, AlertGroup, Integration, Payload, User
from tests.support.fake_irm_state import Action, ActionRefusedError, IrmState
from tests.support.loopback_http import Answer, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request of an admitted user, with the parts of its path."""

    request: Request
    user: User
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    pattern: re.Pattern[str]
    permission: str
    """Without `:read` or `:write`, which follows from the method."""
    allow: str
    handlers: dict[str, Callable[[Call], Answer]]
    is_info: bool = False
    """/info has a rate limit of its own and does not know service accounts."""


class IrmApi:
    """Answers requests from the state."""

    def __init__(
        self,
        state: IrmState,
        *,
        admission: Admission,
        base_url: str,
        links_base_url: Callable[[], str],
        deliver: Callable[[Payload, Integration], None],
    ) -> None:
        """`base_url` is what `next` is built from; `deliver` takes what was posted to an inbound URL."""
        self._state = state
        self._admission = admission
        self._base_url = base_url
        self._links_base_url = links_base_url
        self._deliver = deliver
        self._endpoints = self._all_endpoints()

    def answer(self, request: Request, path: str) -> tuple[Answer, str | None]:
        """Answer a request, whose path is given without the prefix; the second value says who asked."""
        if path.startswith("/integrations/"):
            return self._inbound(request, path)
        for endpoint in self._endpoints:
            match = endpoint.pattern.fullmatch(path)
            if match:
                return self._answer_from(endpoint, request, match.groups())
        return page_not_found(), None

    def _answer_from(self, endpoint: Endpoint, request: Request, parts: tuple[str, ...]) -> tuple[Answer, str | None]:
        if self._state.is_organization_deleted:
            return json_answer(404, b'{"detail": "Not found."}'), None
        allow = ("Allow", endpoint.allow)
        user: User | None = None
        try:
            self._admission.check_format(request)
            user = self._admission.authenticate(request, service_accounts=not endpoint.is_info)
            self._admit(user, endpoint, request.method)
            answer = endpoint.handlers[request.method](Call(request=request, user=user, parts=parts))
            return replace(answer, headers=(allow, *answer.headers)), user.id
        except ApiError as error:
            return json_answer(error.status, error.body, allow, *error.headers), None if user is None else user.id
        except ServerError:
            return server_error_page(), None if user is None else user.id

    def _admit(self, user: User, endpoint: Endpoint, method: str) -> None:
        if method not in endpoint.handlers:
            raise ServerError
        right = "read" if method in ("GET", "HEAD") else "write"
        self._admission.check_permission(user, f"{endpoint.permission}:{right}")
        if endpoint.is_info:
            self._admission.throttle_info(user)
        else:
            self._admission.throttle(user)

    # What is answered

    def _all_endpoints(self) -> tuple[Endpoint, ...]:
        action = "|".join(get_args(Action))
        listing, reading = "GET, POST, HEAD, OPTIONS", "GET, HEAD, OPTIONS"
        groups, detail = _get(self._alert_groups), {**_get(self._alert_group), "DELETE": self._delete}
        notes = {**_get(self._notes), "POST": self._add_note}
        one_integration = "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"
        return (
            _endpoint("alert_groups", "alert-groups", reading, groups),
            _endpoint("alert_groups/([^/]+)", "alert-groups", "GET, DELETE, HEAD, OPTIONS", detail),
            _endpoint(f"alert_groups/([^/]+)/({action})", "alert-groups", "POST, OPTIONS", {"POST": self._act}),
            _endpoint("integrations", "integrations", listing, _get(self._integrations)),
            _endpoint("integrations/([^/]+)", "integrations", one_integration, _get(self._integration)),
            _endpoint("resolution_notes", "alert-groups", listing, notes),
            _endpoint("users/([^/]+)", "user-settings", reading, _get(self._user)),
            _endpoint("info", "other-settings", reading, _get(_info), is_info=True),
        )

    def _alert_groups(self, call: Call) -> Answer:
        try:
            groups = filtered(self._state, call.request.query)
        except InvalidFilterError as error:
            raise ApiError(400, error.body) from None
        return self._page(groups, self._state.serialised, call, "alert_groups")

    def _page(self, items: list[T], serialise: Callable[[T], bytes], call: Call, name: str) -> Answer:
        url = f"{self._base_url}/api/v1/{name}/"
        return json_answer(200, page(items, call.request.query, url=url, serialise=serialise))

    def _alert_group(self, call: Call) -> Answer:
        return json_answer(200, self._state.serialised(self._find(call.parts[0])))

    def _find(self, alert_group_id: str) -> AlertGroup:
        try:
            return self._state.alert_group(alert_group_id)
        except KeyError:
            raise ApiError(404, {"detail": "Not found."}) from None

    def _delete(self, call: Call) -> Answer:
        group = self._find(call.parts[0])
        mode = _fields(call.request).get("mode", "wipe")
        if mode not in ("delete", "wipe"):
            raise ApiError(400, "Invalid mode")
        if mode == "delete":
            self._state.delete_alert_group(group)
        else:
            self._state.wipe(group)
        return empty_answer(204)

    def _act(self, call: Call) -> Answer:
        action = cast("Action", call.parts[1])
        if call.user.is_service_account:
            raise ApiError(403, {"detail": f"Service accounts are not allowed to {action} alert groups"})
        group = self._find(call.parts[0])
        delay_seconds = _delay(call.request) if action == "silence" else None
        try:
            self._state.act(action, group.id, by=call.user, delay_seconds=delay_seconds)
        except ActionRefusedError as refused:
            raise ApiError(400, {"detail": str(refused)}) from None
        except OverflowError:
            raise ServerError from None
        return empty_answer(200)

    def _integrations(self, call: Call) -> Answer:
        name = dict(call.request.query).get("name")
        found = [known for known in self._state.integrations() if name in (None, known.name)]
        return self._page(found, lambda known: dumped(self._shown(known)), call, "integrations")

    def _integration(self, call: Call) -> Answer:
        found = self._state.integration(call.parts[0])
        if found is None:
            raise ApiError(404, {"detail": "Not found."})
        return json_answer(200, self._shown(found))

    def _shown(self, integration: Integration) -> dict[str, Any]:
        return integration.as_json(links_base_url=self._links_base_url())

    def _notes(self, call: Call) -> Answer:
        of_group = dict(call.request.query).get("alert_group_id")
        notes = [note for note in self._state.notes if of_group in (None, note.alert_group_id)]
        return self._page(notes, lambda note: dumped(note.as_json()), call, "resolution_notes")

    def _add_note(self, call: Call) -> Answer:
        fields = _fields(call.request)
        missing = {name: ["This field is required."] for name in ("alert_group_id", "text") if not fields.get(name)}
        if missing:
            raise ApiError(400, missing)
        try:
            group = self._state.alert_group(str(fields["alert_group_id"]))
        except KeyError:
            raise ApiError(400, {"alert_group_id": ["Object does not exist"]}) from None
        return json_answer(201, self._state.add_note(group, str(fields["text"]), by=call.user).as_json())

    def _user(self, call: Call) -> Answer:
        wanted = call.parts[0]
        if wanted == "current" and call.user.is_service_account:
            raise ServerError
        for user in self._state.users:
            if not user.is_service_account and user.id == (call.user.id if wanted == "current" else wanted):
                return json_answer(200, user.as_json())
        raise ApiError(404, {"detail": "Not found."})

    # What Alertmanager posts

    def _inbound(self, request: Request, path: str) -> tuple[Answer, str | None]:
        match = re.fullmatch(r"/integrations/v1/(\w+)/([^/]+)/", path)
        if match is None:
            return page_not_found(), None
        integration = self._state.integration_of_key(match[2])
        if integration is None:
            return text_answer(403, "Integration key was not found. Permission denied."), None
        allow = ("Allow", "GET, POST, HEAD, OPTIONS")
        if integration.type != match[1]:
            kind = integration.type.verbose_name
            return text_answer(
                400, f"This url is for integration with {kind}. Key is for {kind}", allow
            ), integration.id
        if request.method in ("GET", "HEAD"):
            return text_answer(200, "<!doctype html>\n<p>This is an integration link.</p>\n", allow), integration.id
        return self._take(request, integration), integration.id

    def _take(self, request: Request, integration: Integration) -> Answer:
        if not self._admission.may_post(integration.id):
            return text_answer(429, _TOO_MANY_ALERTS.format(name=integration.name))
        allow = ("Allow", "GET, POST, HEAD, OPTIONS")
        try:
            payload = _fields(request)
        except ApiError as error:
            return json_answer(error.status, error.body, allow)
        except ServerError:
            return server_error_page()
        self._deliver(payload, integration)
        return json_answer(200, "Ok.", allow)


_TOO_MANY_ALERTS = (
    "Rate-limiting has been applied to your account because too many alerts were sent from your {name} integration. "
    "Rate-limiting is activated so you will continue to receive alerts from other integrations. "
    "Read more about rate limits in our docs. "
)


def _endpoint(
    path: str, permission: str, allow: str, handlers: dict[str, Callable[[Call], Answer]], *, is_info: bool = False
) -> Endpoint:
    pattern = re.compile(f"/api/v1/{path}/?")
    return Endpoint(pattern=pattern, permission=permission, allow=allow, handlers=handlers, is_info=is_info)


def _get(handler: Callable[[Call], Answer]) -> dict[str, Callable[[Call], Answer]]:
    return {"GET": handler, "HEAD": handler}


def _info(_: Call) -> Answer:
    return json_answer(200, {"url": GRAFANA_URL})


def _fields(request: Request) -> dict[str, Any]:
    """Return what the body holds. Raises ApiError or ServerError as the engine's parsers do."""
    media_type = (request.header("Content-Type") or "").partition(";")[0].strip()
    if not request.body:
        return {}
    if media_type == "application/x-www-form-urlencoded":
        return dict(urllib.parse.parse_qsl(request.body.decode()))
    if media_type != "application/json":
        raise ApiError(415, {"detail": f'Unsupported media type "{media_type}" in request.'})
    try:
        fields = json.loads(request.body)
    except ValueError as error:
        raise ApiError(400, {"detail": f"JSON parse error - {error}"}) from None
    if not isinstance(fields, dict):
        raise ServerError
    return fields


def _delay(request: Request) -> int:
    value = _fields(request).get("delay")
    if value is None:
        raise ApiError(400, {"detail": "delay is required"})
    try:
        delay = int(value)
    except ValueError:
        raise ApiError(400, {"detail": "invalid delay value"}) from None
    except (TypeError, OverflowError):
        raise ServerError from None
    if delay < -1:
        raise ApiError(400, {"detail": "invalid delay value"})
    return delay
