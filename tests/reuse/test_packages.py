"""How packages are written: what is the same, what is fixed, and what nobody may see."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from aml_provider.reuse.packages import (
    hashes_of,
    is_relative,
    normal_requirement,
    pip_name,
    resolved_package,
    wanted_packages,
    with_credentials,
    without_credentials,
)
from aml_provider.spec.models import PythonSpec

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
SPECIFIERS = st.builds("{}{}".format, st.sampled_from(["==", ">=", "<", "!="]), VERSIONS)
SHA1, SHA256 = "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("conda", "pip"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("scikit-learn>=1.3,<2", "scikit-learn>=1.3,<2"),
        ("conda-forge::scipy =1.11", "scipy==1.11.*"),
        ("python=3.8", None),
        ("pip", None),
    ],
)
def test_conda_packages_as_pip_writes_them(conda: str, pip: str | None) -> None:
    assert pip_name(conda) == pip


@given(NAMES, st.sampled_from(["", "=", "==", ">=", "<"]), VERSIONS)
def test_what_pip_is_given_is_a_requirement(name: str, operator: str, version: str) -> None:
    written = pip_name(f"{name}{operator}{version}" if operator else name)
    if written is not None:
        assert Requirement(written).name == name


def test_pip_and_conda_packages_are_one_list_without_azures_own_python() -> None:
    python = PythonSpec(pip_packages=("toml", "six"), conda_packages=("python=3.8", "six", "scipy=1.11", "pip"))
    assert wanted_packages(python) == ["scipy==1.11.*", "six", "toml"]


@pytest.mark.parametrize("written", ["mlflow", "MLflow"])
def test_mlflow_without_a_version_is_ours(written: str) -> None:
    assert wanted_packages(PythonSpec(pip_packages=(written,))) == [f"mlflow=={version('mlflow')}"]
    assert wanted_packages(PythonSpec(pip_packages=("mlflow==2.1",))) == ["mlflow==2.1"]


# --- equal requirements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Scikit_Learn >= 1.3, <2", "scikit-learn<2,>=1.3"),
        ("requests[Socks] == 2.31", "requests[socks]==2.31"),
        ("zope.interface", "zope-interface"),
        ("six ;  python_version < '3'", "six ; python_version < '3'"),
    ],
)
def test_two_ways_to_write_one_requirement(one: str, other: str) -> None:
    assert normal_requirement(one) == normal_requirement(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("six==1.16", "six==1.17"),
        ("six", "six==1.17"),
        ("requests[socks]", "requests"),
        ("six ; python_version < '3'", "six ; python_version < '4'"),
        ("https://h/A.whl", "https://h/a.whl"),
        ("./Pkg", "./pkg"),
    ],
)
def test_requirements_that_differ(one: str, other: str) -> None:
    assert normal_requirement(one) != normal_requirement(other)


@given(NAMES, st.lists(SPECIFIERS, max_size=3).flatmap(lambda s: st.tuples(st.just(s), st.permutations(s))))
def test_a_requirement_keeps_its_meaning_and_loses_its_looks(name: str, both: tuple[list[str], list[str]]) -> None:
    specifiers, shuffled = both
    normal = normal_requirement(f"{name.upper().replace('-', '_')}  {' , '.join(shuffled)}")
    plain = f"{name}{','.join(specifiers)}"
    assert normal == normal_requirement(normal) == normal_requirement(plain)
    assert Requirement(normal).specifier == Requirement(plain).specifier


# --- fixed content ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("six==1.17.0", ("six", "1.17.0", True)),
        ("Zope.Interface==6.0", ("zope-interface", "6.0", True)),
        (f"six @ git+https://h/six@{SHA1}", ("six", f"git+https://h/six@{SHA1}", True)),
        (f"six @ git+https://h/six@{SHA1}#subdirectory=a", ("six", f"git+https://h/six@{SHA1}#subdirectory=a", True)),
        (f"six @ https://h/six.whl#sha256={SHA256}", ("six", f"https://h/six.whl#sha256={SHA256}", True)),
        ("six @ https://h/six-1.17.0.whl", ("six", "https://h/six-1.17.0.whl", False)),
        ("six @ git+https://h/six@main", ("six", "git+https://h/six@main", False)),
        ("six @ file:///wheels/six-1.17.0.whl", ("six", "file:///wheels/six-1.17.0.whl", False)),
        ("./six", ("./six", "", False)),
        ("-e file:///six", ("-e file:///six", "", False)),
    ],
)
def test_content_is_fixed_by_an_index_a_commit_or_a_hash(line: str, found: tuple[str, str, bool]) -> None:
    assert resolved_package(line) == found


def test_the_authors_hashes_are_found_by_name_or_address() -> None:
    lines = [
        f"Six_Pack==1.17.0 --hash=sha256:{SHA256} --hash sha256:abc",
        "toml==0.10",
        f"https://me:secret@h/a.whl --hash=sha256:{SHA256}",
    ]
    assert hashes_of(lines) == {
        "six-pack": f"--hash=sha256:{SHA256} --hash sha256:abc",
        "https://***@h/a.whl": f"--hash=sha256:{SHA256}",
    }


@pytest.mark.parametrize(
    ("line", "relative"),
    [
        ("six>=1.16", False),
        ("six ; sys_platform == 'a/b'", False),
        ("./libs/six", True),
        ("libs/six.whl", True),
        ("six @ file:libs/six.whl", True),
        ("/libs/six.whl", False),
        ("six @ file:///libs/six.whl", False),
        ("six @ https://h/six.whl", False),
        ("--find-links wheels", True),
        ("-f=wheels", True),
        ("--find-links /wheels", False),
        ("--index-url https://h/simple", False),
        ("-c constraints.txt", True),
        ("-e .", True),
        ("--no-binary six", False),
    ],
)
def test_paths_that_begin_beside_the_pipeline_file(line: str, relative: bool) -> None:
    assert is_relative(line) is relative


# --- credentials ------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/@:?#&=;*${}%")).map(
    "~{}".format
)
HIDDEN = [
    ("--index-url https://me:s3cret@h/simple", "--index-url https://***@h/simple"),
    ("--extra-index-url=https://s3cret@h:8080/simple", "--extra-index-url=https://***@h:8080/simple"),
    ("six @ https://me:s3cret@h/six.whl#sha256=ab", "six @ https://***@h/six.whl#sha256=ab"),
    ("six @ git+https://s3cret@h/six@main", "six @ git+https://***@h/six@main"),
    ("https://me:p@s3cret@h/simple", "https://***@h/simple"),
    ("https://me:p/s3cret@h/simple", "https://***@h/simple"),
    ("https://h/c/six.whl?sv=1&sig=s3cret%3D&x=2", "https://h/c/six.whl?sv=1&sig=***&x=2"),
    ("https://h/c/six.whl?X-Amz-Signature=s3cret#a", "https://h/c/six.whl?X-Amz-Signature=***#a"),
    ("https://h/c/six.whl?access_token=s3cret", "https://h/c/six.whl?access_token=***"),
]


@pytest.mark.parametrize(("line", "shown"), HIDDEN)
def test_what_is_shown_of_an_address_with_a_secret(line: str, shown: str) -> None:
    assert without_credentials(line) == shown
    assert without_credentials(shown) == shown
    assert with_credentials(shown, [line]) == line


@pytest.mark.parametrize(
    "line",
    [
        "six==1.17.0",
        "git+ssh://git@github.com/benjaminp/six@main",
        "--index-url https://h:8080/simple/@scope",
        "git+https://h:8080/six@main",
        "git+https://h/six@main",
        # The name of a variable, which uv reads, is no secret.
        "--index-url https://${USER}:${PASSWORD}@h/simple",
        "https://${TOKEN}@h/simple",
        "https://h/six.whl?version=2",
    ],
)
def test_addresses_without_secrets_are_shown_as_they_are(line: str) -> None:
    assert without_credentials(line) == line


@given(WORDS, WORDS, st.sampled_from(["--index-url https://{}@h/simple", "six @ git+https://{}@h:8080/six@main"]))
def test_no_password_is_ever_shown_and_each_is_found_again(user: str, password: str, line: str) -> None:
    line = line.format(f"{user}:{password}")
    shown = without_credentials(line)
    assert user not in shown
    assert password not in shown
    assert with_credentials(shown, ["toml", line]) == line


def test_a_branch_is_resolved_to_a_commit_and_the_password_is_put_back() -> None:
    asked = ["six @ git+https://me:s3cret@h/six@main", "git+https://me:other@h/six-pack#egg=six-pack"]
    assert with_credentials(f"six @ git+https://***@h/six@{SHA1}", asked) == f"six @ git+https://me:s3cret@h/six@{SHA1}"
    assert with_credentials(f"six-pack @ git+https://***@h/six-pack@{SHA1}", asked).endswith(
        f"me:other@h/six-pack@{SHA1}"
    )
