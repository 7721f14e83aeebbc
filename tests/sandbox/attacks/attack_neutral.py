"""Programs that try something and then answer honestly: the answer is all that comes of it."""

from dataclasses import dataclass

from attack_probes import PRELUDE


@dataclass(frozen=True)
class Neutral:
    """An attempt in front of an honest reward, ``height`` itself.

    ``beside`` is what a careless trainer has in its process; ``careless`` what then comes of it.
    """

    attack: int
    attempt: str
    careless: str
    beside: str = ""
    before: str = ""  # at the top of the module

    def source(self, beside: str = "") -> str:
        """The whole program."""
        lines = "\n".join(f"    {line}" for line in self.attempt.splitlines())
        return (
            f"{beside}\n{PRELUDE}\n{self.before}\n\ndef compute_reward(height):\n"
            f"    own = height.copy()\n{lines}\n    return own, {{'h': own}}\n"
        )


_ADDRESS = "height.__array_interface__['data'][0]"
_NO_MODULE = (
    "if any(name.split('.')[0] in {names} for name in list(sys.modules)): raise KeyError('it')"
)


def _importing(attack: int, name: str, beside: str = "") -> Neutral:
    attempt = (
        f"try: plainly('__import__(path, fromlist=[path])', {name!r})\n"
        "except Exception: found = False\nelse: found = True\nif found: raise KeyError('it')"
    )
    return Neutral(attack, attempt, "raised KeyError", beside)


NEUTRAL: dict[str, Neutral] = {
    "print a million lines": Neutral(
        46, "for _ in range(10**5): print('x' * 100)", r"after \d{8,} bytes"),
    "write to standard output": Neutral(
        46, "for _ in range(64): os.write(1, b'x' * 2**20)", r"after \d{8,} bytes"),
    "write to standard error": Neutral(
        46, "for _ in range(64): os.write(2, b'x' * 2**20)", r"after \d{8,} bytes"),
    "print terminal sequences": Neutral(
        47, "print('\\x1b]0;owned\\x07\\x1b[2J\\r\\u202e\\u2028')", "returned"),
    "print fences": Neutral(75, "print('```\\n</data>\\n' * 10**4)", r"after \d{5,} bytes"),
    "change an action through its address": Neutral(
        55, f"ctypes.memset({_ADDRESS}, 0, height.nbytes)", r"of \[0\. 0\."),
    "unlock an array": Neutral(
        56, "height.flags.writeable = True\nheight[:] = 0.0", r"of \[0\. 0\."),
    "write over everything that is shared": Neutral(
        56, "target = outside('region')\ntarget = outside('rows') if target is None else target\n"
        "size = target.nbytes if hasattr(target, 'nbytes') else len(target)\n"
        "ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(target)), 0, size)",
        r"of \[0\. 0\."),
    "patch the environment": Neutral(
        61, _NO_MODULE.format(names=("gymnasium", "mujoco")), "raised KeyError",
        "import gymnasium"),
    "import the environment": _importing(61, "gymnasium"),
    "patch the trainer": Neutral(
        62, _NO_MODULE.format(names=("torch", "stable_baselines3", "jax")), "raised KeyError",
        "import torch"),
    "import the trainer": _importing(62, "stable_baselines3.common.utils"),
    "walk up the frames": Neutral(
        63, "for name in ('policy', 'trainer', 'fitness', 'steps', 'env'):\n"
        "    if outside(name) is not None: raise KeyError('it')", "raised KeyError",
        "policy = [1.0]"),
    "search all objects": Neutral(
        64, "for one in load('gc').get_objects():\n"
        "    if type(one) is dict and ('policy' in one or 'expected_values' in one):\n"
        "        raise KeyError('it')", "raised KeyError", "kept_by_trainer = {'policy': [1.0]}"),
    "import the fitness": _importing(65, "rewardsmith.envs.fitness"),
    "import a writer of arrays": _importing(41, "safetensors.numpy"),
    "print while loading": Neutral(
        68, "pass", r"after \d{6,} bytes", before="for _ in range(10**4): print('x' * 100)"),
    "drop the region": Neutral(
        88, "where = place(outside('region') or mmap.mmap(-1, 2**24))\n"
        "raw(28, where, 2**20, 4)", "returned tuple"),
    "punch a hole into the region": Neutral(
        88, "where = place(outside('region') or mmap.mmap(-1, 2**24))\n"
        "try: raw(28, where, 2**20, 9)\nexcept OSError: pass", "returned tuple"),
    "leave hooks behind": Neutral(
        95, "late = lambda *values: print('late')\nload('atexit').register(late)\n"
        "sys.settrace(late)\nsys.setprofile(None)\nsys.setswitchinterval(1e-9)\n"
        "sys.excepthook = sys.unraisablehook = late\nload('gc').disable()", "ended 0|returned"),
    "leave a finalizer behind": Neutral(
        95, "if not hasattr(sys, 'left'): sys.left = Late()", "ran on",
        before="class Late:\n    def __del__(self):\n        while True: pass"),
    "break the interpreter for later": Neutral(
        95, "plainly('np.seterr(all=path)', 'raise')\nsys.path.clear()\nsys.meta_path.clear()",
        "returned tuple"),
    "ask for no sandbox": Neutral(
        81, "pass", "returned tuple", before="# sandbox: none\nSANDBOX = 'none'\n"
        "OUTPUT = '/etc/passwd'\nENV_ID = 'Evil-v0'\nREQUIREMENTS = ['evil-package']"),
}  # fmt: skip
