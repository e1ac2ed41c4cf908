"""What the workers of test_processes run."""

import os
import signal
import time
from typing import Any

from bitq.core.errors import DataError
from bitq.core.processes import report


def work(shared: Any, job: tuple[str, Any]) -> Any:
    """Do what a job names."""
    what, value = job
    match what:
        case "double":
            return (shared or 1) * value * 2
        case "sleep":
            time.sleep(value)
            return value
        case "fail":
            raise DataError(value)
        case "bug":
            raise KeyError(value)
        case "kill":
            time.sleep(value)
            os.kill(os.getpid(), signal.SIGKILL)
        case "once":
            value.open("a").write("x")
            if len(value.read_text()) == 1:
                time.sleep(0.3)
                os.kill(os.getpid(), signal.SIGKILL)
            return len(value.read_text())
        case "count":
            value.open("a").write("x")
            time.sleep(0.6)
            return len(value.read_text())
        case "node":
            import ray

            node = ray.get_runtime_context().get_node_id()
            report(node)
            time.sleep(value)
            return node
        case "lambda":
            return lambda: None
        case "report":
            for step in range(value):
                report(step)
                time.sleep(0.05)
            time.sleep(0.1)
        case "who":
            return os.getpid(), signal.getsignal(signal.SIGINT) == signal.SIG_IGN, "numpy" in os.sys.modules
        case "write":
            time.sleep(0.5)
            value.write_text("done")
    return None
