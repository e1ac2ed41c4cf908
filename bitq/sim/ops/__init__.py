"""Every operation in torch; found through the table in `bitq.sim.ops.table`."""
