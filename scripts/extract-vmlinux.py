#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the ELF kernel out of a bzImage, so that a guest need not decompress it at each boot.

    extract-vmlinux.py BZIMAGE VMLINUX

The payload's place is in the boot protocol's header (payload_offset, payload_length:
Linux Documentation/x86/boot.rst); its format is known by its first bytes.
"""
import bz2
import gzip
import lzma
import struct
import subprocess
import sys

MAGICS = [
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(d)),
    (b"\x5d\0\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(d)),
    (b"\x28\xb5\x2f\xfd", lambda d: subprocess.run(["zstd", "-dcq"], input=d, stdout=subprocess.PIPE).stdout),
]


def main(argv):
    if len(argv) != 3:
        sys.exit(__doc__)
    with open(argv[1], "rb") as f:
        image = f.read()
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        sys.exit(f"extract-vmlinux: {argv[1]} is not a bzImage: 'HdrS' expected at 0x202")
    version, = struct.unpack_from("<H", image, 0x206)
    if version < 0x208:
        sys.exit(f"extract-vmlinux: {argv[1]} has boot protocol {version >> 8}.{version & 255:02}; 2.08 or later tells where the payload is")
    start = ((image[0x1f1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:start + offset + length]
    for magic, decompress in MAGICS:
        if payload.startswith(magic):
            kernel = decompress(payload)
            break
    else:
        kernel = payload
    if not kernel.startswith(b"\x7fELF"):
        sys.exit(f"extract-vmlinux: the payload of {argv[1]} is no ELF file in a compression that is known here ({payload[:6].hex()})")
    with open(argv[2], "wb") as f:
        f.write(kernel)


if __name__ == "__main__":
    main(sys.argv)
