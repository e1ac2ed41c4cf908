"""Weights that become integers while they learn; attaches to any torch module and leaves it plain again."""
