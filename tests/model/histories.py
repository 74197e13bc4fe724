"""Histories as Hypothesis makes them: what can happen, step by step, and what is promised after each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.alertmanager import Target
from tests.model.faults import CRASHES, Fault, Faults
from tests.model.irm import PERSON, US, AlertGroupRecord
from tests.model.promises import CANNOT_TELL
from tests.model.world import KEYS, LEASE, Choices, Run, World

A1, A2, B1, OTHER_A, OTHER_C = (Target(*name) for name in ("A1", "A2", "B1", "A9", "C9"))
OWN_ALERTS = (A1, A2, B1)
TARGETS = (Target("A"), A1, A2, Target("B"))
INTERVAL = timedelta(minutes=5)

choices = st.builds(
    Choices,
    silenced_action=st.sampled_from(["resolve", "silence"]),
    resolve_through=st.sampled_from(["api", "integration"]),
    states=st.sampled_from(["firing", "firing,acknowledged,silenced"]),
    missing_action=st.sampled_from(["report", "notify"]),
    is_customized=st.sampled_from([False, False, False, True]),
).filter(lambda each: not (each.is_customized and each.resolve_through == "integration"))
positions = st.integers(0, 3)
lengths = st.sampled_from([timedelta(minutes=minutes) for minutes in (1, 4, 12, 40, 300)])
pauses = st.sampled_from([timedelta(seconds=seconds) for seconds in (10, 65, 360, 1_000, 3_600, 18_000)])
writes = st.integers(1, 6)
afterwards = st.sampled_from([timedelta(seconds=1), timedelta(seconds=30), LEASE, INTERVAL])


_STATES_FOR = {
    "acknowledge": ("firing", "silenced"),
    "unacknowledge": ("acknowledged",),
    "resolve": ("firing", "silenced", "acknowledged"),
    "unresolve": ("resolved",),
    "unsilence": ("silenced",),
}
T = TypeVar("T")


def _newest(things: Sequence[T], number: int) -> T:
    """The newest, the one before, and so on."""
    return things[-1 - number % len(things)]


class Histories(RuleBasedStateMachine):
    """Rules are what happens to the world. A failure prints those of its history, and what each run did."""

    world: World

    @initialize(chosen=choices, alerts=st.sampled_from([(), (A1,), (A1, A2)]), length=lengths, is_quiet=st.booleans())
    def begin(self, *, chosen: Choices, alerts: tuple[Target, ...], length: timedelta, is_quiet: bool) -> None:
        """Most histories begin with an alert group that a run has seen, or has made quiet."""
        self.world = World(chosen)
        for alert in alerts:
            self.fire_and_page(alert)
        if alerts and is_quiet:
            self._run()
            self.silence_the_group_and_run(0, length)

    @rule(alert=st.sampled_from(OWN_ALERTS))
    def fire(self, alert: Target) -> None:
        self.world.own.fire(alert)

    @rule(alert=st.sampled_from(OWN_ALERTS))
    def fire_and_page(self, alert: Target) -> None:
        self.world.own.fire(alert)
        self.world.wait(timedelta(seconds=310))

    @precondition(lambda self: self.world.own.firing)
    @rule(newest=positions)
    def end(self, newest: int) -> None:
        self.world.own.end(_newest(list(self.world.own.firing), newest))

    @rule(alert=st.sampled_from([OTHER_A, OTHER_C]), fires=st.booleans())
    def elsewhere(self, *, alert: Target, fires: bool) -> None:
        """Another Alertmanager shares the integration."""
        if fires:
            self.world.other.fire(alert)
        else:
            self.world.other.end(alert)

    @precondition(lambda self: self.world.own.firing)
    @rule(what=st.sampled_from(TARGETS), length=lengths)
    def silence(self, what: Target, length: timedelta) -> None:
        self.world.own.silence(what, length)

    @precondition(lambda self: self.world.own.firing)
    @rule(newest=positions, length=lengths)
    def silence_the_group_and_run(self, newest: int, length: timedelta) -> None:
        alert = _newest(list(self.world.own.firing), newest)
        self.world.own.silence(Target(alert.name), length)
        self._run()

    @precondition(lambda self: self.world.own.firing)
    @rule(newest=positions, until=afterwards)
    def silence_briefly_while_webhooks_are_slow(self, newest: int, until: timedelta) -> None:
        self.world.irm.processing = timedelta(seconds=20)
        self.silence_the_group_and_run(newest, timedelta(hours=1))
        self.world.own.delete_silence(self.world.own.silences[-1])
        self._run()
        self.world.wait(until)
        self._run()

    @rule(what=st.sampled_from(TARGETS), length=lengths)
    def silence_elsewhere(self, what: Target, length: timedelta) -> None:
        self.world.other.silence(what, length)

    @precondition(lambda self: self.world.own.active_silences())
    @rule(newest=positions, length=lengths)
    def extend(self, newest: int, length: timedelta) -> None:
        _newest(self.world.own.active_silences(), newest).ends_at += length

    @precondition(lambda self: self.world.own.active_silences())
    @rule(newest=positions)
    def delete_silence(self, newest: int) -> None:
        self.world.own.delete_silence(_newest(self.world.own.active_silences(), newest))

    @precondition(lambda self: self.world.own.active_silences())
    @rule(then=st.sampled_from([-20, 5, 400]))
    def wait_for_a_silence_to_end(self, then: int) -> None:
        first = min(silence.ends_at for silence in self.world.own.active_silences())
        until = first + timedelta(seconds=then) - self.world.clock.now
        self.world.wait(max(until, timedelta(seconds=1)))

    @rule(keeps_data=st.booleans())
    def restart_alertmanager(self, *, keeps_data: bool) -> None:
        self.world.own.restart(keeps_data=keeps_data)

    @precondition(lambda self: self.world.own.firing)
    @rule(keeps_data=st.booleans(), what=st.sampled_from(OWN_ALERTS))
    def run_soon_after_a_restart(self, *, keeps_data: bool, what: Target) -> None:
        """Prometheus has not repeated all of its alerts yet."""
        self.world.own.restart(keeps_data=keeps_data)
        self.world.own.silence(what, timedelta(hours=1))
        self.world.wait(timedelta(seconds=25))
        self._run()

    @rule(seconds=st.sampled_from([0, 0.15, 20, 200]))
    def process_webhooks_in(self, seconds: float) -> None:
        self.world.irm.processing = timedelta(seconds=seconds)

    @precondition(lambda self: self.world.irm.alert_groups)
    @rule(verb=st.sampled_from(["acknowledge", "unacknowledge", "resolve", "unresolve", "unsilence"]), newest=positions)
    def person(self, verb: str, newest: int) -> None:
        """Does something in IRM, if there is what it can be done to."""
        able = [group for group in self.world.irm.alert_groups if group.state in _STATES_FOR[verb]]
        able = self._reopenable() if verb == "unresolve" else able
        if able:
            self._verbs()[verb](_newest(able, newest))

    @precondition(lambda self: self.world.irm.alert_groups)
    @rule(newest=positions, length=lengths)
    def person_silences(self, newest: int, length: timedelta) -> None:
        able = [group for group in self.world.irm.alert_groups if group.state in ("firing", "silenced")]
        if able:
            self.world.irm.silence(_newest(able, newest), length, PERSON)

    @precondition(lambda self: self._reopenable())
    @rule(newest=positions, length=pauses)
    def person_opens_and_closes(self, newest: int, length: timedelta) -> None:
        group = _newest(self._reopenable(), newest)
        self._verbs()["unresolve"](group)
        self.world.wait(length)
        if group.is_open:
            self.world.irm.resolve(group, PERSON)

    @precondition(lambda self: self._reopenable())
    @rule(newest=positions, length=afterwards)
    def run_after_a_person_opened(self, newest: int, length: timedelta) -> None:
        closed = self._reopenable()
        by_us = [group for group in closed if group.closed_by.startswith(US)]
        self._verbs()["unresolve"](_newest(by_us or closed, newest))
        self.world.wait(length)
        self._run()

    @precondition(lambda self: self.world.own.active_silences())
    @rule(newest=positions, length=lengths)
    def run_after_a_person_silenced_instead(self, newest: int, length: timedelta) -> None:
        self.world.wait(CANNOT_TELL + timedelta(seconds=1))
        self.person_silences(newest, length)
        for silence in self.world.own.active_silences():
            self.world.own.delete_silence(silence)
        self._run()

    @rule(alert=st.sampled_from(OWN_ALERTS), length=pauses)
    def person_closes_the_page(self, alert: Target, length: timedelta) -> None:
        self.fire_and_page(alert)
        self.person("resolve", 0)
        self.world.wait(length)

    @rule(length=pauses)
    def wait(self, length: timedelta) -> None:
        self.world.wait(length)

    @rule()
    def run(self) -> None:
        self._run()

    @rule(number=st.sampled_from([1, 2, 5]))
    def run_on_schedule(self, number: int) -> None:
        for _ in range(number):
            self.world.wait(INTERVAL)
            self._run()

    @rule()
    def run_twice(self) -> None:
        first, is_still = self._run(), self.world.is_still_for(timedelta(seconds=2))
        if is_still and first.is_clean and first.report and first.report.status == "success":
            second = self._run()
            assert second.changes == [], f"the second run still wants {second.changes}, after {first.changes}"

    @rule(first=writes, fault=st.sampled_from(Fault), second=writes, another=st.sampled_from(Fault), until=afterwards)
    def run_with_faults(self, first: int, fault: Fault, second: int, another: Fault, until: timedelta) -> None:
        self._run(Faults(of_writes={first: fault, second: another}))
        self.world.wait(until)

    @rule(number=st.integers(1, 8))
    def run_with_a_broken_read(self, number: int) -> None:
        self._run(Faults(broken_read=number))

    @rule(status=st.sampled_from(["ready", "settling"]), is_reachable=st.booleans())
    def run_in_doubt(self, status: str, *, is_reachable: bool) -> None:
        own = self.world.own
        own.cluster_status, own.is_reachable = status, is_reachable
        self._run()
        own.cluster_status, own.is_reachable = "ready", True

    @rule(alert=st.sampled_from(OWN_ALERTS))
    def run_while_it_fires(self, alert: Target) -> None:
        self._run(interruption=lambda: self.world.own.fire(alert))

    @precondition(lambda self: self.world.own.active_silences())
    @rule(newest=positions)
    def run_while_a_silence_is_deleted(self, newest: int) -> None:
        silence = _newest(self.world.own.active_silences(), newest)
        self._run(interruption=lambda: self.world.own.delete_silence(silence))

    @precondition(lambda self: self.world.own.firing)
    @rule(newest=positions)
    def run_while_it_ends(self, newest: int) -> None:
        alert = _newest(list(self.world.own.firing), newest)
        self._run(interruption=lambda: self.world.own.end(alert))

    # A silence that ends between the runs makes another world of it.
    @precondition(lambda self: all(group.silenced_by != PERSON for group in self.world.irm.alert_groups))
    @precondition(lambda self: self.world.are_silences_longer_than(2 * INTERVAL))
    @rule(at=writes, fault=st.sampled_from(CRASHES))
    def crash_and_converge(self, at: int, fault: Fault) -> None:
        """After a crash at any write, two runs make of the world what it would have become without it."""
        unharmed, faults = self.world.branch(), Faults(of_writes={at: fault})
        self._run(faults)
        if not faults.happened:
            return
        unharmed.run()
        for world in (unharmed, self.world):
            for _ in range(2):
                world.wait(max(LEASE, INTERVAL))
                world.run()
        assert self.world.state() == unharmed.state()

    @invariant()
    def promises_are_kept(self) -> None:
        world = getattr(self, "world", None)
        if world is not None:
            world.promises.look()
            assert world.promises.broken == []

    def _run(self, faults: Faults | None = None, *, interruption: Callable[[], None] | None = None) -> Run:
        self.world.promises.look()
        owed = [key for key in KEYS if self.world.promises.is_owed(key)]
        run = self.world.run(faults, interruption=interruption)
        report = run.report
        note(f"    {run.changes}: {report.status.value}, {report.message}" if report else "    died")
        if run.is_clean:
            # What a webhook of ours makes quiet while the run goes on is the next run's to see.
            quiet = [key for key in owed if self.world.promises.is_owed(key)]
            assert quiet == [], f"quiet by the service's act although alerts are active: {quiet}"
        return run

    def _reopenable(self) -> list[AlertGroupRecord]:
        """The newest of each key: there is one memory for each. Of several open ones test_once_broken.py tells."""
        newest = {group.key: group for group in self.world.irm.alert_groups}
        return [group for key, group in newest.items() if not self.world.irm.of(key)]

    def _verbs(self) -> Mapping[str, Callable[[AlertGroupRecord], None]]:
        irm = self.world.irm

        def unresolve(group: AlertGroupRecord) -> None:
            self.world.promises.person_opens(group)
            irm.unresolve(group)

        def unsilence(group: AlertGroupRecord) -> None:
            self.world.promises.person_opens(group)
            irm.unsilence(group)

        return {
            "acknowledge": irm.acknowledge,
            "unacknowledge": irm.unacknowledge,
            "resolve": lambda group: irm.resolve(group, PERSON),
            "unresolve": unresolve,
            "unsilence": unsilence,
        }
