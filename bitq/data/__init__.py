"""Datasets as integer arrays: one file per dataset, bounded and verified reading, splits that do not leak."""
