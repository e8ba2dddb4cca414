# SPDX-License-Identifier: MIT
"""What pip calls to make a wheel (PEP 517), so that it needs neither the network nor setuptools: the
module is two files of Python, and a wheel is a zip of them with three files that say so.
"""
import base64
import hashlib
import pathlib
import re
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = (HERE / "pyproject.toml").read_text()
NAME, VERSION = (re.search(rf'^{key} = "(.*?)"', PROJECT, re.M)[1] for key in ("name", "version"))
INFO = f"{NAME}-{VERSION}.dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {f"{NAME}/{path.name}": path.read_bytes() for path in (HERE / NAME).glob("*.py")}
    files[f"{INFO}/METADATA"] = (f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
                                 "License: MIT\n").encode()
    files[f"{INFO}/WHEEL"] = (b"Wheel-Version: 1.0\nGenerator: memplug\nRoot-Is-Purelib: true\n"
                              b"Tag: py3-none-any\n")
    record = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(data)}\n")
    files[f"{INFO}/RECORD"] = "".join(record + [f"{INFO}/RECORD,,\n"]).encode()
    wheel = f"{NAME}-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, wheel), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel
