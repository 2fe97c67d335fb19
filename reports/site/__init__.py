"""The static site of all reports, and the page of one's own run: HTML that loads nothing, and runs nothing it shows."""
