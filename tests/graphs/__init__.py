"""Random valid integer graphs for property tests, and the inputs that break arithmetic first."""

from tests.graphs.draw import corner_inputs, graphs
from tests.graphs.parts import weights

__all__ = ["corner_inputs", "graphs", "weights"]
