"""Compilers of Python code are used by one thread at a time."""

import threading

COMPILING = threading.RLock()
"""Held during ``ast.parse``, which ``torch.jit.script`` calls too.

CPython 3.11 and 3.12 count its recursion for all threads together, so that two calls at the same
time can end with "SystemError: AST constructor recursion depth mismatch".
"""
