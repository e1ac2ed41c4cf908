"""What each operation becomes in C: one file each, found through the table in `bitq.codegen.ops.table`."""
