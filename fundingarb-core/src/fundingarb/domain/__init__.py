"""The trade itself: values and decisions. Standard library only; no I/O, no clock, no logging."""
