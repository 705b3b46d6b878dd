"""Heights of blocks, and what they prove."""

from __future__ import annotations

from datetime import timedelta

from fundingarb_dydx.chain import LEAST_BLOCKS, MOST_BLOCKS, Heights


def seen(*heights: tuple[float, int], speed: float = 1.0) -> Heights:
    found = Heights(speed)
    for at, height in heights:
        found.note(height, at)
    return found


def test_a_height_is_good_for_an_order_only_for_a_moment() -> None:
    heights = seen((100.0, 7))
    assert heights.latest == 7
    assert heights.fresh(101.0) == 7
    assert heights.fresh(102.0) is None
    assert Heights().fresh(1.0) is None
    fast = seen(*((100 + number / 20, 100 + number) for number in range(20)))
    assert fast.fresh(101.2) == 119
    assert fast.fresh(101.4) is None, "at this pace it is eight blocks old"


def test_an_old_message_does_not_set_the_height_back() -> None:
    heights = seen((1.0, 10), (2.0, 9), (3.0, 10))
    assert heights.latest == 10


def test_the_window_is_as_many_blocks_as_come_in_three_seconds() -> None:
    assert Heights().window() == LEAST_BLOCKS
    assert Heights(speed=60).window() == MOST_BLOCKS
    assert seen((0.0, 1), (1.0, 2), (2.0, 3)).window() == LEAST_BLOCKS
    assert seen((0.0, 1), (1.0, 3), (2.0, 5)).window() == 6
    assert seen((0.0, 1), (0.1, 5)).window() == MOST_BLOCKS


def test_expiry_is_the_time_that_the_window_took() -> None:
    """An order sent at height 10 has 14 as its last block: at 15 it is over, and 10 was replaced at 1.5."""
    heights = seen((0.5, 10), (1.5, 11), (2.5, 12), (3.5, 13), (4.5, 14))
    assert heights.expiry(4.6) is None, "block 14 may still have it"
    heights.note(15, 5.5)
    assert heights.expiry(5.6) == timedelta(seconds=5.6 - 1.5)
    assert heights.expiry(9.0) == timedelta(seconds=9.0 - 1.5), (
        "the chain stands still: nothing newer is proved"
    )


def test_too_little_of_the_chain_proves_nothing() -> None:
    assert Heights().expiry(1.0) is None
    assert seen((1.0, 100)).expiry(2.0) is None
    assert seen((1.0, 100), (2.0, 104)).expiry(3.0) is None


def test_the_widest_window_that_was_given_counts() -> None:
    heights = seen((0.0, 1), (0.1, 5))
    assert heights.window() == MOST_BLOCKS
    for number in range(1, 12):
        heights.note(5 + number, 0.1 + number)
    assert heights.expiry(12.0) is None, "an order may have twenty blocks"
    heights.note(26, 13.0)
    assert heights.expiry(13.0) == timedelta(seconds=11.9)
