"""What a region node decides, without a clock, a database or a network (ARCHITECTURE section 2)."""
