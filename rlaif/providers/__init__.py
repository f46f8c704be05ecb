"""Model providers behind one protocol; ``client`` adds retry, limits, journal and budget once."""
