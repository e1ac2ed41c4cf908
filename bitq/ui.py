"""Start the MLflow user interface on the runs of this project: `python -m bitq.ui [--port 5000] [--folder mlruns]`.

It listens on this machine only, with one worker, no job runner and no telemetry, and prints the page to open.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from bitq.core.errors import BitqError, ConfigError
from bitq.track import links, store


def main(arguments: list[str] | None = None) -> int:
    """Become the server; returns only where that is not possible, with the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bitq.ui", description="Look at the runs in a browser.")
    parser.add_argument("--port", type=int, default=links.PORT)
    parser.add_argument("--folder", type=Path, default=Path("mlruns"))
    given = parser.parse_args(arguments)
    try:
        serve(given.folder, given.port)
    except BitqError as error:
        print(f"bitq.ui: {error}", file=sys.stderr)  # noqa: T201  the command's answer
        return error.exit_code


def serve(folder: Path, port: int) -> NoReturn:
    """Print the page to open and become the server.

    Raises:
        ConfigError: there are no runs yet.
    """
    if not store.exists(folder):
        raise ConfigError(f"no runs in {folder} yet; run an experiment first, or name another --folder.")
    client, root = store.open_client(folder), f"http://{links.HOST}:{port}"
    newest = client.search_experiments(max_results=1, order_by=["last_update_time DESC"])
    if newest:
        view = links.TRADE if links.VIEW_TAG + links.TRADE in newest[0].tags else ""
        print(f"MLflow starts at {root} (some seconds; Ctrl-C ends it). Open:")  # noqa: T201
        print(f"  {links.runs_page(newest[0].experiment_id, view, server=root)}", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.address(folder)]
    command += ["--host", links.HOST, "--port", str(port), "--workers", "1"]
    os.environ.update(store.ENVIRONMENT)
    os.execv(sys.executable, command)  # noqa: S606  our own list, no shell; Ctrl-C is the server's from here on


if __name__ == "__main__":
    sys.exit(main())
