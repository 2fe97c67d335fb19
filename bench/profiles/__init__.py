"""Compatibility profiles: one run of ours by other programs' rules, so that their published numbers come out again."""

from bench.profiles.profile import PROFILES, Profile
from bench.profiles.published import PUBLISHED, Result, results
from bench.profiles.restate import Restated, restate, summary

__all__ = ["PROFILES", "PUBLISHED", "Profile", "Restated", "Result", "restate", "results", "summary"]
