"""The configs of all datasets and the registry that joins them to their code; nothing heavy is imported."""

from __future__ import annotations
