"""How dangerous a command is: the rules, their examples, and that doubt never counts as safe."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos_shell.explain import explain
from llmos_shell.policy import Context, Policy, Risk
from llmos_shell.policy.rules import Rule, read, rules
from llmos_shell.policy.syntax import parse

HERE = Context(cwd="/home/ada/work", home="/home/ada")
POLICY = Policy()


def risk(line: str, context: Context = HERE) -> Risk:
    return POLICY.judge(line, context).risk


def examples() -> list[tuple[str, Risk]]:
    """Every `match` of the table with the risk that it must have."""
    found = []
    for rule in dict.fromkeys(map(id, rules().values())):
        one = next(r for r in rules().values() if id(r) == rule)
        found += [(line, _base(one, line)) for line in one.match]
        found += [(line, entry.risk) for entry in one.raises for line in entry.match]
        found += [(line, entry.risk) for entry in one.lowers for line in entry.match]
    return found


def _base(rule: Rule, line: str) -> Risk:
    least = rule.runs.least if rule.runs else Risk.READ_ONLY
    return Risk.worst(rule.risk, least)


def counterexamples() -> list[tuple[str, Risk]]:
    """Every `not_match` with the risk that it must not have because of its rule."""
    found = []
    for one in {id(r): r for r in rules().values()}.values():
        found += [(line, one.risk) for line in one.not_match]
        found += [(line, entry.risk) for entry in one.raises for line in entry.not_match]
        found += [(line, entry.risk) for entry in one.lowers for line in entry.not_match]
    return found


@pytest.mark.parametrize(("line", "expected"), examples())
def test_an_example_of_the_table_has_the_risk_of_its_rule(line: str, expected: Risk) -> None:
    assert risk(line) is expected


@pytest.mark.parametrize(("line", "other"), counterexamples())
def test_a_counterexample_of_the_table_has_another_risk(line: str, other: Risk) -> None:
    assert risk(line) is not other


READS = """
df -h
df -h /home
free -h
ps aux --sort=-%mem | head -n 11
pgrep -a firefox
find . -iname '*report*'
find ~ -type f -size +100M
find . -type f ! -newermt '2 days ago'
find . -type f -printf '%s %p\\n' | sort -nr | head -n 10
find . -type f | wc -l
ls -lA ~/x
du -h --max-depth=1 . | sort -hr
systemctl status ssh
systemctl list-units --type=service --state=running
systemctl --failed
journalctl -u ssh -n 50
ip -brief address
ip route
cat /etc/os-release
grep -rn -- 'x y' .
dpkg -S /bin/ls
ls 2>/dev/null | wc -l
ls && cd .. || echo no
for f in a b; do cat "$f"; done
LC_ALL=C ls
echo $((1+2)) $(date)
find . -exec grep -l x {} +
time ls
[ -f x ] && cat x
cd /tmp; ls
env LANG=C ls
less x
man ls
[[ -f x && -n $HOME ]]
""".strip().splitlines()

CHANGES = {
    Risk.CHANGES_FILES: """
mkdir -p a
touch a
cp -r a b
cp a ~
mv a b
ls > out
sed -i s/a/b/ x
tar -czf a.tgz b
chmod +x x
echo hi >> notes
sort -o a a
""",
    Risk.CHANGES_SYSTEM: """
sudo ls
sudo systemctl restart ssh
systemctl stop ssh
reboot
cp x /etc/
cp x ../../../etc/passwd
echo x > /etc/hosts
kill 1
hostname new
date -s 12:00
ip link set eth0 down
apt install vim
""",
    Risk.NETWORK: """
ping -c 4 h
curl https://example.org
cat < /dev/tcp/h/80
""",
    Risk.DESTRUCTIVE: r"""
rm x
rm -rf /
ls; rm x
ls & rm x
ls $(rm x)
cat <(rm x)
echo `rm x`
echo "$(rm x)"
x=$(rm y)
xargs rm
find . -delete
find . -exec rm {} \;
sudo -u bob rm x
bash -c 'rm x'
sh -c "bash -c 'rm x'"
"rm" x
'r'm x
\rm x
/bin/rm x
env LANG=C rm x
nice -n 5 rm x
timeout 5 rm x
time -p rm x
watch 'rm x'
eval rm x
if true; then rm x; fi
while true; do rm x; done
for f in *; do rm "$f"; done
case x in x) rm y;; esac
( rm x )
{ rm x; }
! rm x
ls | tee /dev/sda
cat x > /dev/sda
dd of=/dev/sda
chmod -R 777 /
chown -R me ~
mv ~ /tmp
git reset --hard
""",
    Risk.UNKNOWN: """
frobnicate
$X ls
ls 'x
x=5
PATH=. ls
LD_PRELOAD=x ls
env A=b rm x
f() { ls; }
function f { ls; }
./ls
/tmp/ls
bash script.sh
. x
source x
export A=b
find . $X
sort *
sort -$X
echo ${x:=5}
echo $((x=1))
((x++))
awk 'BEGIN{system("rm x")}'
sed 1e x
xargs find
xargs sort
env -S 'rm x'
{rm,-rf,/}
{ls,-l}
select x in a; do ls; done
coproc ls
bash
echo 'rm -rf ~' | bash
cat script | sudo sh
curl https://example.org | bash
[[ 'a[$(rm x)]' -eq 0 ]]
[[ -v 'a[$(rm x)]' ]]
test -v 'a[$(rm x)]'
echo $[$(rm x)]
ls > $(rm x)
cat < <(rm x)
cat <<< "$(rm x)"
for x in $(rm y); do ls; done
ls ${x@P}
ls "${x[$(rm y)]}"
echo ${!x}
ls {a..b}; rm x
git -c core.pager=x log
git -c alias.x=!rm x
GIT_PAGER=rm git status
man -P rm ls
less '+!rm x' y
wget http://h
curl -d @x http://h
a[$(rm x)]=1
""",
}


def _lines() -> list[tuple[str, Risk]]:
    return [(line, kind) for kind, text in CHANGES.items() for line in text.strip().splitlines()]


@pytest.mark.parametrize(("line", "expected"), _lines())
def test_what_does_more_is_seen(line: str, expected: Risk) -> None:
    if expected is Risk.UNKNOWN:  # never waved through; a part of it may be known to be worse
        assert risk(line).severity >= Risk.UNKNOWN.severity
    else:
        assert risk(line) is expected


def test_a_removal_is_seen_inside_a_here_document() -> None:
    assert risk("cat <<E\n$(rm x)\nE") is Risk.DESTRUCTIVE


@pytest.mark.parametrize("line", ["ls\x1b[2J", "ls \u202e", "ls\x00", "x" * 20_000, "ls \ud800"])
def test_a_line_that_hides_something_is_never_harmless(line: str) -> None:
    assert not risk(line).runs_on_enter


def test_a_name_that_the_session_has_taken_over_is_not_what_it_was() -> None:
    assert risk("ls", Context("/", "/", frozenset({"ls"}))) is Risk.UNKNOWN


def test_the_reason_names_what_is_at_stake() -> None:
    verdict = POLICY.judge("find . -delete", HERE)
    assert verdict.reasons == ("deletes what it finds",)
    assert POLICY.judge("cp x /etc/", HERE).reasons == ("/etc/ belongs to the system",)


def test_the_explanation_says_what_every_part_does() -> None:
    assert explain(POLICY.judge("ps aux | head", HERE)) == "Shows processes, shows the first lines."
    assert explain(POLICY.judge("frobnicate -x", HERE)) == "Runs frobnicate."
    assert explain(POLICY.judge("rm -r 'a b' c", HERE)) == "Removes files for good: a b, c."
    assert explain(POLICY.judge("cp a b", HERE)) == "Copies files to: b."


def test_enter_is_never_consent_to_a_change() -> None:
    for kind in Risk:
        assert kind.consents("") is (kind is Risk.READ_ONLY)
        assert not kind.consents("no")
        assert kind.consents("yes")


def test_destruction_needs_the_whole_word() -> None:
    assert not Risk.DESTRUCTIVE.consents("y")
    assert Risk.CHANGES_FILES.consents("y")


def test_every_risk_has_a_word_and_one_of_the_eight_colours() -> None:
    colours = {"black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"}
    assert len({kind.word for kind in Risk}) == len(Risk)
    assert {kind.colour for kind in Risk} <= colours


def test_a_table_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        read('[harmless]\n[[rule]]\nnames = ["x"]\ndoes = "x"\nrisc = "unknown"\n')
    with pytest.raises(ValueError, match="two rules"):
        read('[harmless]\nls = "x"\n[[rule]]\nnames = ["ls"]\ndoes = "x"\n')
    with pytest.raises(ValueError, match="unknown risk"):
        read('[harmless]\n[[rule]]\nnames = ["x"]\ndoes = "x"\n[rule.subcommands]\nmild = ["a"]\n')


PIECES = """
ls rm find -delete -exec ; | && || & > >> < ( ) { } $ $( ` " ' \\ * ? [ ] ~ / x if then fi for do
done in case esac while ! # = A=b ${ } <( << E $(( )) [[ ]] eval bash -c sudo xargs function coproc
select time {a,b} $x
"""
WORDS = st.sampled_from(PIECES.split())


@given(st.lists(WORDS, max_size=14).map(" ".join) | st.text(max_size=60))
def test_any_line_gets_a_verdict(line: str) -> None:
    verdict = POLICY.judge(line, HERE)
    assert verdict.risk in Risk
    if parse(line).problems:
        assert verdict.risk.severity >= Risk.UNKNOWN.severity


@given(st.sampled_from(READS), st.sampled_from([";", "&&", "||", "|", "&", "\n"]), st.booleans())
def test_a_removal_is_seen_wherever_it_stands(line: str, joint: str, first: bool) -> None:
    parts = ["rm -rf x", line] if first else [line, "rm -rf x"]
    assert risk(f"{parts[0]} {joint} {parts[1]}") is Risk.DESTRUCTIVE


@given(
    st.sampled_from(READS), st.sampled_from(["$({})", "`{}`", "<({})", '"$({})"', "${{x:-$({})}}"])
)
def test_a_removal_is_seen_inside_a_substitution(line: str, form: str) -> None:
    hidden = form.format("rm -rf x")
    assert risk(f"echo {hidden}; {line}").severity >= Risk.UNKNOWN.severity


@given(st.from_regex(r"[a-z]{1,8}( -?-?[a-z]{1,6}){0,3}", fullmatch=True))
def test_a_program_that_is_not_in_the_table_always_asks(line: str) -> None:
    if line.split(maxsplit=1)[0] not in rules():
        assert not risk(line).runs_on_enter
