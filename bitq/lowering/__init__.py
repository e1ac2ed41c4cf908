"""From a trained torch module with integer weights to the integer graph."""
