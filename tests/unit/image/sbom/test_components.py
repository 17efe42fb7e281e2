"""Components are read from what an installed system says of itself."""

import io
import json
import struct
import tarfile
from pathlib import Path

import pytest

from llmos_image.errors import BuildFailed
from llmos_image.sbom import debian, models, python
from llmos_image.sbom.inventory import Component, Kind, Licensing
from llmos_image.spec import ModelFile

STATUS = """Package: gcc-14-base
Status: install ok installed
Maintainer: Debian GCC <gcc@example.org>
Architecture: amd64
Source: gcc-14
Version: 14.2.0-19

Package: libgcc-s1
Status: install ok installed
Architecture: amd64
Source: gcc-14 (14.2.0-18)
Version: 1:14.2.0-19
Description: x
 Version: 9

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""
DEP5 = (
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    "\nFiles: *\nLicense: Expat\n"
)


def archive(path: Path, *, status: str | None = STATUS) -> Path:
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("usr/share/doc/libgcc-s1")
        link.type, link.linkname = tarfile.SYMTYPE, "gcc-14-base"
        tar.addfile(link)
        files = {"usr/share/doc/gcc-14-base/copyright": DEP5}
        files |= {"usr/lib/sysimage/dpkg/status": status} if status else {}
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def test_installed_packages_have_licence_source_and_checksum(tmp_path: Path) -> None:
    downloads = tmp_path / "cache/apt/archives"
    downloads.mkdir(parents=True)
    (downloads / "libgcc-s1_1%3a14.2.0-19_amd64.deb").write_bytes(b"deb")
    facts = debian.read_facts(archive(tmp_path / "x.tar"))
    base, library = debian.packages(facts, tmp_path)
    assert (base.name, base.source, base.sha256) == ("gcc-14-base", "gcc-14 14.2.0-19", None)
    assert (library.version, library.source) == ("1:14.2.0-19", "gcc-14 14.2.0-18")
    assert library.sha256 is not None
    assert base.licensing.expression == library.licensing.expression == "MIT"
    assert library.purl == "pkg:deb/debian/libgcc-s1@1:14.2.0-19?arch=amd64&distro=trixie"


def test_an_image_without_a_package_database_is_a_failed_build(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no package database"):
        debian.read_facts(archive(tmp_path / "x.tar", status=None))


def dist_info(site: Path, name: str, metadata: str, licence: str = "") -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{metadata}\n\nLong text.\n")
    if licence:
        (folder / "LICENSE.txt").write_text(licence)


@pytest.mark.parametrize(
    ("metadata", "licence", "expression"),
    [
        ("License-Expression: MIT OR Apache-2.0", "", "MIT OR Apache-2.0"),
        ("License: Apache 2.0", "", "Apache-2.0"),
        ("Classifier: License :: OSI Approved :: MIT License", "", "MIT"),
        (
            "License: BSD",
            "Redistributions in binary form must\nreproduce … may be used to endorse or promote",
            "BSD-3-Clause",
        ),
        ("", "Redistributions in binary form must reproduce", "BSD-2-Clause"),
        ("License: mine", "", None),
    ],
)
def test_a_python_package_says_its_licence_in_one_of_many_ways(
    tmp_path: Path, metadata: str, licence: str, expression: str | None
) -> None:
    dist_info(tmp_path, "some_thing", metadata, licence)
    (found,) = python.packages(tmp_path, {("some-thing", "1.0"): "f" * 64})
    assert found.licensing.expression == expression
    assert found.purl == "pkg:pypi/some-thing@1.0"
    assert found.sha256 == "f" * 64


def test_checksums_are_those_of_the_installed_files(tmp_path: Path) -> None:
    one, two, three = "1" * 64, "2" * 64, "3" * 64
    lock = tmp_path / "lock.txt"
    lock.write_text(
        f"built==2.0 \\\n    --hash=sha256:{one}\n"
        f"typing-extensions==4.16.0 \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n"
    )
    record = tmp_path / "wheels.json"
    record.write_text(json.dumps({"typing_extensions-4.16.0-py3-none-any.whl": three}))
    assert python.downloads_of(record, lock) == {
        ("built", "2.0"): one,
        ("typing-extensions", "4.16.0"): three,
    }


def test_llama_cpp_inside_its_wheel_is_a_component_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "llama_cpp/lib").mkdir(parents=True)
    for name in ("libllama.so", "libllama.so.0", "libllama.so.0.5.0"):
        (tmp_path / "llama_cpp/lib" / name).write_text("")
    dist_info(tmp_path, "llama_cpp_python", "License: MIT")
    (found,) = python.libraries(tmp_path)
    assert (found.name, found.version, found.source) == (
        "llama.cpp",
        "0.5.0",
        "llama_cpp_python 1.0",
    )


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(path: Path, licence: str) -> ModelFile:
    said = b"GGUF" + struct.pack("<IQQ", 3, 0, 4)
    said += text("general.file_type") + struct.pack("<II", 4, 7)
    said += text("general.version") + struct.pack("<I", 8) + text("v0")
    said += text("general.license") + struct.pack("<I", 8) + text(licence)
    said += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 0)
    path.write_bytes(said)
    return ModelFile(path=path, sha256="a" * 64)


def test_a_model_says_its_licence_itself(tmp_path: Path) -> None:
    mine = gguf(tmp_path / "mine.gguf", "mit")
    other = gguf(tmp_path / "other.gguf", "llama3")
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + b"\xff" * 40)
    junk = ModelFile(path=tmp_path / "junk.gguf", sha256="b" * 64)
    found = {part.name: part for part in models.components([mine, other, junk])}
    assert found["mine"].licensing.expression == "MIT"
    assert (found["mine"].version, found["mine"].sha256) == ("v0", "a" * 64)
    assert found["other"].licensing == Licensing(note="The file says: llama3")
    assert found["junk"].licensing.note == "The file says: nothing"


def test_versions_are_quoted_as_package_urls_want_it() -> None:
    part = Component(Kind.DEBIAN, "a", "1:2+b~c", Licensing(), architecture="all")
    assert part.purl == "pkg:deb/debian/a@1:2%2Bb~c?arch=all&distro=trixie"
