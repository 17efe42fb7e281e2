"""What a spec says, and how it is told off."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_image.archive import Archive
from llmos_image.errors import SpecError, UserError
from llmos_image.places import SPECS
from llmos_image.spec import Format, ImageSpec, Kernel, load, missing_files, parse
from llmos_image.values import MIB

LEAST = '[image]\nid = "x"\nversion = "1"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse(text, path=Path("my.toml"))
    assert caught.value.exit_code == 2
    return list(caught.value.faults)


def test_the_least_spec_has_only_a_name_and_a_version() -> None:
    spec = parse(LEAST, path=Path("my.toml"))
    assert spec.image.kernel is Kernel.GENERIC
    assert spec.users == ()


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.toml")), ids=lambda p: p.stem)
def test_the_specs_that_come_along_are_right(path: Path) -> None:
    spec = load(path)
    assert missing_files(spec) == []
    assert spec.default_model is not None
    assert spec.login.autologin == "llmos"


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("verson = 1", "image.verson: unknown key (did you mean 'version'? one of: "),
        ('kernel = "clud"', "image.kernel: unknown 'clud' (one of: generic, cloud)"),
        (
            'formats = ["raw", "vdi"]',
            f"image.formats[1]: unknown 'vdi' (one of: {', '.join(Format)})",
        ),
        ("[disk]\nroot = 5", 'disk.root: 5 is not a size (accepted: as in "512M", "2G")'),
        ('[disk]\nroot = "5"', "disk.root: '5' is not a size (accepted: a number with M, G or T"),
        ('[disk]\nesp = "256M"', "disk.esp: 256M is too small for firmware to read"),
        ('[system]\nhostname = "-a"', "system.hostname: '-a' is not valid (accepted: letters"),
        ('[system]\nhostname = "10"', ""),
        ('[[users]]\nname = "Ann"', "users[0].name: 'Ann' is not valid (accepted: a lower-case"),
        ('[[users]]\nname = "root"', "users: 'root' is made by Debian"),
        (
            '[[users]]\nname = "ann"\nsudo = "password"',
            "users[0].sudo: 'password' needs a password_hash",
        ),
        (
            '[[users]]\nname = "ann"\npassword_hash = "secret"',
            "users[0].password_hash: 'secret' is not valid (accepted: a crypt(5) hash",
        ),
        (
            '[login]\nautologin = "ann"',
            "login.autologin: no user 'ann' (one of: none: add a [[users]]",
        ),
        ('[debian]\npackages = "vim"', "debian.packages: 'vim' is not a list in [ ]"),
        ('[debian]\npackages = ["a b"]', "debian.packages[0]: 'a b' is not valid"),
        ('[debian]\nmirror = "ftp://x"', "debian.mirror: 'ftp://x' is not valid"),
        ('[[trees]]\nsource = "x"\ntarget = "../etc"', "trees[0].target: '../etc' is not valid"),
        ('[[models]]\npath = "x.gguf"', "models[0].sha256: missing"),
        ("users = 3", ""),
        ('[update]\nsource = "ftp://x"', "update.source: 'ftp://x' is not valid (accepted: an"),
        ('[update]\nsource = "updates"', "update.source: 'updates' is not valid (accepted: an"),
        ('[update]\nsource = "/srv"', "update.source: needs signing.keys, or every update"),
        ('[update]\nextensions = ["A"]', "update.extensions[0]: 'A' is not valid (accepted: low"),
        (
            '[console]\nkernel_arguments = ["a b"]',
            "console.kernel_arguments[0]: 'a b' is not valid",
        ),
    ],
)
def test_a_fault_names_its_place_and_what_would_do(addition: str, fault: str) -> None:
    if fault:
        assert any(line.startswith(fault) for line in faults(LEAST + addition)), faults(
            LEAST + addition
        )


def test_all_faults_come_at_once() -> None:
    found = faults('[image]\nid = "A"\nkernal = "cloud"\n[disk]\nesp = "1"\n')
    assert [line.split(":")[0] for line in found] == [
        "disk.esp",
        "image.id",
        "image.kernal",
        "image.version",
    ]


def test_what_is_not_toml_says_the_line() -> None:
    (fault,) = faults("[image\n")
    assert fault.startswith("not TOML: ")
    assert "line 1" in fault


def test_a_missing_spec_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.toml")


def test_what_is_not_utf8_says_the_byte(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(SpecError, match="not UTF-8 at byte 6"):
        load(tmp_path / "x.toml")


def test_sizes_are_bytes() -> None:
    spec = parse(LEAST + '[disk]\nesp = "512M"\nroot = "2G"\n', path=Path("x"))
    assert (spec.disk.esp, spec.disk.root) == (512 * MIB, 2048 * MIB)


def test_paths_are_taken_from_the_folder_of_the_spec(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    text = LEAST + '[[trees]]\nsource = "files"\n'
    spec = parse(text, path=tmp_path / "x.toml")
    assert spec.trees[0].source == tmp_path / "files"
    assert missing_files(spec) == []


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    zero = "0" * 64
    text = LEAST + "".join(
        f'[[models]]\npath = "{name}"\nsha256 = "{zero}"\n' for name in ("a.gguf", "b.gguf")
    )
    text += '[[trees]]\nsource = "nowhere"\n'
    found = missing_files(parse(text, path=tmp_path / "x.toml"))
    assert found[0].startswith("models[0].sha256: a.gguf has ")
    assert found[1].startswith("models[1].path: ")
    assert found[2].startswith("trees[0].source: ")


def test_the_digest_is_of_what_is_said_and_not_of_how_or_where(tmp_path: Path) -> None:
    one = parse(LEAST + '[disk]\nesp = "1G"\n[system]\nhostname = "a"\n', path=Path("x"))
    two = parse('[system]\nhostname="a"\n[disk]\nesp="1024M"\n' + LEAST, path=tmp_path / "y")
    other = parse(LEAST, path=Path("x"))
    assert one.digest() == two.digest() != other.digest()
    assert one.with_archive(Archive("http://one/debian", None)).digest() == one.digest()


def test_the_spec_names_the_mirror_before_the_host_does() -> None:
    archive = Archive("http://host/debian", "http://host/security")
    own = parse(LEAST + '[debian]\nmirror = "http://own/debian"\n', path=Path("x"))
    assert own.with_archive(archive).debian.mirror == "http://own/debian"
    assert own.with_archive(archive).debian.security_mirror == "http://host/security"


def test_editors_get_a_json_schema() -> None:
    schema = ImageSpec.model_json_schema()
    assert schema["properties"].keys() >= {"image", "disk", "users"}
    assert json.dumps(schema)


@given(st.text(max_size=300))
def test_no_text_is_more_than_a_list_of_faults(text: str) -> None:
    with contextlib.suppress(SpecError):
        parse(text, path=Path("x.toml"))


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from(sorted(ImageSpec.model_fields)), _values)
def test_no_value_is_more_than_a_list_of_faults(key: str, value: object) -> None:
    text = json.dumps(value) if not isinstance(value, dict) else None
    if text is None or text == "null":
        return
    with contextlib.suppress(SpecError):
        parse(f"{key} = {text}\n" + LEAST, path=Path("x.toml"))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("https://updates.example/llmos/", "https://updates.example/llmos"),
        ("file:///srv/updates", "file:///srv/updates"),
        ("/srv/updates", "file:///srv/updates"),
    ],
)
def test_updates_come_from_a_url_or_a_folder_of_the_machine(said: str, meant: str) -> None:
    text = f'{LEAST}[signing]\nkeys = "keys"\n[update]\nsource = "{said}"\n'
    assert parse(text, path=Path("my.toml")).update.source == meant


def test_who_does_not_verify_needs_no_key() -> None:
    text = f'{LEAST}[update]\nsource = "/srv"\nverify = false\n'
    assert not parse(text, path=Path("my.toml")).update.verify


def test_a_version_with_a_plus_would_be_read_as_a_count_of_tries() -> None:
    assert "version" in faults('[image]\nid = "x"\nversion = "1+3"\n')[0]
