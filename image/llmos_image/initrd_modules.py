"""An initrd's kernel modules: what a root disk, its encryption and a keyboard may need."""

from llmos_image.spec import Kernel

_VERIFIED_ROOT = (
    "/dm-crypt.ko",
    "/dm-mod.ko",
    "/dm-verity.ko",
    "/erofs.ko",
    "/ext4.ko",
    "/loop.ko",
    "/overlay.ko",
    # What dm-crypt and ext4 ask for by name.
    "^arch/x86/crypto/(aesni-intel|sha256-ssse3|crc32c-intel|crct10dif-pclmul)",
    "^crypto/(aes_generic|cbc|cryptd|crc32c|ecb|essiv|sha256|xts|algif_skcipher|af_alg)",
    "/libcrc32c.ko",
    # What PID 1 loads by itself.
    "/autofs4.ko",
    "/kvm(-amd|-intel)?.ko",
    "/(ip|ip6|x)_tables.ko",
)
_FIRMWARE_AND_KEYS = (
    "/efivarfs.ko",
    "/efi-pstore.ko",
    "/qemu_fw_cfg.ko",
    "/dmi-sysfs.ko",
    "^drivers/char/tpm/",
    # The ESP.
    "/vfat.ko",
    "/nls_(ascii|cp437|iso8859-1|utf8).ko",
)
_VIRTUAL = (
    "^drivers/virtio/",
    # Its device calls for it; without it each boot would complain.
    "/(failover|net_failover|virtio_net).ko",
    "/virtio_blk.ko",
    "/virtio_console.ko",
    "/(cdrom|sr_mod).ko",
    "/virtio_scsi.ko",
    "/virtio-rng.ko",
    "/nvme(-core)?.ko",
    "/ahci.ko",
    "/sd_mod.ko",
    "/hv_(storvsc|vmbus).ko",
    "/hyperv-keyboard.ko",
    "/hid-(generic|hyperv).ko",
    "/vmw_pvscsi.ko",
    "/xen-blkfront.ko",
)
_REAL = (
    "^drivers/ata/ata_piix",
    "^drivers/hid/(hid|hid-generic|usbhid/usbhid).ko",
    "^drivers/hid/hid-(apple|cherry|lenovo|logitech(-dj|-hidpp)?|microsoft|roccat).ko",
    "^drivers/input/(keyboard/atkbd|serio/(i8042|libps2|serio))",
    "^drivers/mmc/(core|host)/(mmc_(block|core)|cqhci|sdhci(-acpi|-pci)?).ko",
    "^drivers/platform/surface/",
    "^drivers/usb/host/(ehci-(hcd|pci)|ohci-(hcd|pci)|uhci-hcd|xhci-(hcd|pci|pci-renesas)).ko",
    "^drivers/usb/storage/(uas|usb-storage).ko",
    "/scsi_mod.ko",
    "/usbcore.ko",
    "/vmd.ko",
)


def modules_of(kernel: Kernel) -> tuple[str, ...]:
    """Patterns of the kernel modules that the initrd has, as mkosi reads them.

    Nothing that drives a display: the firmware's own frame buffer will do until the root is
    there, and drivers of GPUs bring their firmware along.
    """
    common = (*_VERIFIED_ROOT, *_FIRMWARE_AND_KEYS, *_VIRTUAL)
    return (*common, *_REAL) if kernel is Kernel.GENERIC else common
