#!/usr/bin/env bash
# Renews the hash-pinned lock files from pyproject.toml. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

compile() {
    uv pip compile --quiet --universal --python-version "$1" --generate-hashes \
        --no-header --no-annotate "${@:2}" pyproject.toml
}

lock() {
    local out=image/requirements/$1
    compile "${@:2}" >"$out.new"
    mv "$out.new" "$out"
}

# hf-xet is another way to download, of 11 MB, which huggingface_hub does without.
lock host.txt 3.11 --extra host --extra shell --extra engine --extra models --extra dev \
    --no-emit-package hf-xet
lock target.txt 3.13 --extra shell --extra engine --extra models --extra llama \
    --no-emit-package hf-xet

# Training: torch's CPU build, which needs none of the GPU packages that torch names. The index
# that has it is a matter of pip's own configuration; its hash is for Python 3.11.
left_out=(--no-emit-package torch)
while read -r name; do
    left_out+=(--no-emit-package "$name")
done < <(compile 3.11 --extra train | grep -oE '^(nvidia|cuda|triton)[a-z0-9-]*' | sort -u)
lock train.txt 3.11 --extra train "${left_out[@]}"
cat >>image/requirements/train.txt <<'LOCK'
torch==2.13.0 \
    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b
LOCK
