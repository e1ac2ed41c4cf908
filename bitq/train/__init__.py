"""Training with Lightning, at the price of a plain loop."""
