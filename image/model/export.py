"""Export: the trained network as a GGUF file that llama.cpp runs like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gguf
import numpy as np

from llmos_shell.literals import SLOTS_KEY, WORDS_KEY
from model.tokenizer import CHAT_TEMPLATE, CONTROL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.network import Network
    from model.tokenizer import PlanTokenizer

_LAYER_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "inner_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def export(
    network: Network, tokenizer: PlanTokenizer, words: frozenset[str], version: str, path: Path
) -> None:
    """Write the GGUF: matrices as Q8_0, norms as F32."""
    shape = network.shape
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"LLMOS plan {version}")
    writer.add_version(version)
    writer.add_description("Turns requests into plans; see MODEL_CARD.md")
    writer.add_license("MIT")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary)
    _add_tokenizer(writer, tokenizer)
    writer.add_string(SLOTS_KEY, "1")
    writer.add_string(WORDS_KEY, " ".join(sorted(words)))
    for name, weights in tensors(network):
        kind = gguf.GGMLQuantizationType.Q8_0 if weights.ndim == 2 else None
        data = gguf.quantize(weights, kind) if kind is not None else weights
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PlanTokenizer) -> None:
    added, control = len(tokenizer.added), len(CONTROL)
    types = [gguf.TokenType.CONTROL] * control
    types += [gguf.TokenType.USER_DEFINED] * (added - control)
    types += [gguf.TokenType.NORMAL] * (len(tokenizer.tokens) - added)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(list(tokenizer.tokens))
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer.bpe.merges])
    begin, end = CONTROL.index("<s>"), CONTROL.index("</s>")
    writer.add_bos_token_id(begin)
    writer.add_eos_token_id(end)
    writer.add_pad_token_id(end)
    # The chat template writes the mark of the beginning itself.
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def tensors(network: Network) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the weights under llama.cpp's names; the head is the embedding and is left out."""
    for name, tensor in network.state_dict().items():
        weights = tensor.detach().numpy().astype(np.float32)
        part, *rest = name.split(".")
        if part == "blocks":
            number, layer, _ = rest
            yield f"blk.{number}.{_LAYER_NAMES[layer]}.weight", weights
        elif part == "embedding":
            yield "token_embd.weight", weights
        else:
            yield "output_norm.weight", weights


def metadata(path: Path) -> dict[str, str]:
    """Return the ``llmos.*`` keys of a GGUF, as the engine's ``/v1/models`` shows them."""
    reader = gguf.GGUFReader(path)
    return {
        key: str(field.contents())
        for key, field in reader.fields.items()
        if key.startswith("llmos.")
    }
