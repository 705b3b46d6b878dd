"""What a process that holds secrets does without: core files, and being looked into by others of the same user.

Python cannot wipe its strings, so secrets live as long as the process; this keeps them from outliving it on disk.
"""

from __future__ import annotations

import ctypes
import sys

PR_SET_DUMPABLE = 4


def harden() -> None:
    """No core files from here on, and (on Linux) no debugger but root's. What the system refuses is left out."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
