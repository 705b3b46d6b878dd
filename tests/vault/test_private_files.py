"""Small private files: refused when others can reach them, replaced all at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fundingarb.errors import ConfigError
from fundingarb.privatefiles import read_private, read_private_text, write_private


def test_they_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    write_private(path, "something", "it")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert read_private_text(path, "it") == "something"
    assert os.listdir(path.parent) == ["secret"]
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_private_text(path, "it")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="plain file"):
        read_private_text(link, "it")
    with pytest.raises(ConfigError, match="plain file"):
        read_private_text(tmp_path, "it")
    assert read_private_text(tmp_path / "absent", "it") is None


def test_a_replacement_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, "old", "it")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"it .*: No space left on device; make room"):
        write_private(path, "new", "it")
    assert read_private(path, "it") == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, "", "it")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text; write it anew"):
        read_private_text(path, "it")
