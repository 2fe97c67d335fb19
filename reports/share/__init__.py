"""A report's way out of a machine: what would leave it, a branch of the user's fork, a pull request or an issue."""
