"""What is copied into an image beside its packages."""

from pathlib import Path

from llmos_image import payload
from llmos_image.spec import ModelFile


def model(path: Path, *, default: bool = False, name: str | None = None) -> ModelFile:
    path.write_bytes(path.name.encode())
    return ModelFile(path=path, sha256="0" * 64, default=default, name=name)


def test_modes_come_from_the_executable_bit_alone(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    (overlay / "usr/bin").mkdir(parents=True)
    for name, mode in (("program", 0o777), ("text", 0o660)):
        (overlay / "usr/bin" / name).write_text("")
        (overlay / "usr/bin" / name).chmod(mode)
    (overlay / "usr/bin/link").symlink_to("program")
    payload.stage(tmp_path / "payload", [overlay], [])
    found = tmp_path / "payload/usr/bin"
    assert (found / "program").stat().st_mode & 0o777 == 0o755
    assert (found / "text").stat().st_mode & 0o777 == 0o644
    assert found.stat().st_mode & 0o777 == 0o755
    assert (found / "link").readlink() == Path("program")


def test_overlays_lie_on_top_of_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / name).write_text(name)
    payload.stage(tmp_path / "payload", [tmp_path / "a", tmp_path / "b"], [])
    assert {path.name for path in (tmp_path / "payload/etc").iterdir()} == {"a", "b"}


def test_the_default_model_is_the_one_marked_else_the_first(tmp_path: Path) -> None:
    one, two = tmp_path / "one.gguf", tmp_path / "two.gguf"
    payload.stage_models(tmp_path / "a", [model(one), model(two, default=True, name="best")])
    payload.stage_models(tmp_path / "b", [model(one), model(two)])
    assert (tmp_path / "a/default.gguf").readlink() == Path("best.gguf")
    assert (tmp_path / "a/best.gguf").read_bytes() == b"two.gguf"
    assert (tmp_path / "b/default.gguf").readlink() == Path("one.gguf")


def test_updates_need_the_signature_of_this_images_key(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/signing.pgp").write_bytes(b"public key")
    payload.stage_keyring(tmp_path / "payload", tmp_path / "keys")
    assert (tmp_path / "payload" / payload.KEYRING).read_bytes() == b"public key"


def test_without_a_key_nobodys_signature_will_do(tmp_path: Path) -> None:
    payload.stage_keyring(tmp_path / "payload", None)
    assert (tmp_path / "payload" / payload.KEYRING).read_bytes() == b""
