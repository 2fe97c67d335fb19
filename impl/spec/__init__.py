"""What to compute, said once and without any framework: frozen, self-validating dataclasses.

Test with `pytest -m fast -k spec`.
"""

from impl.spec.data import Data
from impl.spec.model import Model
from impl.spec.optimizer import NS5, POLAR_EXPRESS, AdamW, Group, Muon, Optimizer, Orthogonalizer
from impl.spec.presets import PRESETS, preset
from impl.spec.recipe import RECIPES, Dtypes, Recipe, override
from impl.spec.schedule import Hyper, Schedule

__all__ = [
    "NS5",
    "POLAR_EXPRESS",
    "PRESETS",
    "RECIPES",
    "AdamW",
    "Data",
    "Dtypes",
    "Group",
    "Hyper",
    "Model",
    "Muon",
    "Optimizer",
    "Orthogonalizer",
    "Recipe",
    "Schedule",
    "override",
    "preset",
]
