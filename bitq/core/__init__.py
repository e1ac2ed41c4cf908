"""What every other package needs and nothing of bitq is needed for: errors, registries, configs, files, processes."""
