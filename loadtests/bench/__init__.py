"""`make bench`: foretell beside what people would take in its place, in one run and with the same questions."""
