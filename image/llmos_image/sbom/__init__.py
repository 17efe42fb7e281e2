"""What an image is made of, as SPDX and CycloneDX say it.

    collect → Inventory → spdx, cyclonedx

``collect`` asks each source of components (Debian's packages, Python's, models, our code);
the two writers know nothing of where components come from.
"""
