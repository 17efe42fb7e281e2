"""One QEMU driver, for ``llmos-image vm`` and for the tests that boot an image."""
