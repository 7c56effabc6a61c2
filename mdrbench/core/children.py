"""Child processes that do not outlive the process that started them."""

from __future__ import annotations

import os
import sys
import threading


def end_with_parent() -> None:
    """End this process, at once, when the process that started it ends or closes the other end of standard input."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
