"""What the nodes of a file become in torch, one after the other."""
