"""The devices that ggml has found: what a model can be loaded for.

Asked of ggml itself: llama-cpp-python binds nothing of it when ggml is the system's.
"""

import ctypes
from typing import Any, Final

CPU: Final = "CPU"

# enum ggml_backend_dev_type in ggml-backend.h
_GPU: Final = 1
_INTEGRATED: Final = 2


def offload_devices() -> tuple[str, ...]:
    """The graphics processors that llama.cpp offloads to, by name; none where there are none.

    Integrated ones count only when there are no others. llama.cpp has to be initialized.
    """
    found = _devices()
    return tuple(name for kind, name in found if kind == _GPU) or tuple(
        name for kind, name in found if kind == _INTEGRATED
    )


def _devices() -> list[tuple[int, str]]:
    try:
        # The libraries that llama.cpp has loaded already, by the same names.
        registry, base = ctypes.CDLL("libggml.so.0"), ctypes.CDLL("libggml-base.so.0")
    except OSError:
        return []
    count = _function(registry, "ggml_backend_dev_count", ctypes.c_size_t)
    get = _function(registry, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind = _function(base, "ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    name = _function(base, "ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    words = _function(base, "ggml_backend_dev_description", ctypes.c_char_p, ctypes.c_void_p)
    devices = [get(at) for at in range(count())]
    return [(kind(device), f"{_text(name(device))} ({_text(words(device))})") for device in devices]


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.restype, function.argtypes = result, list(arguments)
    return function


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace").strip()
