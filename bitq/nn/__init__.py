"""Networks as plain torch compositions; nothing in here knows of quantization."""
