"""What a model will take, by what llama.cpp says when it only pretends to allocate (``no_alloc``).

It has no function that returns this; it writes it into its log, a line for each buffer:

    llama_kv_cache: size =  180.00 MiB (  8192 cells,  30 layers, 32/1 seqs), K (f16): …
    llama_context:        CPU  output buffer size =     6.00 MiB
    sched_reserve:        CPU compute buffer size =    49.13 MiB
"""

import re
from collections.abc import Iterable
from typing import Final

_MIB: Final = 1024 * 1024
_CACHE: Final = re.compile(r"^llama_(?:kv_cache\w*|memory_recurrent): size = +([\d.]+) MiB")
_BUFFER: Final = re.compile(r": +(\S+) +(?:output|compute) buffer size = +([\d.]+) MiB")
_HOST: Final = ("CPU", "CUDA_Host", "ROCm_Host", "Vulkan_Host")


def buffers(lines: Iterable[str], *, offloaded: bool) -> int:
    """Bytes of the machine's own memory for cache and buffers; ``offloaded``: the cache is not."""
    total = 0.0
    for line in lines:
        if (cache := _CACHE.match(line)) and not offloaded:
            total += float(cache[1])
        elif (buffer := _BUFFER.search(line)) and buffer[1].startswith(_HOST):
            total += float(buffer[2])
    return int(total * _MIB)
