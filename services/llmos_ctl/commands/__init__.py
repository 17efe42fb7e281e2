"""The subcommands of ``llmosctl``, a file each."""
