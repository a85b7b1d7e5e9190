"""Floor 0, the kernel: per-head entropy control. Imports torch only, and that only when the controller is used.

:mod:`~headctl.entropy.spec` and :mod:`~headctl.entropy.schedules` are free of torch, so that a configuration can be
checked without loading it.
"""
