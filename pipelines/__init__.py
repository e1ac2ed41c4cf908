"""Whole studies, each a short script over bitq."""
