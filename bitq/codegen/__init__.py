"""From the integer graph to a C project: packing, memory plan, tables, call list, deploy folder."""
