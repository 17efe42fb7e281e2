"""A disk that is open for us alone, read and written past every cache of this machine."""

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator

from llmos_image.errors import FlashFailed, UserError
from llmos_image.flash.disks import Disk

# linux/fs.h, as numbers for x86-64.
_BLKGETSIZE64 = 0x80081272
_BLKGETDISKSEQ = 0x80081280
_BLKZEROOUT = 0x127F
_BLKRRPART = 0x125F

BUFFER = 4 * 1024**2
_LOCK_SECONDS = 5.0
_GONE = {errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM}
_PROTECTED = {errno.EROFS, errno.EPERM, errno.EACCES}


class BlockDevice:
    """An open disk. Offsets and lengths are bytes, and multiples of ``sector``.

    O_DIRECT makes the progress and the reading back true: what ``write`` returns from is in the
    disk's hands, and what ``read`` returns came from there.
    """

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self.name = disk.name
        self.size = disk.size
        self.sector = disk.sector
        self._descriptor = descriptor
        # O_DIRECT wants memory that is aligned like sectors; mmap's is aligned to pages.
        self._buffer = mmap.mmap(-1, BUFFER)

    def write(self, at: int, data: bytes) -> None:
        """Write ``data`` (at most ``BUFFER`` bytes).

        Raises:
            FlashFailed: the disk does not take it.
        """
        self._buffer[: len(data)] = data
        done = 0
        with memoryview(self._buffer) as view, self._faults("write", lambda: at + done):
            while done < len(data):
                count = os.pwrite(self._descriptor, view[done : len(data)], at + done)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += count

    def zero(self, at: int, length: int) -> None:
        """Make ``length`` bytes read as zeros.

        By the disk's own command for that where the kernel knows it to be good, else by writing
        zeros: BLKZEROOUT promises the result. A discard promises nothing about it.
        """
        with self._faults("write", lambda: at):
            fcntl.ioctl(self._descriptor, _BLKZEROOUT, struct.pack("QQ", at, length))

    def read(self, at: int, length: int) -> bytes:
        """Read ``length`` bytes (at most ``BUFFER``) from the disk itself.

        Raises:
            FlashFailed: it does not give them.
        """
        done = 0
        with memoryview(self._buffer) as view, self._faults("read", lambda: at + done):
            while done < length:
                count = os.preadv(self._descriptor, [view[done:length]], at + done)
                if not count:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                done += count
        return self._buffer[:length]

    def flush(self) -> None:
        """Make the disk write what it has in a cache of its own."""
        with self._faults("write", lambda: None):
            os.fsync(self._descriptor)

    def rescan(self) -> None:
        """Have the kernel read the new partition table; not every kind of disk has that."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, _BLKRRPART)

    @contextlib.contextmanager
    def _faults(self, verb: str, at: Callable[[], int | None]) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FlashFailed(self._words(error, verb, at())) from None

    def _words(self, error: OSError, verb: str, at: int | None) -> str:
        where = "" if at is None else f" at byte {at:,}"
        size = _size_of(self._descriptor)
        if error.errno in _GONE or not size:
            return f"{self.name}: was unplugged, or its card taken out"
        if error.errno == errno.ENOSPC or size < self.size:
            return (
                f"{self.name}: is full{where}: it has not the {self.size:,} bytes that it promised"
            )
        if error.errno in _PROTECTED:
            return f"{self.name}: is write-protected ({error.strerror})"
        return (
            f"{self.name}: cannot be {'read' if verb == 'read' else 'written'}{where} "
            f"({error.strerror}): it is worn out, or badly plugged in"
        )


def check_reachable(disk: Disk) -> None:
    """Find out before the long reading and the questions what would end it after them.

    Raises:
        UserError: this user may not write to it, or the kernel knows of a use that we do not.
    """
    try:
        if not os.access(disk.node, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # Read-only: the end of an opening for writing makes udev look at the disk anew.
        os.close(os.open(disk.node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        raise _not_opened(disk, error) from None


@contextlib.contextmanager
def opened(disk: Disk, again: Callable[[], Disk]) -> Iterator[BlockDevice]:
    """Open ``disk`` so that nobody can mount it or a partition of it meanwhile.

    ``again`` looks at the disk anew: names wander from one stick to the next.

    Raises:
        UserError: it is in use, out of reach for this user, or not the disk it was.
    """
    # Exclusive: the kernel refuses when anything on it is mounted or held, in whatever
    # namespace, and refuses to mount or hold it from here on.
    flags = os.O_RDWR | os.O_EXCL | os.O_DIRECT | os.O_CLOEXEC
    try:
        descriptor = os.open(disk.node, flags)
    except OSError as error:
        raise _not_opened(disk, error) from None
    try:
        _lock(descriptor, disk)
        if again() != disk or not _is(descriptor, disk):
            raise UserError(
                f"{disk.name}: is not the disk that it was a moment ago; nothing was written",
                hint="Was something plugged in or out? Start again.",
            )
        yield BlockDevice(disk, descriptor)
    finally:
        os.close(descriptor)


def _not_opened(disk: Disk, error: OSError) -> UserError:
    match error.errno:
        case errno.EBUSY:
            return UserError(
                f"{disk.name}: is in use: the kernel says that somebody holds it",
                hint="Unmount it everywhere, containers included.",
            )
        case errno.EACCES | errno.EPERM:
            return UserError(
                f"{disk.node}: this user may not write to it", hint="Run it with sudo."
            )
        case errno.EROFS:
            return UserError(f"{disk.name}: is read-only (a write-protect switch?)")
        case errno.ENOENT | errno.ENODEV | errno.ENXIO | errno.ENOMEDIUM:
            return UserError(f"{disk.name}: is no longer there")
        case _:
            return UserError(f"{disk.node}: cannot be opened: {error.strerror}")


def _lock(descriptor: int, disk: Disk) -> None:
    """Keep udev from probing, and desktops from mounting, what is half written.

    It is systemd's convention (https://systemd.io/BLOCK_DEVICE_LOCKING); udev itself holds the
    lock for moments.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UserError(
                    f"{disk.name}: another program is at work on it (it holds the disk's lock)"
                ) from None
            time.sleep(0.1)
        else:
            return


def _is(descriptor: int, disk: Disk) -> bool:
    """Whether what is open is ``disk``: from here on no other can take its place."""
    number = os.fstat(descriptor).st_rdev
    sequence = bytearray(8)
    if disk.sequence is not None:
        fcntl.ioctl(descriptor, _BLKGETDISKSEQ, sequence)
    return (
        f"{os.major(number)}:{os.minor(number)}" == disk.number
        and _size_of(descriptor) == disk.size
        and struct.unpack("Q", sequence)[0] == (disk.sequence or 0)
    )


def _size_of(descriptor: int) -> int:
    size = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _BLKGETSIZE64, size)
    except OSError:
        return 0
    return int(struct.unpack("Q", size)[0])
