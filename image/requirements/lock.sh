#!/usr/bin/env bash
# Renews the hash-pinned lock files from pyproject.toml. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

lock() {
    local out=$1 python=$2
    shift 2
    uv pip compile --quiet --universal --python-version "$python" --generate-hashes \
        --no-header --no-annotate "$@" pyproject.toml --output-file "image/requirements/$out"
}

lock host.txt 3.11 --extra host --extra shell --extra engine --extra dev "$@"
lock target.txt 3.13 --extra shell --extra engine --extra llama "$@"
