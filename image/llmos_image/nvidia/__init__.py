"""NVIDIA's kernel modules: compiled when an image is built, for that image's kernel.

    versions → source → modules → (staged into the image)
                          aliases ┘

No compiler and no DKMS is in the image. What does not fit together fails the build.
"""
