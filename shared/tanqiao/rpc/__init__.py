"""Servers and channels: TLS with certificates on both sides, who may call what, refusals as data.

gRPC writes its own log lines to standard error, one for each failed handshake; what an operator must know is
in ours, so that gRPC's are off unless the environment asks for them. It reads that setting when it is first
imported.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
