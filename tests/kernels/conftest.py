"""Triton's interpreter, made fast enough for a suite, and its oldest supported version as right as later ones."""

import os

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def _patch_once_a_launch():
    """Make the interpreter several times faster.

    It patches triton.language anew whenever one kernel function calls another, though nothing has changed since the
    launch began.
    """
    if os.environ.get("TRITON_INTERPRET") != "1":
        yield
        return
    import triton.language as tl
    from triton.runtime import interpreter

    patch, launch = interpreter._patch_lang, interpreter.GridExecutor.__call__
    patched: set[frozenset[str]] = set()
    names: dict[int, frozenset[str]] = {}

    def patch_once(function):
        variables = function.__globals__
        if id(variables) not in names:
            used = [module.__name__ for module in (tl, tl.core) if any(v is module for v in variables.values())]
            names[id(variables)] = frozenset(used)
        if names[id(variables)] in patched:
            return None
        patched.add(names[id(variables)])
        return patch(function)

    def launch_anew(self, *arguments, **options):
        patched.clear()
        try:
            return launch(self, *arguments, **options)
        finally:
            patched.clear()

    interpreter._patch_lang, interpreter.GridExecutor.__call__ = patch_once, launch_anew
    yield
    interpreter._patch_lang, interpreter.GridExecutor.__call__ = patch, launch


@pytest.fixture(scope="session", autouse=True)
def _numbers_win_over_nan():
    """Triton 3.6's interpreter takes NaN for the maximum of NaN and a number; a GPU, and later versions, the number."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        yield
        return
    from triton.runtime.interpreter import InterpreterBuilder

    with pytest.MonkeyPatch.context() as patch:
        for name, function in (("create_maxnumf", np.fmax), ("create_minnumf", np.fmin)):
            patch.setattr(InterpreterBuilder, name, lambda self, a, b, f=function: self.binary_op(a, b, f))
        yield
