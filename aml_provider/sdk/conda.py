"""v1 ``CondaDependencies``: a conda environment file as an object."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.source import calling_source, find_file, looked_in

PYTHON_DEFAULT_VERSION = "3.8.13"
CHANNELS = ("anaconda", "conda-forge")
_NAME = re.compile(r"^\s*([A-Za-z0-9_.\-]+)")
_PYTHON = re.compile(r"^python\s*[=<>!~\s]|^python$")


def package_name(requirement: str) -> str:
    """The name in a pip or conda requirement, in its normal form."""
    match = _NAME.match(requirement.rsplit("::", maxsplit=1)[-1])
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else requirement


class CondaDependencies:
    """Packages of an environment.

    Changed: ``azureml-...`` packages may be listed but are never installed (the runtime gives steps what they had
    in them), and the default Python version is only a default: an environment that does not ask for one gets the
    compute's.

    :param conda_dependencies_file_path: a conda environment file.
    :raises UserErrorException: the file is missing or is not such a file.
    """

    DEFAULT_NUMBER_OF_CONDA_PACKAGES = 0
    DEFAULT_NUMBER_OF_PIP_PACKAGES = 0

    def __init__(self, conda_dependencies_file_path: str | os.PathLike[str] | None = None) -> None:
        #: The Python version comes from the author, not from the default.
        self.python_version_set = False
        #: Folder of the file that was read: where ``-r requirements.txt`` in it is looked for.
        self.folder: Path | None = None
        if conda_dependencies_file_path is None:
            self._content: dict[str, Any] = {
                "name": "project_environment",
                "channels": list(CHANNELS),
                "dependencies": [f"python={PYTHON_DEFAULT_VERSION}", {"pip": ["azureml-defaults"]}],
            }
        else:
            self._read(conda_dependencies_file_path)

    def _read(self, path: str | os.PathLike[str]) -> None:
        file = existing_file(path, "conda environment file")
        import yaml

        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserErrorException(f"{file} is not valid YAML: {error}.") from None
        if not isinstance(content, dict):
            raise UserErrorException(f"{file} is no conda environment file: it has no `dependencies:`.")
        self._content = content
        self._content["dependencies"] = list(content.get("dependencies") or [])
        self._content["channels"] = list(content.get("channels") or [])
        self.folder = file.parent
        self.python_version_set = any(_PYTHON.match(p) for p in self.conda_packages)

    @staticmethod
    def create(
        pip_indexurl: str | None = None,
        pip_packages: list[str] | None = None,
        conda_packages: list[str] | None = None,
        python_version: str | None = PYTHON_DEFAULT_VERSION,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """Dependencies of these packages.

        :param pip_indexurl: index that pip packages come from.
        """
        for what, packages in (("pip_packages", pip_packages), ("conda_packages", conda_packages)):
            if isinstance(packages, str):
                raise UserErrorException(
                    f"CondaDependencies.create: {what} is {packages!r}; give a list of packages, like [{packages!r}]."
                )
        made = CondaDependencies()
        if python_version is not None and python_version != PYTHON_DEFAULT_VERSION:
            made.set_python_version(python_version)
        if pip_indexurl:
            made.set_pip_index_url(pip_indexurl)
        for package in conda_packages or []:
            made.add_conda_package(package)
        for package in pip_packages or []:
            made.add_pip_package(package)
        return made

    @staticmethod
    def merge_requirements(requirements: list[str]) -> list[str]:
        """One requirement for each package: the specifiers of its several mentions joined."""
        merged: dict[str, list[str]] = {}
        shown: dict[str, str] = {}
        for requirement in requirements:
            match = _NAME.match(requirement)
            name = package_name(requirement)
            shown.setdefault(name, match[1] if match else requirement)
            rest = requirement[match.end() :].strip() if match else ""
            specifiers = merged.setdefault(name, [])
            if rest and rest not in specifiers:
                specifiers.append(rest)
        return [shown[name] + ",".join(rest) for name, rest in merged.items()]

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def conda_channels(self) -> Any:
        """The channels, in order."""
        return iter(list(self._content.get("channels") or []))

    @property
    def conda_packages(self) -> Any:
        """The conda packages, in order."""
        return iter([p for p in self._content["dependencies"] if isinstance(p, str)])

    def _pip(self) -> list[str]:
        for item in self._content["dependencies"]:
            if isinstance(item, dict) and "pip" in item:
                entries: list[str] = item["pip"]
                return entries
        entries = []
        self._content["dependencies"].append({"pip": entries})
        return entries

    @property
    def pip_packages(self) -> Any:
        """The pip packages, in order."""
        return iter([p for p in self._pip() if not p.startswith("-")])

    @property
    def pip_options(self) -> Any:
        """Lines for pip that are options (``--index-url ...``, ``-r file``)."""
        return iter([p for p in self._pip() if p.startswith("-")])

    def get_default_number_of_packages(self) -> int:
        """How many packages an empty environment has besides Python."""
        return self.DEFAULT_NUMBER_OF_CONDA_PACKAGES + self.DEFAULT_NUMBER_OF_PIP_PACKAGES

    def get_python_version(self) -> str | None:
        """The Python version in the list, the default one included."""
        for package in self.conda_packages:
            if _PYTHON.match(package):
                return package[len("python") :].strip().lstrip("=").strip() or None
        return None

    def as_dict(self) -> dict[str, Any]:
        """The content of a conda environment file."""
        return copy.deepcopy(self._content)

    def serialize_to_string(self) -> str:
        """The text of a conda environment file."""
        import yaml

        return str(yaml.safe_dump(self._content, sort_keys=False))

    # --- changing -------------------------------------------------------------------------------------------

    def set_pip_index_url(self, index_url: str) -> None:
        """Take pip packages from this index; an URL without ``--`` is the main one."""
        option = index_url if index_url.startswith("--") else f"--index-url {index_url}"
        self.set_pip_option(option)

    def set_python_version(self, version: str) -> None:
        """Ask for a Python version."""
        self._content["dependencies"] = [
            p for p in self._content["dependencies"] if not (isinstance(p, str) and _PYTHON.match(p))
        ]
        self._content["dependencies"].insert(0, f"python={version}")
        self.python_version_set = True

    def add_channel(self, channel: str) -> None:
        """Add a channel."""
        channels = self._content.setdefault("channels", [])
        if channel not in channels:
            channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        """Remove a channel."""
        self._content["channels"] = [c for c in self.conda_channels if c != channel]

    def add_conda_package(self, conda_package: str) -> None:
        """Add a conda package; a package of the same name is replaced."""
        if _PYTHON.match(conda_package):
            self.set_python_version(conda_package[len("python") :].strip().lstrip("=").strip())
            return
        self.remove_conda_package(conda_package)
        pip = next((i for i, p in enumerate(self._content["dependencies"]) if isinstance(p, dict)), None)
        at = len(self._content["dependencies"]) if pip is None else pip
        self._content["dependencies"].insert(at, conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Remove the conda package of this name."""
        name = package_name(conda_package)
        self._content["dependencies"] = [
            p for p in self._content["dependencies"] if not isinstance(p, str) or package_name(p) != name
        ]

    def add_pip_package(self, pip_package: str) -> None:
        """Add a pip package; a package of the same name is replaced."""
        if not pip_package.startswith("-"):
            self.remove_pip_package(pip_package)
        self._pip().append(pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        """Remove the pip package of this name."""
        name = package_name(pip_package)
        entries = self._pip()
        entries[:] = [p for p in entries if p.startswith("-") or package_name(p) != name]

    def set_pip_option(self, pip_option: str) -> None:
        """Set a pip option; a setting of the same option is replaced."""
        self.remove_pip_option(pip_option)
        self._pip().insert(0, pip_option)

    def remove_pip_option(self, pip_option: str) -> None:
        """Remove an option by its name."""
        name = pip_option.split(maxsplit=1)[0].split("=", maxsplit=1)[0]
        entries = self._pip()
        entries[:] = [p for p in entries if not p.startswith("-") or p.split()[0].split("=")[0] != name]

    def set_pip_requirements(self, pip_requirements: list[str]) -> None:
        """Replace the pip packages."""
        entries = self._pip()
        entries[:] = [*(p for p in entries if p.startswith("-")), *pip_requirements]

    def add_tensorflow_pip_package(self, core_type: str = "cpu", version: str | None = None) -> None:
        """Add TensorFlow from pip."""
        self.add_pip_package(_tensorflow(core_type, version, "=="))

    def add_tensorflow_conda_package(self, core_type: str = "cpu", version: str | None = None) -> None:
        """Add TensorFlow from conda."""
        self.add_conda_package(_tensorflow(core_type, version, "="))

    # --- writing --------------------------------------------------------------------------------------------

    def save_to_file(self, base_directory: str, conda_file_path: str | None = None) -> str:
        """Write a conda environment file below ``base_directory``; written only by a program.

        :return: the path relative to ``base_directory``.
        """
        name = conda_file_path or "conda_dependencies.yml"
        self.save(str(Path(base_directory) / name))
        return name

    def save(self, path: str | None = None) -> str:
        """Write a conda environment file; written only by a program."""
        target = Path(path or "conda_dependencies.yml")
        if target.is_dir():
            target = target / "conda_dependencies.yml"
        if is_program():
            target.write_text(self.serialize_to_string(), encoding="utf-8")
        return str(target)


def _tensorflow(core_type: str, version: str | None, equals: str) -> str:
    name = "tensorflow-gpu" if core_type == "gpu" else "tensorflow"
    return name if version is None else f"{name}{equals}{version}"


def existing_file(path: str | os.PathLike[str], what: str) -> Path:
    """The file that an author's path means.

    :raises UserErrorException: there is none; says where it was looked for.
    """
    source = calling_source()
    found = find_file(path, source)
    if found is None or not found.is_file():
        raise UserErrorException(f"The {what} {str(path)!r} does not exist; looked in {looked_in(path, source)}.")
    return found


def requirement_lines(file: Path) -> list[str]:
    """Packages and options of a pip requirements file, files that it includes put in their place.

    :raises UserErrorException: an included file is missing, or files include each other in a circle.
    """
    return _lines(file, ())


def _lines(file: Path, including: tuple[Path, ...]) -> list[str]:
    if file in including:
        raise UserErrorException(f"The requirements file {file} includes itself.")
    if not file.is_file():
        raise UserErrorException(f"The requirements file {file} does not exist.")
    found = []
    text = re.sub(r"\\\r?\n", " ", file.read_text(encoding="utf-8-sig"))
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        included = re.match(r"(?:-r|--requirement)[\s=]*(\S.*)$", line)
        if included:
            found += _lines(file.parent / included[1].strip(), (*including, file))
        elif line:
            found.append(re.sub(r"\s+--hash=\S+", "", line))
    return found
