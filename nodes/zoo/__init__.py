"""Models that ship with flowgen."""
