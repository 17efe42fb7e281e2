"""The inference service: a GGUF model behind OpenAI's API on a UNIX socket."""
