"""How many examples Hypothesis draws, and from what: the profiles of every suite.

`--hypothesis-profile=deep` asks more of every check; `seeds` is for counting false alarms over many seeds.
"""

from hypothesis import HealthCheck, Phase, settings

SEED_EXAMPLES = 3  # of each seed; Hypothesis begins with the simplest example whatever the seed


def register() -> None:
    """Register the profiles and load the default one."""
    # A first call compiles, so no deadline; the same examples everywhere, so that a failure replays on another chip.
    settings.register_profile(
        "nanomark",
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=12,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate],  # examples are small by design; shrinking one would take minutes
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    default = settings.get_profile("nanomark")
    settings.register_profile("deep", default, max_examples=50)
    # Hypothesis loads a derandomised profile by itself where CI is set; such a one draws the same whatever the seed.
    settings.register_profile("seeds", default, derandomize=False, max_examples=SEED_EXAMPLES)
    settings.load_profile("nanomark")
