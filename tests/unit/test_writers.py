"""When an alert group needs an action no more, which decides what becomes of a write whose answer was lost."""

from __future__ import annotations

import pytest

from alert_sync.model import Action, AlertGroupState
from alert_sync.writers import is_as_wanted


@pytest.mark.parametrize(
    ("state", "is_resolve_done", "is_silence_done"),
    [
        (AlertGroupState.FIRING, False, False),
        (AlertGroupState.ACKNOWLEDGED, False, False),
        (AlertGroupState.SILENCED, False, True),
        (AlertGroupState.RESOLVED, True, True),
        (None, False, False),
    ],
)
def test_group_is_as_wanted_in_the_state_that_the_action_leads_to_and_beyond(
    state: AlertGroupState | None,
    is_resolve_done: bool,  # noqa: FBT001 - a table's column
    is_silence_done: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert is_as_wanted(state, Action.RESOLVE) == is_resolve_done
    assert is_as_wanted(state, Action.SILENCE) == is_silence_done
