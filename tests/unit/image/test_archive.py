"""Which mirror a build uses when the spec names none."""

from pathlib import Path

from llmos_image.archive import Archive, host_archive


def apt(root: Path, **files: str) -> Path:
    folder = root / "etc/apt/sources.list.d"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return root


def test_deb822_sources_give_both_mirrors(tmp_path: Path) -> None:
    text = """# a comment
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""
    root = apt(tmp_path, debian_sources=text)
    assert host_archive(root) == Archive(
        "http://mirror.example/debian", "http://mirror.example/debian-security"
    )


def test_one_line_sources_give_both_mirrors(tmp_path: Path) -> None:
    text = """deb [arch=amd64 signed-by=/k.gpg] https://m.example/debian trixie main
#deb http://old.example/debian trixie main
deb https://m.example/debian-security trixie-security main
"""
    root = apt(tmp_path, a_list=text)
    assert host_archive(root) == Archive(
        "https://m.example/debian", "https://m.example/debian-security"
    )


def test_other_archives_are_not_taken_for_debian(tmp_path: Path) -> None:
    text = """deb https://packages.example/apt cloud-sdk-bookworm main
deb http://archive.example/ubuntu noble main
deb cdrom:[Debian]/ trixie main
"""
    assert host_archive(apt(tmp_path, a_list=text)) == Archive(None, None)


def test_switched_off_sources_do_not_count(tmp_path: Path) -> None:
    text = (
        "Types: deb\nEnabled: no\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\n"
    )
    assert host_archive(apt(tmp_path, a_sources=text)) == Archive()


def test_a_host_without_apt_has_none(tmp_path: Path) -> None:
    assert host_archive(tmp_path) == Archive()
