"""What holds for every test: generated examples are judged by what they show, not by how long they take."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tanqiao", deadline=None)
settings.load_profile("tanqiao")
