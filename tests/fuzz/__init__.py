"""Byzantine fuzz of the running servers (PROTOCOL section 10.5): ``make fuzz``."""
