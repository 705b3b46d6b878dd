"""Request weights."""

from __future__ import annotations

from fundingarb.localnet.limits import LimitRule, RateLimiter


def test_weights_add_up_in_a_window_and_start_again_in_the_next() -> None:
    limiter = RateLimiter((LimitRule("weight", 10, 60), LimitRule("orders", 3, 10, "account")))
    assert limiter.charge("weight", "1.1.1.1", 6, 120.0).used == 6
    state = limiter.charge("weight", "1.1.1.1", 4, 150.0)
    assert (state.used, state.exceeded, state.remaining, state.retry_after) == (10, False, 0, 30.0)
    over = limiter.charge("weight", "1.1.1.1", 1, 179.0)
    assert (over.used, over.exceeded, over.retry_after) == (11, True, 1.0)
    assert limiter.charge("weight", "1.1.1.1", 1, 180.0).used == 1


def test_callers_and_rules_are_counted_apart() -> None:
    limiter = RateLimiter((LimitRule("weight", 10, 60), LimitRule("orders", 3, 10, "account")))
    limiter.charge("weight", "a", 10, 0.0)
    assert limiter.charge("weight", "b", 1, 0.0).used == 1
    assert not limiter.charge("orders", "a", 3, 0.0).exceeded
    assert limiter.charge("orders", "a", 1, 9.9).exceeded
