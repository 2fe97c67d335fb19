"""Does it compute the same? Held against plain transcriptions, the oracle and exact counts."""
