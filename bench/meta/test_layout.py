"""The tree keeps the rules of CONTRIBUTING.md, and each check of that sees its mistake.

Run with `pytest -m fast bench/meta/test_layout.py`.
"""

from pathlib import Path

import pytest

from bench.meta import layout

pytestmark = [pytest.mark.fast, pytest.mark.meta]

ROOT = Path(__file__).parents[2]
CHECKS = (
    layout.wrong_imports,
    layout.eager_frameworks,
    layout.unmirrored,
    layout.long_modules,
    layout.code_from_data,
    layout.versions,
    layout.undeclared,
    layout.unpinned,
)

CLEAN = {
    "pyproject.toml": '[project]\nversion = "1.2"\ndependencies = ["numpy>=2", "py-cpuinfo2"]\n'
    '[project.optional-dependencies]\ntorch = ["torch>=2.9"]\nmlx = ["mlx[cpu]>=0.26"]\n',
    "constraints.txt": "-c constraints-common.txt\ntorch==2.13.0\nmlx==0.32.4\n",
    "constraints-common.txt": 'numpy==2.2.6; python_version < "3.11"\npy-cpuinfo2==10.1.1\n',
    "CHANGELOG.md": "# Changelog\n\n## 1.2\n\nSecond.\n\n## 1.1\n\nFirst.\n",
    "conftest.py": "import impl.spec\nimport bench.subject\n",
    "impl/__init__.py": "",
    "impl/spec/__init__.py": "from impl.spec.model import Model\n",
    "impl/spec/model.py": "import json\n\nclass Model: ...\n",
    "impl/flops.py": "from impl.spec import Model\n",
    "impl/torch/gpt.py": "import torch\nfrom impl.spec import Model\n\nclass GPT: ...\ndef norm(x): ...\n",
    "impl/mlx/gpt.py": "import mlx.core as mx\nfrom impl import spec\n\nclass GPT: ...\ndef norm(x): mx.eval(x)\n",
    "impl/torch/backend.py": "class TorchBackend: ...\ndef peak_resident_bytes(): ...\n",
    "impl/mlx/backend.py": "def _mlx(): ...\nclass MlxBackend: ...\ndef _openblas(): ...\n",
    "bench/subject.py": "import cpuinfo\nimport numpy\nfrom . import check\nfrom impl.torch import gpt\n"
    "def load(model):\n    import torch\n    model.eval()\n    return numpy.load('x', allow_pickle=False), torch\n",
    "bench/check.py": "import reports.record\n",
    "reports/record.py": "from impl.flops import flop_per_token\nfrom impl import spec\nfrom . import chips\n",
    "reports/chips.py": "",
}

MISTAKES = {
    "impl imports bench": (layout.wrong_imports, "impl/flops.py", "import bench.subject\n"),
    "impl imports reports inside a function": (
        layout.wrong_imports,
        "impl/torch/gpt.py",
        "class GPT: ...\ndef norm(x):\n    from reports import record\n",
    ),
    "impl imports bench relatively": (layout.wrong_imports, "impl/torch/gpt.py", "from ...bench import subject\n"),
    "reports imports bench": (layout.wrong_imports, "reports/record.py", "from bench.check import close\n"),
    "reports imports more of impl": (layout.wrong_imports, "reports/record.py", "from impl import oracle\n"),
    "reports imports all of impl": (layout.wrong_imports, "reports/record.py", "import impl\n"),
    "spec imports the rest of impl": (layout.wrong_imports, "impl/spec/model.py", "from impl.flops import x\n"),
    "torch imports mlx's side": (layout.wrong_imports, "impl/torch/gpt.py", "from impl.mlx.gpt import GPT\n"),
    "the oracle imports a framework's side": (layout.wrong_imports, "impl/oracle/gpt.py", "import impl.mlx.gpt\n"),
    "bench imports a framework eagerly": (layout.eager_frameworks, "bench/check.py", "import mlx.core as mx\n"),
    "one framework lies in the other's folder": (layout.eager_frameworks, "impl/mlx/gpt.py", "import torch\n"),
    "a file without its mirror": (layout.unmirrored, "impl/mlx/muon.py", ""),
    "a file without its mirror, the other way": (layout.unmirrored, "impl/torch/muon.py", ""),
    "names in another order": (layout.unmirrored, "impl/mlx/gpt.py", "def norm(x): ...\nclass GPT: ...\n"),
    "a name more": (layout.unmirrored, "impl/mlx/gpt.py", "class GPT: ...\ndef norm(x): ...\ndef rope(x): ...\n"),
    "a name less": (layout.unmirrored, "impl/torch/gpt.py", "class GPT: ...\n"),
    "an exception that nobody needs": (
        layout.unmirrored,
        "impl/mlx/backend.py",
        "class MlxBackend: ...\ndef _openblas(): ...\n",
    ),
    "a long module": (layout.long_modules, "bench/check.py", "x = 1\n" * layout.MAX_LINES),
    "pickle": (layout.code_from_data, "impl/flops.py", "import pickle\n"),
    "part of pickle": (layout.code_from_data, "impl/flops.py", "from pickle import loads\n"),
    "torch.load": (layout.code_from_data, "impl/torch/gpt.py", "import torch\n\nx = torch.load('x')\n"),
    "torch.load by name": (layout.code_from_data, "impl/torch/gpt.py", "from torch import load\n"),
    "pickled arrays": (layout.code_from_data, "bench/check.py", "np.load('x', allow_pickle=True)\n"),
    "eval": (layout.code_from_data, "conftest.py", "eval('1')\n"),
    "exec": (layout.code_from_data, "reports/chips.py", "def f(x):\n    exec(x)\n"),
    "an older changelog": (layout.versions, "CHANGELOG.md", "# Changelog\n\n## 1.1\n"),
    "an empty changelog": (layout.versions, "CHANGELOG.md", "# Changelog\n"),
    "an undeclared import": (layout.undeclared, "bench/check.py", "import scipy.stats\n"),
    "an unpinned requirement": (layout.unpinned, "constraints.txt", "torch==2.13.0\n"),
}


def planted(root: Path, files: dict[str, str]) -> Path:
    """`root`, with `files` written under it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_tree_keeps_the_rule(check):
    assert not (faults := check(ROOT)), "\n".join(faults)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_clean_tree_passes(check, tmp_path):
    assert check(planted(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(("check", "file", "text"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_seen(check, file, text, tmp_path):
    faults = check(planted(tmp_path, CLEAN | {file: text}))
    assert len(faults) == 1, faults
    assert all(file in fault or check in (layout.unmirrored, layout.unpinned) for fault in faults)


def test_every_check_has_a_mistake():
    assert {check for check, _, _ in MISTAKES.values()} == set(CHECKS)


def test_every_source_is_looked_at():
    names = {path.relative_to(ROOT).as_posix() for path in layout.sources(ROOT)}
    assert {"impl/spec/model.py", "bench/meta/layout.py"} <= names
