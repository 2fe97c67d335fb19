"""The rules of the tree as functions of a root folder; each returns one line per breach, naming file, fault and remedy.

Test with `pytest -m fast bench/meta/test_layout.py`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGES = ("impl", "bench", "reports")
MIRRORED = ("impl/torch", "impl/mlx")
# Definitions that one framework alone needs, and why; apart from these, names differ in the framework's own name only.
ONE_SIDED: dict[str, dict[str, str]] = {
    "impl/torch/activation.py": {
        "_ReluSquared": "a custom gradient is a class in PyTorch, a decorated function in MLX"
    },
    "impl/torch/windowed.py": {},  # MLX has no kernel that knows a window
    "impl/mlx/gradient.py": {},  # MLX's own gradients of some views fill whole arrays; PyTorch's are compiled
    "impl/mlx/norm_kernel.py": {},  # PyTorch's norms are compiled, with the sums around them
    "impl/torch/cpu.py": {},  # eager kernels pass over memory once an operation; MLX's are fused
    "impl/torch/backend.py": {
        "peak_resident_bytes": "PyTorch does not count its allocations on the CPU",
    },
    "impl/torch/logit_kernel.py": dict.fromkeys(
        ("_shapes", "_row"), "an operator that the compiler can place and Triton's function; MLX takes CUDA's source"
    ),
    "impl/mlx/logit_kernel.py": {"serves": "PyTorch's takes any vocabulary"},
    "impl/mlx/gradient_kernel.py": {},  # as gradient.py
    "impl/mlx/cuda.py": {},  # PyTorch's kernels are Triton's, which launches them itself
    "impl/torch/rotary_kernel.py": dict.fromkeys(
        ("_forward_shapes", "_backward_shapes", "_save", "_differentiate", "_halves", "_rotate_and_norm", "_back"),
        "operators that the compiler can place and Triton's functions; MLX takes CUDA's source as text",
    ),
    "impl/torch/mlp_kernel.py": {},  # MLX has no product that can do more on its way out
    "impl/torch/loss.py": {
        "_CrossEntropy": "a custom gradient is a class in PyTorch, a decorated function in MLX",
        "_in_blocks": "on CUDA a kernel of its own takes its place",
    },
    "impl/mlx/backend.py": {
        "_mlx": "MLX reads its environment and binds its BLAS at the first import",
        "_openblas": "PyTorch names its BLAS itself",
    },
    "impl/mlx/loss.py": {
        "_after": "MLX is lazy and may reorder",
        "_exponentials": "MLX computes them twice",
        "_twice": "where PyTorch has blocks",
    },
}
MAX_LINES = 300

# importer -> (what it must not import, what of that it may)
FORBIDDEN = {
    "impl": (("bench", "reports"), ()),
    "impl.spec": (("impl",), ("impl.spec",)),
    "impl.flops": (("impl",), ("impl.flops", "impl.spec")),
    "impl.oracle": (("impl.torch", "impl.mlx"), ()),
    "impl.torch": (("impl.mlx",), ()),
    "impl.mlx": (("impl.torch",), ()),
    "reports": (("bench", "impl"), ("impl.spec", "impl.flops")),
}
FRAMEWORKS = {"torch": "impl/torch", "mlx": "impl/mlx"}
UNPICKLERS = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
# Modules whose distribution has another name.
DISTRIBUTIONS = {
    "cpuinfo": "py-cpuinfo2",
    "markdown_it": "markdown-it-py",
    "pynvml": "nvidia-ml-py",
    "tomli": "pytest",
    "torchgen": "torch",
    "triton": "torch",
    "yaml": "pyyaml",
}


def sources(root: Path) -> list[Path]:
    """Every Python file of the tree, sorted."""
    return sorted([*root.glob("*.py"), *(path for package in PACKAGES for path in (root / package).rglob("*.py"))])


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of all that the module at the relative `path` imports, at any depth."""
    package = path.with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parents, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def wrong_imports(root: Path) -> list[str]:
    """Imports against the direction impl <- bench -> reports, or across the two frameworks."""
    faults = []
    for path in sources(root):
        relative = path.relative_to(root)
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        rules = [rule for importer, rule in FORBIDDEN.items() if _inside(module, importer)]
        for line, name in imports(_parsed(path), relative):
            if any(_inside(name, *banned) and not _inside(name, *allowed) for banned, allowed in rules):
                faults.append(f"{relative}:{line} imports {name}; move what is shared to where both may import it")
    return faults


def eager_frameworks(root: Path) -> list[str]:
    """Frameworks imported outside their own folder by merely importing a module: one alone must be enough to run."""
    faults = []
    for path in sources(root):
        relative = path.relative_to(root)
        module_level = ast.Module([node for node in _parsed(path).body if _is_import(node)], [])
        for line, name in imports(module_level, relative):
            home = FRAMEWORKS.get(name.split(".")[0])
            if home and not relative.is_relative_to(home):
                faults.append(f"{relative}:{line} imports {name} outside {home}; import it where it is used")
    return faults


def unmirrored(root: Path) -> list[str]:
    """Files, or top-level functions and classes, that the two frameworks do not have in the same order."""
    ours, theirs = (
        {
            path.relative_to(root / folder).as_posix(): _shared_names(path, root)
            for path in (root / folder).rglob("*.py")
        }
        for folder in MIRRORED
    )
    faults = [
        f"{file} no longer defines {name}; take it out of ONE_SIDED"
        for file, names in ONE_SIDED.items()
        for name in names
        if (root / file).exists() and name not in _definitions(root / file)
    ]
    for file in sorted({*ours, *theirs}):
        if file not in ours or file not in theirs:
            have, lack = MIRRORED if file in ours else reversed(MIRRORED)
            if f"{have}/{file}" not in ONE_SIDED:
                faults.append(f"{lack}/{file} is missing; {have} has it")
        elif ours[file] != theirs[file]:
            here, there = (", ".join(names) for names in (ours[file], theirs[file]))
            faults.append(f"{MIRRORED[0]}/{file} defines {here}; {MIRRORED[1]}/{file} {there}; use one order of names")
    return faults


def long_modules(root: Path) -> list[str]:
    """Modules of MAX_LINES lines or more."""
    counts = {path.relative_to(root): len(path.read_text("utf-8").splitlines()) for path in sources(root)}
    return [f"{p} has {n} lines; split it below {MAX_LINES}" for p, n in counts.items() if n >= MAX_LINES]


def code_from_data(root: Path) -> list[str]:
    """Whatever could run code out of a file: unpicklers, `torch.load`, `allow_pickle=True`, `eval(`, `exec(`."""
    faults = []
    for path in sources(root):
        relative, tree = path.relative_to(root), _parsed(path)
        used = [(line, name) for line, name in imports(tree, relative) if name.split(".")[0] in UNPICKLERS]
        used += [(line, name) for line, name in imports(tree, relative) if name == "torch.load"]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                used.append((node.lineno, node.func.id))
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                used.append((node.lineno, "torch.load"))
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                used.append((node.value.lineno, "allow_pickle"))
        faults += [f"{relative}:{line} uses {name}; read data with JSON, safetensors or NumPy" for line, name in used]
    return faults


def versions(root: Path) -> list[str]:
    """A changelog whose newest entry is not the version of pyproject.toml."""
    declared = _project(root)["version"]
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if newest and newest[1] == declared:
        return []
    return [f"CHANGELOG.md opens with {newest and newest[1]}, pyproject.toml says {declared}; make them agree"]


def undeclared(root: Path) -> list[str]:
    """Third-party imports that neither the dependencies nor an extra of pyproject.toml brings."""
    known = {*sys.stdlib_module_names, *PACKAGES, "conftest", "tomllib"}  # tomllib: only from Python 3.11 on
    names = _requirements(root)
    faults = []
    for path in sources(root):
        relative = path.relative_to(root)
        for line, name in imports(_parsed(path), relative):
            top = name.split(".")[0]
            if top not in known and _normal(DISTRIBUTIONS.get(top, top)) not in names:
                faults.append(f"{relative}:{line} imports {top}, which pyproject.toml does not declare; add it there")
    return faults


def unpinned(root: Path) -> list[str]:
    """Requirements of pyproject.toml without an exact version in the constraint files. tox is installed before them."""
    files = [root / "constraints.txt", root / "constraints-common.txt"]
    pins = {_normal(name) for file in files for name in re.findall(r"(?m)^([\w.-]+)==", file.read_text("utf-8"))}
    missing = sorted(_requirements(root) - pins - {"tox"})
    return [f"{name} is not pinned; add {name}==VERSION to constraints-common.txt" for name in missing]


def _inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _parsed(path: Path) -> ast.Module:
    return _tree(path.read_text("utf-8"), str(path))


@cache  # every rule asks for every file
def _tree(text: str, name: str) -> ast.Module:
    return ast.parse(text, name)


def _definitions(path: Path) -> list[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in _parsed(path).body if isinstance(node, kinds)]


def _shared_names(path: Path, root: Path) -> list[str]:
    """The definitions that the mirrored file must have too, without the framework's name."""
    one_sided = ONE_SIDED.get(path.relative_to(root).as_posix(), {})
    framework = path.relative_to(root).parts[1]
    names = [name for name in _definitions(path) if name not in one_sided]
    return [re.sub(framework, "", name, flags=re.IGNORECASE) for name in names]


def _project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def _requirements(root: Path) -> set[str]:
    """Normalised names of all that pyproject.toml declares."""
    project = _project(root)
    extras = project.get("optional-dependencies", {}).values()
    declared = [*project["dependencies"], *(line for extra in extras for line in extra)]
    return {_normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in declared}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
