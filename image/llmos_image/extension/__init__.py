"""System extensions: what is too big or too special for every image, built against one of them.

    catalogue → base → recipe (mkosi, over the image's own packages) → tidy → image

An extension adds files below ``/usr`` and ``/opt`` and nothing else; systemd-sysext merges it
into the base of the same version and into no other (os-release(5), VERSION_ID).
"""
