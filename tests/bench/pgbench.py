"""PostgreSQL's own measure: pgbench's TPC-B-like transactions on the server that the nodes use."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final

from tanqiao.db.embedded_postgres import EmbeddedPostgres
from tanqiao.db.provision import drop_postgres, provision_postgres

NAME: Final = "bench_pgbench"
SCALE: Final = 10
THREADS: Final = 2
START_SECONDS_MAX: Final = 300
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def transactions_per_second(
    server: EmbeddedPostgres, clients: int, *, seconds: int, rounds: int
) -> tuple[float, ...]:
    """Run pgbench as a plain role on a database of its own; its transactions a second, one for each round."""
    urls = provision_postgres(server.admin_url, NAME)
    environment = {**os.environ, "PGPASSWORD": urls.owner.password or ""}
    address = [
        "--host",
        urls.owner.host or "",
        "--port",
        str(urls.owner.port),
        "--username",
        urls.owner.username or "",
        urls.owner.database or "",
    ]

    def run(*options: str) -> str:
        answer = subprocess.run(
            [str(server.binaries / "pgbench"), *options, *address],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS_MAX,
        )
        if answer.returncode:
            raise RuntimeError(f"pgbench: {answer.stderr.strip().splitlines()[-1:]}")
        return answer.stdout

    try:
        run("--initialize", "--quiet", f"--scale={SCALE}")
        measured = []
        for _ in range(rounds):
            output = run(
                "--protocol=prepared",
                f"--client={clients}",
                f"--jobs={THREADS}",
                f"--time={seconds}",
                "--no-vacuum",
            )
            found = _TPS.search(output)
            if found is None:
                raise RuntimeError(f"pgbench gave no rate: {output[-200:]}")
            measured.append(float(found.group(1)))
        return tuple(measured)
    finally:
        drop_postgres(server.admin_url, NAME)
