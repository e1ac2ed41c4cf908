"""From a deploy folder to facts: compile it, run it on the host and on an emulated core, compare and measure."""
