"""bitq trains networks whose weights are 1 bit (or 2, 4, 8, or a mix) and ships them as exact integer C."""
