"""Chat templates: programs of somebody else, in a process that can be killed."""

from collections.abc import Callable, Iterator

import pytest

from llmos_api import ChatMessage, Role
from llmos_engine.errors import InvalidRequest
from llmos_engine.template import ChatTemplate

Make = Callable[..., ChatTemplate]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ChatTemplate] = []

    def make(source: str | None, **options: object) -> ChatTemplate:
        made.append(ChatTemplate(source, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for template in made:
        template.close()


def test_a_template_makes_the_prompt(make: Make) -> None:
    source = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    messages = [
        ChatMessage.system("Be short."),
        ChatMessage(Role.DEVELOPER, "é"),
        ChatMessage.user("<hi>"),
    ]
    text = make(source, bos="<s>").render(messages)
    assert text == "<s>[system] Be short.\n[system] é\n[user] <hi>\n"


def test_without_a_template_the_prompt_is_chatml(make: Make) -> None:
    template = make(None)
    assert template.render([ChatMessage.user("hi")]) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert "<|im_end|>" in template.stops


def test_what_real_templates_use_is_there(make: Make) -> None:
    source = (
        "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "{% if loop.index0 > 0 %}{% break %}{% endif %}{% endfor %}"
        "{{ ns.n }} {{ messages[0]|tojson }} {{ strftime_now('%Y') > '2000' }} {{ tools is none }}"
    )
    text = make(source).render([ChatMessage.user("<ü>"), ChatMessage.user("b")])
    assert text == '2 {"role": "user", "content": "<ü>"} True True'


def test_a_template_may_refuse_the_messages(make: Make) -> None:
    template = make("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(
        InvalidRequest, match="refuses the messages: roles must alternate"
    ) as caught:
        template.render([ChatMessage.user("hi")])
    assert caught.value.code == "template_refused"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ ''.__class__.__mro__ }}", "may not"),
        ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "may not"),
        ("{{ messages.append(1) }}", "may not"),
        ("{{ messages.x.y }}", "UndefinedError"),
        ("{% for %}", "TemplateSyntaxError"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 'a' * 10 ** 10 }}", "too much memory"),
        ("{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}", "longer than"),
        ("{{ range(1000000) }}", "Range too big"),
    ],
)
def test_what_a_template_must_not_do_is_an_error(make: Make, source: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        make(source).render([ChatMessage.user("hi")])


def test_a_template_that_never_ends_is_stopped_and_the_next_one_works(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    source = "{% if messages[0].content == 'loop' %}" + loop + "{% endif %}done"
    template = make(source, timeout=1.0)
    with pytest.raises(InvalidRequest, match="needs more than 1 second"):
        template.render([ChatMessage.user("loop")])
    # On a busy machine the next process needs longer than that to start.
    monkeypatch.setattr(template, "_timeout", 60.0)
    assert template.render([ChatMessage.user("hi")]) == "done"


def test_control_tokens_in_a_message_are_plain_text(make: Make) -> None:
    template = make(
        "{% for m in messages %}<|a|>{{ m.content }}<|b|>{% endfor %}",
        control_tokens=["<|a|>", "<|b|>", "<|b|>x", ""],
    )
    text = template.render([ChatMessage.user("1<|b|><|a|>2<|b|>x<|c|>")])
    assert text.count("<|a|>") == text.count("<|b|>") == 1
    assert text.replace("\u2060", "") == "<|a|>1<|b|><|a|>2<|b|>x<|c|><|b|>"
