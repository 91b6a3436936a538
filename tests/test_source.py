"""What is claimed of the user's source, and what is not: small repositories of the classes of mistakes that incidents come from."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

import triage
from conftest import Program
from repositories import Repository, claims, log_of, look, python_trace
from triage.diagnosis.repo import clues as clues_of
from triage.diagnosis.repo.history import open_history
from triage.diagnosis.repo.tree import Tree
from triage.engine import Options
from triage.intake.stacks import Frame

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MINUTES = timedelta(minutes=-15)  # a commit while the log runs, before the failure
AFTER = timedelta(minutes=-50)  # a commit when the failure is there already

BASKET = "from shop.rates import convert\n\n\ndef total(basket):\n    return convert(basket)\n"
RATES = "def convert(basket):\n    return sum(basket)\n"
MISSING = python_trace(
    [("shop/basket.py", 1, "<module>", "from shop.rates import convert")],
    "ModuleNotFoundError: No module named 'shop.rates'",
)


def shop(tmp_path: Path) -> Repository:
    repository = Repository.at(tmp_path / "source")
    files = {
        "shop/__init__.py": "",
        "shop/basket.py": BASKET,
        "shop/rates.py": RATES,
        "requirements.txt": "flask==3.0\n",
    }
    repository.commit("Begin", files, before=9 * DAY)
    return repository


def test_a_module_that_a_commit_moved_is_traced_to_that_commit(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=DAY)
    repository.git("mv", "shop/rates.py", "shop/tariffs.py")
    bad = repository.commit("Call rates tariffs", {}, before=MINUTES)
    (brought,) = claims(look(tmp_path, repository.folder, MISSING), "introduced")
    assert (brought.basis, brought.commit, brought.subject) == ("proven", bad, "Call rates tariffs")
    assert "moved `shop/rates.py` to `shop/tariffs.py`" in brought.text
    assert "`shop/basket.py:1` still asks for it" in brought.text


def test_a_frame_is_shown_with_its_line_and_what_stands_around_it(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Drop the rates", {"shop/rates.py": None}, before=HOUR)
    (raised,) = claims(look(tmp_path, repository.folder, MISSING), "raised")
    assert (raised.file, raised.line, raised.basis) == ("shop/basket.py", 1, "proven")
    assert [(c.number, c.meant) for c in raised.code] == [(1, True), (2, False), (3, False)]
    assert raised.code[0].text == "from shop.rates import convert"


def test_a_commit_after_the_onset_is_never_named(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit("Drop the rates", {"shop/rates.py": None}, before=HOUR)
    later = repository.commit("Bring the rates back", {"shop/rates.py": RATES}, before=AFTER)
    report = look(tmp_path, repository.folder, MISSING)
    assert {c.commit for c in claims(report) if c.commit} >= {bad}
    assert later not in {c.commit for c in claims(report)}
    assert report.source is not None
    assert report.source.revision == bad
    assert any("last commit before the onset" in n for n in report.source.notices)


def test_a_commit_that_touches_other_things_is_only_said_to_coincide(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    other = repository.commit("Say more", {"README.md": "The shop.\n"}, before=MINUTES)
    trace = python_trace([("shop/basket.py", 5, "total", "return convert(basket)")], "ValueError: empty basket")
    report = look(tmp_path, repository.folder, trace)
    assert not claims(report, "introduced")
    (last,) = claims(report, "last")
    assert (last.commit, last.basis) == (other, "suggested")
    assert "Nothing ties it to the failure but the time" in last.text


def test_the_line_that_raises_and_was_written_last_is_proof(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit(
        "Refuse", {"shop/rates.py": "def convert(basket):\n    return basket[0] + 1\n"}, before=MINUTES
    )
    frames = [
        ("shop/basket.py", 5, "total", "return convert(basket)"),
        ("shop/rates.py", 2, "convert", "return basket[0] + 1"),
    ]
    (brought,) = claims(
        look(tmp_path, repository.folder, python_trace(frames, "IndexError: list index out of range")), "introduced"
    )
    assert (brought.commit, brought.file, brought.line) == (bad, "shop/rates.py", 2)


def test_a_folder_without_init_that_the_build_leaves_out(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit(
        "Build",
        {"setup.py": "from setuptools import find_packages, setup\nsetup(packages=find_packages())\n"},
        before=DAY,
    )
    bad = repository.commit(
        "Limit",
        {"shop/limits/rate.py": "LIMIT = 3\n", "shop/basket.py": "from shop.limits.rate import LIMIT\n"},
        before=HOUR,
    )
    trace = python_trace(
        [("site-packages/shop/basket.py", 1, "<module>", "from shop.limits.rate import LIMIT")],
        "ModuleNotFoundError: No module named 'shop.limits'", root="/venv/lib/python3.12",
    )  # fmt: skip
    report = look(tmp_path, repository.folder, trace)
    (brought,) = claims(report, "introduced")
    assert (brought.commit, brought.basis) == (bad, "proven")
    assert any("has no `__init__.py`" in c.text and "setup.py" in c.text for c in claims(report, "missing", "proven"))


@pytest.mark.parametrize(
    ("manifest", "before", "after", "trace", "words"),
    [
        (
            "requirements.txt", "flask==3.0\nPyYAML==6.0\n", "flask==3.0\n",
            python_trace([("app.py", 1, "<module>", "import yaml")], "ModuleNotFoundError: No module named 'yaml'"), "took `PyYAML==6.0` out",
        ),
        (
            "pyproject.toml", '[project]\ndependencies = [\n  "httpx>=0.27",\n  "stripe>=9",\n]\n', '[project]\ndependencies = [\n  "httpx>=0.27",\n]\n',
            python_trace([("app.py", 1, "<module>", "import stripe")], "ModuleNotFoundError: No module named 'stripe'"), "out of `pyproject.toml`",
        ),
        (
            "package.json", '{"dependencies": {\n"pg": "8",\n"express": "4"\n}}', '{"dependencies": {\n"express": "4"\n}}',
            "Error: Cannot find module 'pg'\nRequire stack:\n- /usr/src/app/db.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)\n"
            "    at Object.<anonymous> (/usr/src/app/db.js:1:12)", "out of `package.json`",
        ),
        (
            "package.json", '{"dependencies": {\n"pg": "8",\n"express": "4"\n}}', '{"dependencies": {\n"express": "4"\n},\n"devDependencies": {\n"pg": "8"\n}}',
            "Error: Cannot find module 'pg'\nRequire stack:\n- /usr/src/app/db.js\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)\n"
            "    at Object.<anonymous> (/usr/src/app/db.js:1:12)", "dependencies of development",
        ),
        (
            "Gemfile", 'source "https://rubygems.org"\ngem "pg"\ngem "sidekiq"\n', 'source "https://rubygems.org"\ngem "pg"\n',
            "/usr/local/lib/ruby/3.2.0/kernel.rb:69:in `require': cannot load such file -- sidekiq (LoadError)\n\tfrom /app/db.rb:1:in `<main>'", "out of `Gemfile`",
        ),
        (
            "pom.xml", "<dependencies>\n<artifactId>postgresql</artifactId>\n</dependencies>\n", "<dependencies>\n</dependencies>\n",
            "java.lang.ClassNotFoundException: org.postgresql.Driver\n\tat java.base/java.net.URLClassLoader.findClass(URLClassLoader.java:445)\n"
            "\tat com.acme.shop.Db.open(Db.java:3)", "out of `pom.xml`",
        ),
    ],
    ids=["requirements", "pyproject", "package", "development", "gemfile", "maven"],
)  # fmt: skip
def test_a_dependency_that_left_the_manifest_is_traced_to_its_commit(
    tmp_path: Path, manifest: str, before: str, after: str, trace: str, words: str
) -> None:
    repository = Repository.at(tmp_path / "source")
    code = {
        "app.py": "import yaml\nimport stripe\n",
        "db.js": "const pg = require('pg')\n",
        "db.rb": "require 'sidekiq'\n",
    }
    java = {"src/main/java/com/acme/shop/Db.java": "package com.acme.shop;\n\nclass Db { void open() { load(); } }\n"}
    repository.commit("Begin", {manifest: before, **code, **java}, before=9 * DAY)
    bad = repository.commit("Tidy the dependencies", {manifest: after}, before=MINUTES)
    found = claims(look(tmp_path, repository.folder, trace), "introduced")
    assert [(c.commit, c.basis) for c in found] == [(bad, "proven")]
    assert words in found[0].text


def test_a_dependency_that_was_never_declared(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit("Pay", {"shop/basket.py": "import stripe\n"}, before=DAY)
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR)
    trace = python_trace(
        [("shop/basket.py", 1, "<module>", "import stripe")], "ModuleNotFoundError: No module named 'stripe'"
    )
    report = look(tmp_path, repository.folder, trace)
    assert any("declared in none of `requirements.txt`" in c.text for c in claims(report, "missing", "proven"))
    assert [(c.commit, c.basis) for c in claims(report, "introduced")] == [(bad, "proven")]


def test_a_declared_dependency_points_at_the_build(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit(
        "Pay", {"shop/basket.py": "import flask_login\n", "requirements.txt": "Flask-Login>=0.6\n"}, before=DAY
    )
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR)
    trace = python_trace(
        [("shop/basket.py", 1, "<module>", "import flask_login")], "ModuleNotFoundError: No module named 'flask_login'"
    )
    report = look(tmp_path, repository.folder, trace)
    assert not claims(report, "introduced")
    assert any("requirements.txt:1` declares" in c.text for c in claims(report, "present", "suggested"))


@pytest.mark.parametrize(
    ("file", "rule"),
    [(".dockerignore", "shop/rates*"), (".dockerignore", "**/rates.py"), (".gcloudignore", "rates.py")],
)
def test_a_module_that_an_ignore_file_keeps_out_of_the_image(tmp_path: Path, file: str, rule: str) -> None:
    repository = shop(tmp_path)
    bad = repository.commit("Make the image smaller", {file: f"docs/\n{rule}\n"}, before=HOUR)
    report = look(tmp_path, repository.folder, MISSING)
    (kept,) = claims(report, "missing", "proven")
    assert (kept.file, kept.line) == (file, 2)
    assert [c.commit for c in claims(report, "introduced", "proven")] == [bad]


def test_a_module_that_git_ignores_is_not_in_the_commit(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit(
        "Load settings", {"shop/basket.py": "from shop.local import KEY\n", ".gitignore": "local.py\n"}, before=DAY
    )
    trace = python_trace(
        [("shop/basket.py", 1, "<module>", "from shop.local import KEY")],
        "ModuleNotFoundError: No module named 'shop.local'",
    )
    (kept,) = claims(look(tmp_path, repository.folder, trace), "missing", "proven")
    assert "`.gitignore:1` (`local.py`) keeps it out of git" in kept.text


def test_a_dockerfile_that_copies_other_folders_only(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Ship", {"Dockerfile": "FROM python\nCOPY requirements.txt .\nCOPY web/ web/\n"}, before=DAY)
    (left,) = claims(look(tmp_path, repository.folder, MISSING), "missing")
    assert (left.basis, left.file, left.line) == ("suggested", "Dockerfile", 3)


@pytest.mark.parametrize(
    ("before", "after", "file", "trace", "words"),
    [
        (
            RATES, "def to_euro(basket):\n    return sum(basket)\n", "shop/rates.py",
            python_trace([("shop/basket.py", 1, "<module>", "from shop.rates import convert")], "ImportError: cannot import name 'convert' from 'shop.rates' (/app/shop/rates.py)"),
            "renamed `convert` to `to_euro`",
        ),
        (
            "exports.convert = (b) => b\nexports.other = 1\n", "exports.other = 1\n", "src/rates.js",
            "TypeError: rates.convert is not a function\n    at total (/app/src/basket.js:2:16)", "removed `convert`",
        ),
        (
            "class Rates\n  def convert(b)\n    b\n  end\nend\n", "class Rates\n  def to_euro(b)\n    b\n  end\nend\n", "app/rates.rb",
            "NoMethodError: undefined method `convert' for an instance of Rates\napp/basket.rb:2:in `total'", "renamed `convert` to `to_euro`",
        ),
        (
            "<?php\nclass Rates {\n  public function convert($b) { return $b; }\n}\n", "<?php\nclass Rates {\n  public function toEuro($b) { return $b; }\n}\n",
            "src/Rates.php", "PHP Fatal error:  Uncaught Error: Call to undefined method App\\Rates::convert() in /app/src/Basket.php:2\nStack trace:\n#0 {main}",
            "renamed `convert` to `toEuro`",
        ),
    ],
    ids=["python", "javascript", "ruby", "php"],
)  # fmt: skip
def test_a_name_that_was_renamed_or_removed(
    tmp_path: Path, before: str, after: str, file: str, trace: str, words: str
) -> None:
    repository = Repository.at(tmp_path / "source")
    callers = {
        "shop/__init__.py": "", "shop/basket.py": BASKET, "src/basket.js": "const rates = require('./rates')\nconst total = b => rates.convert(b)\n",
        "app/basket.rb": "def total(b)\n  Rates.new.convert(b)\nend\n", "src/Basket.php": "<?php\n$r = (new Rates)->convert($b);\n",
    }  # fmt: skip
    repository.commit("Begin", {**callers, file: before}, before=9 * DAY)
    bad = repository.commit("Clearer names", {file: after}, before=HOUR)
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    found = claims(look(tmp_path, repository.folder, trace), "introduced")
    assert [(c.commit, c.basis) for c in found] == [(bad, "proven")]
    assert words in found[0].text


def test_a_signature_that_changed(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit(
        "Ask for the currency", {"shop/rates.py": RATES.replace("(basket)", "(basket, currency)")}, before=HOUR
    )
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    trace = python_trace(
        [("shop/basket.py", 5, "total", "return convert(basket)")],
        "TypeError: convert() missing 1 required positional argument: 'currency'",
    )
    (brought,) = claims(look(tmp_path, repository.folder, trace), "introduced")
    assert (brought.commit, brought.basis) == (bad, "proven")
    assert "`def convert(basket):` became `def convert(basket, currency):`" in brought.text


def test_fields_that_were_added_are_missed_by_old_data(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    model = "class User:\n    def __init__(self, id):\n        self.id = id\n"
    repository.commit("Begin", {"shop/user.py": f"from dataclasses import dataclass\n\n\n{model}"}, before=DAY)
    bad = repository.commit(
        "Know more of users",
        {
            "shop/user.py": "@dataclass\nclass User:\n    id: int\n    full_name: str\n    phone: str\n\nold = User(**{})\n"
        },
        before=HOUR,
    )
    trace = python_trace(
        [("shop/user.py", 7, "<module>", "old = User(**{})")],
        "TypeError: User.__init__() missing 2 required positional arguments: 'full_name' and 'phone'",
    )
    assert [c.commit for c in claims(look(tmp_path, repository.folder, trace), "introduced", "proven")] == [bad]


def test_a_setting_that_the_code_newly_needs(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    repository.commit(
        "Begin",
        {"src/config.js": "const port = process.env.PORT\n", "compose.yaml": "environment:\n  PORT: 80\n"},
        before=9 * DAY,
    )
    bad = repository.commit(
        "Sign",
        {"src/config.js": "const port = process.env.PORT\nif (!process.env.SIGNING_KEY) throw new Error('x')\n"},
        before=HOUR,
    )
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    trace = "Error: Missing required environment variable SIGNING_KEY\n    at Object.<anonymous> (/usr/src/app/src/config.js:2:38)"
    report = look(tmp_path, repository.folder, trace)
    assert [(c.commit, c.basis) for c in claims(report, "introduced")] == [(bad, "proven")]
    assert any("no file of the source sets it" in c.text for c in claims(report, "setting"))


def test_a_setting_that_left_the_deployment(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    deployment = "env:\n  - name: SIGNING_KEY\n    value: x\n  - name: PORT\n"
    repository.commit(
        "Begin",
        {"app.py": 'import os\nKEY = os.environ["SIGNING_KEY"]\n', "deploy/web.yaml": deployment},
        before=9 * DAY,
    )
    bad = repository.commit("Tidy", {"deploy/web.yaml": "env:\n  - name: PORT\n"}, before=HOUR)
    trace = python_trace([("app.py", 2, "<module>", 'KEY = os.environ["SIGNING_KEY"]')], "KeyError: 'SIGNING_KEY'")
    (brought,) = claims(look(tmp_path, repository.folder, trace), "introduced")
    assert (brought.commit, brought.basis, brought.file) == (bad, "proven", "deploy/web.yaml")


@pytest.mark.parametrize(
    ("file", "before", "after", "text"),
    [
        ("config/db.yaml", "pool_size: 20\n", "pool_size: 2\n", "sqlalchemy.exc.TimeoutError: QueuePool limit of size 2 overflow 0 reached, connection timed out, timeout 30.00"),
        ("app/http.py", "client = Client(timeout=30.0)\n", "client = Client(timeout=0.5)\n", "httpx.ReadTimeout: timed out after timeout of 500 ms"),
        (".env.production", "DATABASE_URL=postgres://db-a.internal:5432/shop\n", "DATABASE_URL=postgres://db-b.internal:5432/shop\n",
         'psycopg2.OperationalError: could not translate host name "db-b.internal" to address: Name or service not known'),
    ],
    ids=["pool", "timeout", "host"],
)  # fmt: skip
def test_a_changed_value_that_the_failure_quotes_is_proof(
    tmp_path: Path, file: str, before: str, after: str, text: str
) -> None:
    repository = Repository.at(tmp_path / "source")
    repository.commit("Begin", {file: before, "app/web.py": "load()\n"}, before=9 * DAY)
    bad = repository.commit("Tune", {file: after}, before=HOUR)
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    found = claims(
        look(tmp_path, repository.folder, python_trace([("app/web.py", 1, "<module>", "load()")], text)), "introduced"
    )
    assert [(c.commit, c.basis, c.file) for c in found] == [(bad, "proven", file)]


def test_a_changed_value_of_the_same_kind_is_only_suggested(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    repository.commit("Begin", {"config/db.yaml": "pool_size: 20\n", "app/web.py": "load()\n"}, before=9 * DAY)
    bad = repository.commit("Tune", {"config/db.yaml": "pool_size: 2\n"}, before=HOUR)
    text = "sqlalchemy.exc.TimeoutError: QueuePool limit reached, connection timed out"
    report = look(tmp_path, repository.folder, python_trace([("app/web.py", 1, "<module>", "load()")], text))
    assert not claims(report, "introduced")
    assert [(c.commit, c.basis) for c in claims(report, "setting")] == [(bad, "suggested")]


def test_a_column_that_no_migration_makes(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    files = {
        "migrations/001_orders.sql": "CREATE TABLE orders (id int);\n",
        "app/orders.py": 'SQL = "SELECT id FROM orders"\nrun(SQL)\n',
    }
    repository.commit("Begin", files, before=9 * DAY)
    bad = repository.commit(
        "Show currencies", {"app/orders.py": 'SQL = "SELECT id, currency FROM orders"\nrun(SQL)\n'}, before=HOUR
    )
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    trace = python_trace(
        [("app/orders.py", 2, "<module>", "run(SQL)")],
        'psycopg2.errors.UndefinedColumn: column "currency" does not exist',
    )
    report = look(tmp_path, repository.folder, trace)
    assert [(c.commit, c.basis) for c in claims(report, "introduced")] == [(bad, "proven")]
    assert any("No migration of the source makes `currency`" in c.text for c in claims(report, "missing", "proven"))


def test_a_migration_that_is_there_has_not_run(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    files = {
        "migrations/001_orders.sql": "CREATE TABLE orders (id int, currency text);\n",
        "app/orders.py": 'run("SELECT currency FROM orders")\n',
    }
    repository.commit("Begin", files, before=9 * DAY)
    trace = python_trace(
        [("app/orders.py", 1, "<module>", 'run("SELECT currency FROM orders")')],
        'psycopg2.errors.UndefinedColumn: column "currency" does not exist',
    )
    (made,) = claims(look(tmp_path, repository.folder, trace), "present")
    assert (made.file, made.line, made.basis) == ("migrations/001_orders.sql", 1, "suggested")


# -- where a frame stands ---------------------------------------------------------------------------------------------


def tree_of(tmp_path: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return Tree.of(tmp_path, None, None, [])


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("/app/services/pay/views.py", "services/pay/views.py"),
        ("/usr/src/app/web/views.py", "web/views.py"),
        ("/workspace/main.py", "main.py"),
        ("C:\\work\\services\\pay\\views.py", "services/pay/views.py"),
        ("file:///app/web/views.py", "web/views.py"),
        ("/venv/lib/python3.12/site-packages/pay/views.py", None),
        ("/venv/lib/python3.12/site-packages/web/views.py", "web/views.py"),
        ("/app/other/thing/models.py", None),
        ("<string>", None),
        ("node:internal/main.js", None),
    ],
)
def test_a_frame_of_an_image_is_found_by_the_end_of_its_path(tmp_path: Path, file: str, path: str | None) -> None:
    tree = tree_of(
        tmp_path, dict.fromkeys(["services/pay/views.py", "web/views.py", "main.py", "deep/down/models.py"], "a\nb\n")
    )
    placed = tree.place(Frame("f", file, 2))
    assert (placed.path if placed else None) == path


def test_a_frame_that_fits_two_files_says_so_unless_its_code_tells_them_apart(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"a/web/views.py": "one()\n", "b/web/views.py": "two()\n"})
    unsure = tree.place(Frame("f", "/app/web/views.py", 1))
    assert unsure is not None
    assert (unsure.sure, unsure.others) == (False, ("b/web/views.py",))
    sure = tree.place(Frame("f", "/app/web/views.py", 1, code="two()"))
    assert sure is not None
    assert (sure.path, sure.sure) == ("b/web/views.py", True)


def test_a_java_frame_is_found_by_its_package(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path, {"a/src/main/java/com/acme/pay/Db.java": "x\ny\n", "b/src/main/java/com/acme/shop/Db.java": "x\ny\n"}
    )
    placed = tree.place(Frame("com.acme.shop.Db.open", "Db.java", 2))
    assert placed is not None
    assert (placed.path, placed.line, placed.sure) == ("b/src/main/java/com/acme/shop/Db.java", 2, True)


def test_a_built_file_leads_to_its_source_without_a_line(tmp_path: Path) -> None:
    placed = tree_of(tmp_path, {"src/api/user.ts": "a\n"}).place(Frame("f", "/app/dist/api/user.js", 40))
    assert placed is not None
    assert (placed.path, placed.line, placed.sure) == ("src/api/user.ts", None, False)


def test_a_line_that_reads_differently_is_no_proof(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, {"web/views.py": "one()\ntwo()\n"})
    moved = tree.place(Frame("f", "/app/web/views.py", 1, code="two()"))
    other = tree.place(Frame("f", "/app/web/views.py", 1, code="three()"))
    assert moved is not None
    assert other is not None
    assert (moved.line, moved.sure, other.differs, other.sure) == (2, True, True, False)


# -- the folder is only read ------------------------------------------------------------------------------------------


def test_nothing_of_a_hostile_repository_is_run(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit(
        "Drop the rates", {"shop/rates.py": None, ".gitattributes": "* diff=evil filter=evil\n"}, before=HOUR
    )
    trap, mark = tmp_path / "trap.sh", tmp_path / "trapped"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n", encoding="utf-8")
    trap.chmod(0o755)
    settings = {
        "core.fsmonitor": trap, "core.pager": trap, "pager.log": trap, "pager.blame": trap, "diff.external": trap, "diff.evil.textconv": trap,
        "diff.evil.command": trap, "filter.evil.clean": trap, "filter.evil.smudge": trap, "core.sshCommand": trap, "core.editor": trap,
        "gpg.program": trap, "log.showSignature": "true", "alias.log": f"!{trap}", "core.hooksPath": tmp_path / "hooks",
    }  # fmt: skip
    for name, value in settings.items():
        repository.git("config", name, str(value))
    shutil.copy(trap, repository.folder / "shop" / "sitecustomize.py")
    before = {p: p.stat().st_mtime_ns for p in repository.folder.rglob("*")}
    report = look(tmp_path, repository.folder, MISSING)
    assert [c.commit for c in claims(report, "introduced")] == [bad]
    assert not mark.exists()
    assert {p: p.stat().st_mtime_ns for p in repository.folder.rglob("*")} == before


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("KEY = 1\n", encoding="utf-8")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.py").symlink_to(tmp_path / "secret.py")
    assert Tree.of(folder, None, None, []).files == ()


def test_a_folder_without_history_still_shows_its_lines(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "basket.py").write_text(BASKET, encoding="utf-8")
    report = look(tmp_path, folder, MISSING)
    assert report.source is not None
    assert report.source.revision is None
    assert any("no git repository" in n for n in report.source.notices)
    assert claims(report, "raised")[0].code
    assert not any(c.commit for c in claims(report))


def test_without_git_the_source_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = shop(tmp_path)
    monkeypatch.setattr("triage.diagnosis.repo.history.shutil.which", lambda _: None)
    report = look(tmp_path, repository.folder, MISSING)
    assert report.source is not None
    assert any("git is not installed" in n for n in report.source.notices)
    assert claims(report, "raised")


def test_git_that_takes_too_long_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = shop(tmp_path)
    monkeypatch.setattr("triage.diagnosis.repo.history.TOTAL_S", 0.0)
    notes: list[str] = []
    with open_history(repository.folder, notes) as history:
        assert history is None
    assert any("as long as is allowed" in n for n in notes)


def test_a_folder_inside_a_repository_is_looked_at_by_itself(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "all")
    files = {
        "services/shop/shop/__init__.py": "",
        "services/shop/shop/basket.py": BASKET,
        "services/shop/shop/rates.py": RATES,
    }
    repository.commit("Begin", {**files, "services/other/shop/basket.py": BASKET}, before=9 * DAY)
    bad = repository.commit("Drop the rates", {"services/shop/shop/rates.py": None}, before=HOUR)
    report = look(tmp_path, repository.folder / "services" / "shop", MISSING)
    (brought,) = claims(report, "introduced")
    assert (brought.commit, brought.file) == (bad, "shop/rates.py")
    assert claims(report, "raised", "proven")


def test_odd_names_and_merges_are_read(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Odd", {"shop/ä b\tc.py": "x = 1\n", ":(glob)**.py": "y = 1\n"}, before=2 * DAY)
    repository.git("checkout", "-q", "-b", "topic")
    bad = repository.commit("Drop the rates", {"shop/rates.py": None}, before=DAY)
    repository.git("checkout", "-q", "main")
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR)
    repository.git("merge", "-q", "--no-ff", "topic", "-m", "Merge")
    repository.git("commit", "-q", "--amend", "--no-edit", "--date", "2026-03-02T09:50:00Z")
    assert bad in {c.commit for c in claims(look(tmp_path, repository.folder, MISSING), "introduced", "proven")}


# -- how it is told ---------------------------------------------------------------------------------------------------


def test_every_output_shows_the_claims(tmp_path: Path, triage: Program) -> None:
    repository = shop(tmp_path)
    bad = repository.commit("Drop the `rates`", {"shop/rates.py": None}, before=HOUR)
    log = tmp_path / "app.log"
    log.write_text(log_of(MISSING), encoding="utf-8")
    outs = {
        to: triage("analyze", log, "--repo", repository.folder, "--format", to).out
        for to in ("terminal", "md", "html", "json")
    }
    for to in ("terminal", "md", "html"):
        assert "In the source" in outs[to]
        assert bad[:10] in outs[to]
        assert "from shop.rates import convert" in outs[to]
        assert "proven" in outs[to]
    claim = json.loads(outs["json"])["source"]["claims"][0]
    assert (claim["commit"], claim["basis"], claim["author_date"]) == (bad, "proven", "2026-03-02T09:00:00Z")
    assert {"text", "file", "line", "code", "evidence", "kind", "failure", "subject"} <= claim.keys()


def test_without_repo_there_is_no_section(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(log_of(MISSING), encoding="utf-8")
    report = triage.analyze(log)
    assert report.source is None
    assert "In the source" not in triage.render(report, "md")


def test_a_secret_in_a_line_of_code_is_hidden(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    secret = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    code = f'API_TOKEN = "{secret}"\nfrom shop.rates import convert\n'
    repository.commit("Pay", {"shop/basket.py": code, "shop/rates.py": None}, before=HOUR)
    trace = python_trace(
        [("shop/basket.py", 2, "<module>", "from shop.rates import convert")],
        "ModuleNotFoundError: No module named 'shop.rates'",
    )
    report = look(tmp_path, repository.folder, trace)
    assert all(secret not in triage.render(report, to) for to in ("md", "html", "json", "terminal"))


def test_a_healthy_log_makes_no_claim(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    log = tmp_path / "app.log"
    log.write_text(log_of("x", times=0), encoding="utf-8")
    report = triage.analyze(log, Options(repo=repository.folder))
    assert report.healthy
    assert report.source is not None
    assert report.source.claims == ()


def test_the_same_source_gives_the_same_claims(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Drop the rates", {"shop/rates.py": None}, before=HOUR)
    one, other = (look(tmp_path, repository.folder, MISSING) for _ in range(2))
    assert one.source == other.source


def test_the_clues_find_what_their_examples_name() -> None:
    assert clues_of.check_samples(clues_of.load_lexicon()) == []


def test_a_package_that_was_given_another_version_is_suggested(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    bad = repository.commit("Renew", {"requirements.txt": "flask==3.1\nhttpx==0.28\n"}, before=HOUR)
    trace = python_trace([("app/shop/basket.py", 5, "total", "return convert(basket)")], "", root="")
    inside = (
        '  File "/venv/lib/python3.12/site-packages/flask/app.py", line 9, in run\n    go()\nRuntimeError: no context'
    )
    report = look(tmp_path, repository.folder, trace.strip() + "\n" + inside)
    assert not claims(report, "introduced")
    assert any(
        c.commit == bad and "`flask==3.0` to `flask==3.1`" in c.text for c in claims(report, "changed", "suggested")
    )


def test_a_module_of_the_language_points_at_the_image(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    files = {"Dockerfile": "FROM python:3.11-slim\nCOPY . .\n", "shop/basket.py": "import distutils\n"}
    repository.commit("Ship", files, before=2 * DAY)
    bad = repository.commit("Renew the image", {"Dockerfile": "FROM python:3.12-slim\nCOPY . .\n"}, before=HOUR)
    trace = python_trace(
        [("shop/basket.py", 1, "<module>", "import distutils")], "ModuleNotFoundError: No module named 'distutils'"
    )
    report = look(tmp_path, repository.folder, trace)
    assert not claims(report, "introduced")
    assert not claims(report, "missing")
    assert any(c.commit == bad and c.file == "Dockerfile" for c in claims(report, "changed", "suggested"))


def test_a_command_that_starts_another_file_is_quoted_by_the_failure(tmp_path: Path) -> None:
    repository = Repository.at(tmp_path / "source")
    files = {"src/main.js": "run()\n", "Dockerfile": 'FROM node:22\nCOPY . .\nCMD ["node", "src/main.js"]\n'}
    repository.commit("Begin", files, before=9 * DAY)
    bad = repository.commit(
        "Build", {"Dockerfile": 'FROM node:22\nCOPY . .\nCMD ["node", "dist/bundle.js"]\n'}, before=HOUR
    )
    repository.commit("Say more", {"README.md": "The shop.\n"}, before=HOUR / 2)
    trace = "Error: Cannot find module '/app/dist/bundle.js'\n    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)"
    report = look(tmp_path, repository.folder, trace)
    assert bad in {c.commit for c in claims(report)}


def test_a_shallow_clone_proves_nothing_by_its_first_commit(tmp_path: Path) -> None:
    repository = shop(tmp_path)
    repository.commit("Drop", {"migrations/2.sql": "ALTER TABLE orders DROP COLUMN currency;\n"}, before=DAY)
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(tmp_path / "shallow"))
    trace = python_trace(
        [("shop/basket.py", 5, "total", "return convert(basket)")],
        'psycopg2.errors.UndefinedColumn: column "currency" does not exist',
    )
    report = look(tmp_path, tmp_path / "shallow", trace)
    assert not claims(report, "introduced")
    assert report.source is not None
    assert any("shallow" in n for n in report.source.notices)
    whole = look(tmp_path, repository.folder, trace)
    assert claims(whole, "introduced", "proven")
