"""The network: a small decoder with the llama architecture, as llama.cpp computes it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The size of the network."""

    vocabulary: int
    width: int = 256
    layers: int = 6
    heads: int = 4
    inner: int = 768
    context: int = 512
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Dimensions of one attention head."""
        return self.width // self.heads


class Block(nn.Module):  # type: ignore[misc, unused-ignore] # torch is untyped where it is absent
    """Attention and a gated feed-forward, each behind a norm and beside a shortcut."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, inner = shape.width, shape.inner
        self.shape = shape
        self.attention_norm = nn.RMSNorm(width, shape.norm_epsilon)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.inner_norm = nn.RMSNorm(width, shape.norm_epsilon)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, states: Tensor, rotation: tuple[Tensor, Tensor], dropout: float) -> Tensor:
        """Map (batch, time, width) to the same shape."""
        normed = self.attention_norm(states)
        heads = (*states.shape[:2], self.shape.heads, self.shape.head_width)
        query = _rotate(self.query(normed).view(heads), rotation).transpose(1, 2)
        key = _rotate(self.key(normed).view(heads), rotation).transpose(1, 2)
        value = self.value(normed).view(heads).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        mixed = self.output(mixed.transpose(1, 2).reshape(states.shape))
        states = states + functional.dropout(mixed, dropout, self.training)
        normed = self.inner_norm(states)
        gated = self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return states + functional.dropout(gated, dropout, self.training)


class Network(nn.Module):  # type: ignore[misc, unused-ignore] # see above
    """Embedding, blocks and a head that shares the embedding's weights."""

    def __init__(self, shape: Shape, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.norm_epsilon)
        self._initialise()

    def _initialise(self) -> None:
        # GPT-2's initialisation: what goes into the shortcut shrinks with depth.
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                into_shortcut = name.endswith(("output.weight", "down.weight"))
                scale = (2 * self.shape.layers) ** -0.5 if into_shortcut else 1.0
                nn.init.normal_(weight, std=0.02 * scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (batch, time) to logits (batch, time, vocabulary)."""
        states = functional.dropout(self.embedding(ids), self.dropout, self.training)
        rotation = _rotation(self.shape, ids.shape[1])
        for block in self.blocks:
            states = block(states, rotation, self.dropout)
        return functional.linear(self.norm(states), self.embedding.weight)

    def parameter_count(self) -> int:
        """Return the number of weights."""
        return sum(weight.numel() for weight in self.parameters())

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore] # see above
    def complete(self, prompt: list[int], end: int, limit: int = 64) -> list[int]:
        """Return the likeliest continuation up to ``end``, which is left out."""
        self.eval()
        ids = list(prompt)
        while len(ids) < len(prompt) + limit:
            logits: Tensor = self(torch.tensor([ids]))
            best = int(logits[0, -1].argmax())
            if best == end:
                break
            ids.append(best)
        return ids[len(prompt) :]


def _rotation(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of rotary positions, each (1, length, 1, head_width / 2)."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_base**-steps)
    return angles.cos()[None, :, None, :], angles.sin()[None, :, None, :]


def _rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate neighbouring pairs of (batch, time, heads, head_width).

    llama.cpp pairs neighbours as well for this architecture, so the weights need none of the
    permutation that models with halves (Hugging Face's layout) need on conversion.
    """
    cosine, sine = rotation
    even, odd = heads[..., 0::2].float(), heads[..., 1::2].float()
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(heads.dtype)
