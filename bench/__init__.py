"""Whether it agrees, and how fast it runs."""
