"""No trusted code reads a format that can run code; each rule is shown to catch what it forbids."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

FOLDERS = ("agent", "envs", "prompts", "runs", "sandbox", "src", "benchmarks", "examples")
# Modules whose only or main use is to make objects from bytes.
UNPICKLERS = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "pandas",
    "copyreg", "jsonpickle", "pickletools", "torch.package", "ray.cloudpickle", "xmlrpc",
    "multiprocessing.connection", "multiprocessing.managers", "multiprocessing.shared_memory",
}  # fmt: skip
READERS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.export.load", "torch.classes.load",
    "numpy.lib.format.read_array", "jax.numpy.load", "jax.export.deserialize",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load",
    "yaml.full_load_all", "eval", "builtins.eval",
}  # fmt: skip
# Of Stable-Baselines3, whose files hold pickles: by the method, on whatever object.
METHODS = {
    "load_from_zip_file", "load_from_pkl", "load_replay_buffer", "load_running_average",
}  # fmt: skip
# `<Class>.load(...)`: an algorithm, statistics, a buffer. Modules and objects start small.
LOADERS = {"UnsafeLoader", "FullLoader", "Loader", "CLoader", "CFullLoader", "CUnsafeLoader"}
# Cards are the user's own files, and their expressions are checked before they compile.
MAY_EVALUATE = {"envs/columns.py"}


def aliases(tree: ast.AST) -> dict[str, str]:
    """What each name that an import binds stands for."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                bound[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def is_unpickler(name: str) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in UNPICKLERS for length in range(1, len(parts) + 1))


def called_name(call: ast.Call, bound: Mapping[str, str]) -> str:
    """The dotted name of what is called, with imported names spelled out."""
    root, dot, rest = ast.unparse(call.func).partition(".")
    return bound.get(root, root) + dot + rest


def is_reader(call: ast.Call, bound: Mapping[str, str]) -> bool:
    name = called_name(call, bound)
    owner, _, method = name.rpartition(".")
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if given.get("allow_pickle", "False") != "False":
        return True
    if name in ("numpy.load", "numpy.lib.npyio.load"):
        return given.get("allow_pickle") != "False"
    if method == "load" and owner.rpartition(".")[2][:1].isupper():
        return True
    # A socket's `recv` is told how much; that of a multiprocessing connection unpickles.
    unpickles = method in ("recv", "recv_bytes_into") and not call.args
    return name in READERS or method in METHODS or unpickles


def findings(tree: ast.AST) -> list[str]:
    """What of a module reads a format that can run code, with its line."""
    bound = aliases(tree)
    found = [f"{line}: import {name}" for line, name in imported(tree) if is_unpickler(name)]
    for node in ast.walk(tree):
        reads = isinstance(node, ast.Call) and is_reader(node, bound)
        if isinstance(node, ast.expr) and (
            reads or (isinstance(node, ast.Attribute) and node.attr in LOADERS)
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every source file of the product; links are not followed, nor what models wrote."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if "__pycache__" not in path.parts and not name.startswith("benchmarks/results/"):
                yield name, ast.parse(path.read_text())


FORBIDDEN = (
    "import pickle", "import cloudpickle as cp", "import joblib", "from joblib import load",
    "import dill", "import marshal", "import shelve", "import copyreg", "import pandas as pd",
    "from torch import package", "import torch.package", "from ray import cloudpickle",
    "from multiprocessing.connection import Client", "from multiprocessing import managers",
    "import numpy as np\nnp.load(path)", "from numpy import load as read\nread(path)",
    "import numpy as np\nnp.load(path, allow_pickle=True)",
    "import numpy as np\nnp.load(path, allow_pickle=flag)", "np.savez(path, x, allow_pickle=True)",
    "import torch\ntorch.load(path)", "import torch as t\nt.load(path, weights_only=True)",
    "from torch import load\nload(path)", "import torch\ntorch.jit.load(path)",
    "PPO.load(path)", "sb3.SAC.load(path, env=env)", "VecNormalize.load(path, env)",
    "BaseAlgorithm.load(path)", "model.load_replay_buffer(path)",
    "from stable_baselines3.common.save_util import load_from_zip_file as read\n"
    "load_from_zip_file(path)", "import yaml\nyaml.load(text)",
    "import yaml as y\ny.load(text, Loader=y.UnsafeLoader)", "import yaml\nyaml.unsafe_load(text)",
    "import yaml\nyaml.full_load(text)", "import yaml\nx = yaml.FullLoader", "connection.recv()",
    "eval(text)", "import builtins\nbuiltins.eval(text)",
)  # fmt: skip
HARMLESS = (
    "import json\njson.load(file)", "import numpy as np\nnp.load(file, allow_pickle=False)",
    "import yaml\nyaml.safe_load(text)", "connection.recv(4096)", "self.load(request)",
    "from safetensors.numpy import load\nload(raw)", "policy.eval()", "import ast\n"
    "ast.literal_eval(text)", "model.save(path)", "import torch\ntorch.tensor(x)",
)  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_what_reads_a_format_that_can_run_code_is_noticed(text: str) -> None:
    assert findings(ast.parse(text)) != []


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_sounds_like_it_is_not(text: str) -> None:
    assert findings(ast.parse(text)) == []


def test_no_trusted_code_reads_a_format_that_can_run_code(root: Path) -> None:
    found = [
        f"{path}:{finding}"
        for path, tree in modules(root)
        for finding in findings(tree)
        if not (path in MAY_EVALUATE and "eval(" in finding)
    ]
    assert found == [], "weights are safetensors, arrays npz without objects, records JSON"


def test_every_folder_of_the_product_was_read(root: Path) -> None:
    seen = {path.split("/")[0] for path, _ in modules(root)}
    assert seen == set(FOLDERS)
