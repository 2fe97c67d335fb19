"""The release matrix: the same questions put to every release of a framework, and the steps where an answer moved."""
