"""The main job: five minutes of training on real text, a score, a summary and a report."""
