"""Microcontroller study: reference networks, yardsticks, and what each costs on emulated cores."""
