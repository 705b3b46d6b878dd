"""The revisions, oldest first. What is released is never edited."""
