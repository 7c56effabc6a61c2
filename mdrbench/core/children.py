"""Child processes that do not outlive the process that started them."""

from __future__ import annotations

import os
import threading


def end_with_parent() -> None:
    """End this process, at once, when the process that started it ends or closes the other end of standard input."""

    def watch() -> None:
        while os.read(0, 1):  # not through `sys.stdin`, whose lock would abort the interpreter at a normal end
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
