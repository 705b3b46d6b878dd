"""``fundingarb demo``: the bot on offline exchanges, from nothing to a report that has to add up."""
