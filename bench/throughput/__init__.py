"""How fast does it run? Interleaved measurements, raw samples kept."""
