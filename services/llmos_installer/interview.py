"""The questions of an installation, one after the other; knows no terminal.

Which questions there are follows from the answers given so far, so that going back is
forgetting the last one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from llmos_installer import keys
from llmos_installer.disks import Disk
from llmos_installer.layout import Layout
from llmos_installer.plan import Choices, Encryption, InstallPlan, plan, reasons_against
from llmos_installer.settings import Settings, User, user_name_fault


class Step(StrEnum):
    """What is asked."""

    DISK = "disk"
    ENCRYPT = "encrypt"
    RECOVERY_KEY = "recovery key"
    PASSPHRASE = "passphrase"  # noqa: S105
    PASSPHRASE_AGAIN = "passphrase again"  # noqa: S105
    USER = "user"
    PASSWORD = "password"  # noqa: S105
    PASSWORD_AGAIN = "password again"  # noqa: S105
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers to choose from; ``why_not`` says why it cannot be chosen."""

    value: str
    label: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question. Without options the answer is typed; ``secret`` ones are not shown."""

    step: Step
    title: str
    text: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    secret: bool = False


class Refused(Exception):
    """The answer will not do; says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the questions depend on."""

    disks: Sequence[Disk]
    layout: Layout
    has_tpm: bool
    taken_names: frozenset[str]
    hash_password: Callable[[str], str] = keys.hash_password
    new_key: Callable[[], str] = keys.new_recovery_key


class Interview:
    """Asks until all is known: :attr:`question` is None then, and :attr:`plan` what was agreed."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._answers: dict[Step, str] = {}
        # One key for the whole interview: going back must not change what was written down.
        self._key = facts.new_key() if facts.has_tpm else ""

    @property
    def question(self) -> Question | None:
        """What is to be answered now; None when all is."""
        step = next((step for step in self._steps() if step not in self._answers), None)
        return None if step is None else self._ask(step)

    def answer(self, text: str) -> None:
        """Take the answer to :attr:`question`.

        Raises:
            Refused: it will not do; the question stays.
        """
        question = self.question
        if question is None:
            raise Refused("nothing is asked any more")
        self._answers[question.step] = self._checked(question, text)

    def back(self) -> bool:
        """Forget the last answer; False when there is none."""
        if not self._answers:
            return False
        step = list(self._answers)[-1]
        del self._answers[step]
        # Of two that are typed alike, neither is worth anything alone.
        first = {Step.PASSPHRASE_AGAIN: Step.PASSPHRASE, Step.PASSWORD_AGAIN: Step.PASSWORD}
        self._answers.pop(first.get(step, step), None)
        return True

    @property
    def plan(self) -> InstallPlan:
        """What the answers mean.

        Raises:
            BadInput: the disk must not be erased.
        """
        name = self._answers.get(Step.USER, "")
        user = User(name, self._answers[Step.PASSWORD_AGAIN]) if name else None
        encryption = self._encryption()
        key = {
            Encryption.NONE: "",
            Encryption.TPM2: self._key,
            Encryption.PASSPHRASE: self._answers.get(Step.PASSPHRASE, ""),
        }[encryption]
        choices = Choices(self._answers[Step.DISK], encryption, key, Settings(user=user))
        return plan(self.facts.disks, self.facts.layout, choices)

    def _steps(self) -> Iterator[Step]:
        yield Step.DISK
        yield Step.ENCRYPT
        match self._encryption():
            case Encryption.TPM2:
                yield Step.RECOVERY_KEY
            case Encryption.PASSPHRASE:
                yield from (Step.PASSPHRASE, Step.PASSPHRASE_AGAIN)
            case Encryption.NONE:
                pass
        yield Step.USER
        if self._answers.get(Step.USER):
            yield from (Step.PASSWORD, Step.PASSWORD_AGAIN)
        yield Step.CONFIRM

    def _encryption(self) -> Encryption:
        return Encryption(self._answers.get(Step.ENCRYPT, Encryption.NONE))

    def _ask(self, step: Step) -> Question:
        match step:
            case Step.DISK:
                return self._ask_disk()
            case Step.ENCRYPT:
                return self._ask_encryption()
            case Step.RECOVERY_KEY:
                text = (
                    "Write this key down and keep it away from the machine. It opens your data",
                    "when the TPM does not, and is never shown again:",
                    "",
                    *_lines_of(self._key),
                )
                return Question(step, "Type the recovery key to show that you have it", text)
            case Step.PASSPHRASE:
                return Question(step, "Passphrase for your data", _PASSPHRASE, secret=True)
            case Step.PASSPHRASE_AGAIN:
                return Question(step, "The same passphrase again", secret=True)
            case Step.USER:
                return Question(step, "Name of the first user", _USER)
            case Step.PASSWORD:
                return Question(step, f"Password of {self._answers[Step.USER]}", secret=True)
            case Step.PASSWORD_AGAIN:
                return Question(step, "The same password again", secret=True)
            case Step.CONFIRM:
                return self._ask_confirmation()

    def _ask_disk(self) -> Question:
        options = tuple(
            Option(disk.name, disk.words(), "; ".join(reasons_against(disk, self.facts.layout)))
            for disk in self.facts.disks
        )
        if not any(not option.why_not for option in options):
            text: tuple[str, ...] = ("No disk of this machine can be installed to.",)
        else:
            text = ("Everything on it will be erased. Nothing is changed before you confirm.",)
        text += ("Ctrl-C looks for disks again; Ctrl-Alt-Del starts the machine again.",)
        return Question(Step.DISK, "Install to which disk?", text, options)

    def _ask_encryption(self) -> Question:
        locked = Encryption.TPM2 if self.facts.has_tpm else Encryption.PASSPHRASE
        options = tuple(Option(kind, kind.words()) for kind in (Encryption.NONE, locked))
        if self.facts.has_tpm:
            options += (Option(Encryption.PASSPHRASE, Encryption.PASSPHRASE.words()),)
            text: tuple[str, ...] = ()
        else:
            text = ("This machine has no TPM 2.0, which could open the data by itself.",)
        return Question(Step.ENCRYPT, "Encrypt your data?", text, options)

    def _ask_confirmation(self) -> Question:
        agreed = self.plan
        text = (
            *agreed.erased(),
            "",
            "Afterwards it has:",
            *(f"  {line}" for line in agreed.made()),
        )
        return Question(Step.CONFIRM, f"Type {agreed.disk.name} to erase it and install", text)

    def _checked(self, question: Question, text: str) -> str:
        if question.options:
            return _chosen(question, text)
        match question.step:
            case Step.RECOVERY_KEY if not keys.same_key(text, self._key):
                raise Refused("That is another key. Compare it letter by letter.")
            case Step.PASSPHRASE | Step.PASSWORD if wrong := keys.passphrase_fault(text):
                raise Refused(f"It {wrong}.")
            case Step.PASSPHRASE_AGAIN if text != self._answers[Step.PASSPHRASE]:
                del self._answers[Step.PASSPHRASE]
                raise Refused("The two were not the same. Type it twice again.")
            case Step.PASSWORD_AGAIN if text != self._answers[Step.PASSWORD]:
                del self._answers[Step.PASSWORD]
                raise Refused("The two were not the same. Type it twice again.")
            case Step.PASSWORD_AGAIN:
                return self.facts.hash_password(text)
            case Step.USER if text and (wrong := user_name_fault(text, self.facts.taken_names)):
                raise Refused(f"{wrong}.")
            case Step.CONFIRM if text != self._answers[Step.DISK]:
                raise Refused(f"That is not {self._answers[Step.DISK]}: nothing is erased.")
            case _:
                return text


_PASSPHRASE = (
    f"It is asked for at each start. At least {keys.LEAST_LENGTH} letters. Nobody can open",
    "your data without it.",
)
_USER = (
    "This user logs in with a password and may administer the machine.",
    "Empty: nobody is asked for a password, as on the stick.",
)


def _chosen(question: Question, text: str) -> str:
    option = next((option for option in question.options if option.value == text), None)
    if option is None:
        raise Refused(f"'{text}' is none of them.")
    if option.why_not:
        raise Refused(f"{option.value} cannot be chosen: {option.why_not}.")
    return option.value


def _lines_of(key: str) -> Iterator[str]:
    groups = key.split("-")
    half = len(groups) // 2
    yield "  " + "-".join(groups[:half]) + "-"
    yield "  " + "-".join(groups[half:])
