"""The circuit breaker, by a clock of the test's own."""

from __future__ import annotations

from rag.breaker import CLOSED, HALF_OPEN, OPEN, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.enter() == 0
        breaker.failed()


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(3, 10, Clock())
    fail(breaker, 2)
    assert breaker.enter() == 0
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.state == CLOSED
    fail(breaker, 1)
    assert breaker.state == OPEN
    assert breaker.enter() == 10


def test_after_its_time_one_call_tries_and_decides() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock)
    fail(breaker, 1)
    clock.now += 9
    assert breaker.state == OPEN and breaker.enter() == 1
    clock.now += 1
    assert breaker.state == HALF_OPEN
    assert breaker.enter() == 0
    assert breaker.enter() > 0  # the second waits for the first's end
    breaker.failed()
    assert breaker.state == OPEN and breaker.enter() == 10
    clock.now += 10
    assert breaker.enter() == 0
    breaker.succeeded()
    assert breaker.state == CLOSED and breaker.enter() == breaker.enter() == 0


def test_a_trial_that_was_given_up_makes_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(1, 10, clock)
    fail(breaker, 1)
    clock.now += 10
    assert breaker.enter() == 0
    breaker.left()
    assert breaker.state == HALF_OPEN and breaker.enter() == 0
