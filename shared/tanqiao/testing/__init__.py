"""What tests stand on: databases, builders, fakes; no part of a running node."""
