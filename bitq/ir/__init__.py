"""The integer graph: what the chip computes, as data. It knows numpy and nothing of training or of C."""
