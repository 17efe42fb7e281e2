"""The policy against the truth: what it calls harmless is run by a real bash.

The one harmful thing in every line here is `touch HARM`. Wrapped in whatever the shell's
language offers, it is either seen, or it does nothing.
"""

import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmos_shell.policy import Context, Policy

POLICY = Policy()
HARM = "touch HARM"

FORMS = """
{}
$({})
`{}`
"$({})"
'{}'
"{}"
{} | cat
true | {}
cat <({})
echo {}
echo "{}"
echo '{}'
x='{}'; $x
eval '{}'
eval {}
bash -c '{}'
sh -c "{}"
if {}; then :; fi
if true; then {}; fi
for i in 1; do {}; done
for i in $({}); do :; done
while {}; do break; done
{{ {}; }}
( {} )
! {}
time {}
env {}
nice {}
nohup {}
timeout 5 {}
command {}
exec {}
echo 1 | xargs {}
echo HARM | xargs touch
find . -maxdepth 0 -exec {} \\;
test -n '{}'
test -n "$({})"
[[ -n $({}) ]]
[[ 'a[$({})]' -eq 0 ]]
[ "$({})" ]
case x in x) {};; esac
case $({}) in *) :;; esac
f() {{ {}; }}; f
echo ${{x:-$({})}}
echo $(( $({}) 1 ))
echo $[ $({}) 1 ]
{} &
{}; ls
ls; {}
ls && {}
false || {}
ls #{}
# {}
coproc {}
trap '{}' EXIT
echo '{}' | sh
echo "{}" | bash
printf '%s' '{}' | bash
a[$({})]=1
echo {{a,$({})}}
{{touch,HARM}}
> HARM
ls > HARM
ls >| HARM
ls &> HARM
ls 2> HARM
ls <> HARM
cat <<< "$({})"
echo hi | tee HARM
sed -n '1w HARM' /etc/passwd
sed '1e {}' /etc/passwd
awk 'BEGIN {{ system("{}") }}'
awk 'BEGIN {{ print > "HARM" }}' /etc/passwd
sort -o HARM /etc/passwd
sort /etc/passwd -oHARM
uniq /etc/passwd HARM
find . -maxdepth 0 -fprint HARM
t\\ouch HARM
'to'uch HARM
"touch" HARM
$'touch' HARM
/usr/bin/touch HARM
../../usr/bin/touch HARM
T=touch; $T HARM
""".strip().splitlines()
HEREDOCS = ["cat <<E\n$({})\nE", "cat <<'E'\n$({})\nE", "bash <<E\n{}\nE", "bash <<'E'\n{}\nE"]

SHAPES = st.lists(st.sampled_from(FORMS + HEREDOCS), min_size=1, max_size=3)


def wrapped(forms: list[str]) -> str:
    line = HARM
    for form in forms:
        line = form.format(line) if "{}" in form else form.format()
    return line


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(SHAPES)
def test_what_is_called_harmless_does_no_harm(forms: list[str]) -> None:
    line = wrapped(forms)
    with tempfile.TemporaryDirectory() as folder:
        if not POLICY.judge(line, Context(folder, folder)).risk.runs_on_enter:
            return
        subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert not Path(folder, "HARM").exists(), line


def test_every_form_alone_is_seen_or_harmless() -> None:
    for form in FORMS + HEREDOCS:
        test_what_is_called_harmless_does_no_harm.hypothesis.inner_test([form])  # type: ignore[attr-defined]
