"""Optuna over the same pipeline: regularization strength and bits per weight matrix, safe to interrupt."""
