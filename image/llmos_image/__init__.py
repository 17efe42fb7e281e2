"""The builder: a TOML spec becomes a bootable disk image."""
