"""The integer graph in torch, bit for bit: fast on whole test sets, and with gradients for the last epochs."""
