"""One traceback of each language and form: read, and put together among plain lines and below headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from triage.engine import read
from triage.intake.stacks import parse_stack

# name: (the traceback, the types of its exceptions with the root cause first)
TRACES: dict[str, tuple[str, list[str]]] = {
    "Python with markers": (
        """\
Traceback (most recent call last):
  File "/srv/a.py", line 3, in <module>
    main(x, y)
    ~~~~^^^^^^
  File "/srv/b.py", line 9, in main
    return 1 / 0
           ~~^~~
ZeroDivisionError: division by zero""",
        ["ZeroDivisionError"],
    ),
    "Python, recursion": (
        """\
Traceback (most recent call last):
  File "/srv/a.py", line 3, in f
    f()
    ~^^
  [Previous line repeated 996 more times]
RecursionError: maximum recursion depth exceeded""",
        ["RecursionError"],
    ),
    "Python, a group": (
        """\
  + Exception Group Traceback (most recent call last):
  |   File "/srv/a.py", line 3, in <module>
  |     raise ExceptionGroup("many", [ValueError(1), TypeError(2)])
  | ExceptionGroup: many (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------""",
        ["ExceptionGroup"],
    ),
    "Python, a group in a chain": (
        """\
Traceback (most recent call last):
  File "/srv/a.py", line 3, in <module>
    raise KeyError("x")
KeyError: 'x'

During handling of the above exception, another exception occurred:

  + Exception Group Traceback (most recent call last):
  |   File "/srv/a.py", line 5, in <module>
  |     raise ExceptionGroup("many", [ValueError(1)])
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/srv/a.py", line 2, in g
    |     raise ValueError(1)
    | ValueError: 1
    +------------------------------------""",
        ["KeyError", "ValueError", "ExceptionGroup"],
    ),
    "Python, a thread": (
        """\
Exception in thread Thread-1 (worker):
Traceback (most recent call last):
  File "/usr/lib/python3.12/threading.py", line 1073, in _bootstrap_inner
    self.run()
  File "/srv/w.py", line 8, in worker
    q.get(timeout=1)
_queue.Empty""",
        ["_queue.Empty"],
    ),
    "Python, a task": (
        """\
Task exception was never retrieved
future: <Task finished name='Task-5' coro=<work() done, defined at /srv/a.py:3> exception=OSError('no')>
Traceback (most recent call last):
  File "/srv/a.py", line 4, in work
    raise OSError("no")
OSError: no""",
        ["OSError"],
    ),
    "Python, a dying interpreter": (
        """\
Fatal Python error: Segmentation fault

Current thread 0x00007f3a2c11d000 (most recent call first):
  File "/srv/a.py", line 3 in crash
  File "/srv/a.py", line 9 in <module>

Thread 0x00007f3a2c11e000 (most recent call first):
  File "/usr/lib/python3.12/threading.py", line 355 in wait

Extension modules: numpy._core (total: 1)""",
        ["Fatal Python error"],
    ),
    "Python, drawn by rich": (
        """\
╭─────────────────────────────── Traceback (most recent call last) ────────────────────────────────╮
│ /srv/shop/a.py:12 in <module>                                                                    │
│                                                                                                  │
│    9 def f(x):                                                                                   │
│   10     return 1 / x                                                                            │
│   11                                                                                             │
│ ❱ 12 f(0)                                                                                        │
│                                                                                                  │
│ /srv/shop/a.py:10 in f                                                                           │
│                                                                                                  │
│ ❱ 10     return 1 / x                                                                            │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
ZeroDivisionError: division by zero""",
        ["ZeroDivisionError"],
    ),
    "Python, drawn by loguru": (
        """\
Traceback (most recent call last):

  File "/srv/a.py", line 14, in <module>
    main()
    └ <function main at 0x7f3a2c11d0>

> File "/srv/a.py", line 10, in main
    1 / x
        └ 0

ZeroDivisionError: division by zero""",
        ["ZeroDivisionError"],
    ),
    "Python, a syntax error": (
        """\
Traceback (most recent call last):
  File "/srv/run.py", line 1, in <module>
    import bad
  File "/srv/bad.py", line 3
    def f(
         ^
SyntaxError: '(' was never closed""",
        ["SyntaxError"],
    ),
    "Java": (
        """\
Exception in thread "main" java.lang.IllegalStateException: outer
	at com.shop.A.run(A.java:12)
	at java.base/java.lang.Thread.run(Thread.java:840)
	Suppressed: java.io.IOException: closing
		at com.shop.A.close(A.java:5)
		... 2 more
Caused by: java.lang.NullPointerException: Cannot invoke "String.length()" because "<local1>" is null
	at com.shop.B.go(B.java:3) ~[shop.jar:1.2]
	... 1 common frames omitted""",
        ["java.lang.NullPointerException", "java.lang.IllegalStateException"],
    ),
    "Java, root cause first": (
        """\
java.lang.NullPointerException: inner
	at com.shop.B.go(B.java:3)
	... 4 common frames omitted
Wrapped by: java.lang.RuntimeException: outer
	at com.shop.A.run(A.java:12)""",
        ["java.lang.NullPointerException", "java.lang.RuntimeException"],
    ),
    "Kotlin": (
        """\
kotlinx.coroutines.TimeoutCancellationException: Timed out waiting for 100 ms
	at kotlinx.coroutines.TimeoutKt.TimeoutCancellationException(Timeout.kt:191)
	at _COROUTINE._BOUNDARY._(CoroutineDebugging.kt:46)
	at com.shop.MainKt$main$1.invokeSuspend(Main.kt:9)
Caused by: java.io.IOException: closed
	at com.shop.C.invoke(C.kt:2)""",
        ["java.io.IOException", "kotlinx.coroutines.TimeoutCancellationException"],
    ),
    "Scala": (
        """\
scala.MatchError: 5 (of class java.lang.Integer)
	at shop.Main$.f(Main.scala:3)
	at shop.Main$.$anonfun$main$1(Main.scala:7)
	at scala.collection.immutable.List.map(List.scala:246)""",
        ["scala.MatchError"],
    ),
    "Clojure, told in short": (
        """\
Execution error (ArithmeticException) at user/f (core.clj:3).
Divide by zero""",
        ["ArithmeticException"],
    ),
    "Clojure": (
        """\
java.lang.ArithmeticException: Divide by zero
	at clojure.lang.Numbers.divide(Numbers.java:190)
	at shop.core$f.invokeStatic(core.clj:3)
	at shop.core$fn__123.invoke(core.clj:9)""",
        ["java.lang.ArithmeticException"],
    ),
    "Node, uncaught": (
        """\
/srv/shop/a.js:10
    throw new Error("boom");
    ^

Error: boom
    at f (/srv/shop/a.js:10:11)
    at Object.<anonymous> (/srv/shop/a.js:14:1)
    at Module._compile (node:internal/modules/cjs/loader:1256:14) {
  code: 'EBOOM'
}

Node.js v20.20.2""",
        ["Error"],
    ),
    "Node, with its cause": (
        """\
Error: outer
    at f (/srv/shop/a.js:10:11)
    ... 4 lines matching cause stack trace ...
    at node:internal/main/run_main_module:23:47 {
  [cause]: TypeError: inner
      at g (/srv/shop/b.js:2:9)
      at f (/srv/shop/a.js:9:3)
}""",
        ["TypeError", "Error"],
    ),
    "Node, several errors": (
        """\
AggregateError: All promises were rejected
    at f (/srv/a.js:3:1) {
  [errors]: [
    Error: one
        at g (/srv/a.js:1:9),
    Error: two
        at h (/srv/a.js:2:9)
  ]
}""",
        ["Error", "Error", "AggregateError"],
    ),
    "Go": (
        """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x457c62]

goroutine 1 [running]:
main.(*S).do(...)
	/srv/shop/main.go:8
main.main()
	/srv/shop/main.go:14 +0x1d
exit status 2""",
        ["panic"],
    ),
    "Go, panic again": (
        """\
panic: first [recovered]
	panic: second

goroutine 18 [running]:
testing.tRunner.func1.2({0x10, 0x20})
	/usr/local/go/src/testing/testing.go:1545 +0x238
panic({0x10, 0x20})
	/usr/local/go/src/runtime/panic.go:914 +0x21f
shop.Do(0x1)
	/srv/shop/do.go:9 +0x25
created by testing.(*T).Run in goroutine 1
	/usr/local/go/src/testing/testing.go:1648 +0x3ad""",
        ["panic", "panic"],
    ),
    "Go, all goroutines": (
        """\
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
	/srv/shop/main.go:5 +0x2c

goroutine 6 [select, 2 minutes]:
main.worker()
	/srv/shop/w.go:11 +0x85
created by main.main in goroutine 1
	/srv/shop/main.go:4 +0x1a""",
        ["fatal error"],
    ),
    "Go, errors with stacks": (
        """\
root cause
github.com/acme/shop.load
	/srv/shop/load.go:12
main.main
	/srv/shop/main.go:9
runtime.main
	/usr/local/go/src/runtime/proc.go:250
loading cart
main.main
	/srv/shop/main.go:10""",
        [""],
    ),
    "Rust before 1.73": (
        """\
thread 'main' panicked at 'index out of bounds: the len is 3 but the index is 9', src/main.rs:2:37
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace""",
        ["panic"],
    ),
    "Rust": (
        """\
thread 'main' panicked at src/main.rs:2:37:
index out of bounds: the len is 3 but the index is 9
stack backtrace:
   0: rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:645:5
   1: core::panicking::panic_fmt
             at /rustc/abc/library/core/src/panicking.rs:72:14
   2: shop::load
             at ./src/load.rs:7:9
   3: shop::main
             at ./src/main.rs:3:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.""",
        ["panic"],
    ),
    "Rust with thread ids": (
        """\
thread 'worker-1' (24893) panicked at r.rs:3:127:
called `Option::unwrap()` on a `None` value
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace""",
        ["panic"],
    ),
    "anyhow": (
        """\
Error: cannot start

Caused by:
    0: cannot read config
    1: No such file or directory (os error 2)""",
        ["Error", "Error", "Error"],
    ),
    "anyhow, one cause": (
        """\
Error: cannot start

Caused by:
    No such file or directory (os error 2)""",
        ["Error", "Error"],
    ),
    "eyre": (
        """\
Error:
   0: cannot start
   1: No such file or directory (os error 2)

Location:
   src/main.rs:9""",
        ["Error", "Error"],
    ),
    ".NET": (
        """\
Unhandled exception. System.InvalidOperationException: outer
 ---> System.NullReferenceException: Object reference not set to an instance of an object.
   at Shop.B.Go() in /src/B.cs:line 3
   --- End of inner exception stack trace ---
   at Shop.A.<Run>d__5.MoveNext() in /src/A.cs:line 12
--- End of stack trace from previous location ---
   at Shop.Program.Main(String[] args) in /src/Program.cs:line 7""",
        ["System.NullReferenceException", "System.InvalidOperationException"],
    ),
    "Ruby": (
        """\
app.rb:1:in `divide': divided by 0 (ZeroDivisionError)
	from app.rb:5:in `block in run'
	from app.rb:9:in `<main>'""",
        ["ZeroDivisionError"],
    ),
    "Ruby 3.4": (
        """\
app.rb:1:in 'Integer#/': divided by 0 (ZeroDivisionError)
	from app.rb:5:in 'Shop#run'
	from app.rb:9:in '<main>'""",
        ["ZeroDivisionError"],
    ),
    "Rails": (
        """\
ActiveRecord::RecordNotFound (Couldn't find Order with 'id'=7):

app/controllers/orders_controller.rb:12:in `show'
lib/middleware.rb:3:in `call'""",
        ["ActiveRecord::RecordNotFound"],
    ),
    "PHP": (
        """\
PHP Fatal error:  Uncaught RuntimeException: inner in /srv/a.php:3
Stack trace:
#0 /srv/a.php(9): f()
#1 {main}

Next LogicException: outer in /srv/a.php:11
Stack trace:
#0 {main}
  thrown in /srv/a.php on line 11""",
        ["RuntimeException", "LogicException"],
    ),
    "Elixir": (
        """\
** (RuntimeError) boom
    (shop 0.1.0) lib/shop.ex:12: Shop.run/2
    (stdlib 4.2) timer.erl:235: :timer.tc/1""",
        ["RuntimeError"],
    ),
    "Elixir, a server": (
        """\
[error] GenServer Shop.Worker terminating
** (RuntimeError) boom
    (shop 0.1.0) lib/shop.ex:12: Shop.Worker.handle_call/3
    (stdlib 4.2) gen_server.erl:1149: :gen_server.try_handle_call/4
Last message (from #PID<0.150.0>): :go
State: %{a: 1}""",
        ["RuntimeError"],
    ),
    "Swift": (
        """\
Fatal error: Unexpectedly found nil while unwrapping an Optional value: file Shop/main.swift, line 3
Current stack trace:
0    libswiftCore.so                    0x00007f0 _swift_stdlib_reportFatalErrorInFile + 128
1    shop                               0x00005605 main + 56""",
        ["Fatal error"],
    ),
    "Swift 5.9": (
        """\
Shop/main.swift:3: Fatal error: Unexpectedly found nil while unwrapping an Optional value

*** Signal 4: Backtracing from 0x7f... done ***

*** Program crashed: Illegal instruction at 0x00007f0b ***

Thread 0 "shop" crashed:

0 0x00007f0b _assertionFailure(_:_:file:line:flags:) + 264 in libswiftCore.so
1 0x00005605 load() + 56 in shop at /srv/shop/main.swift:3:9
2 0x00005605 main + 12 in shop at /srv/shop/main.swift:7:1""",
        ["Fatal error"],
    ),
    "Dart": (
        """\
Unhandled exception:
Bad state: No element
#0      List.first (dart:core-patch/growable_array.dart:332:5)
#1      main (file:///srv/shop/main.dart:3:9)
<asynchronous suspension>
#2      _delayEntrypointInvocation.<anonymous closure> (dart:isolate-patch/isolate_patch.dart:297:19)""",
        ["Unhandled exception"],
    ),
    "gdb": (
        """\
Program received signal SIGSEGV, Segmentation fault.
0x0000555 in total (c=0x0) at cart.c:7
#0  0x0000555 in total (c=0x0) at cart.c:7
#1  0x0000556 in main () at main.c:3""",
        ["SIGSEGV"],
    ),
}


@pytest.mark.parametrize("name", TRACES)
def test_its_exceptions_are_read_root_cause_first(name: str) -> None:
    text, types = TRACES[name]
    assert [raised.type for raised in parse_stack(text).exceptions] == types


@pytest.mark.parametrize("name", TRACES)
def test_it_is_one_record_among_plain_lines(name: str, tmp_path: Path) -> None:
    text, _ = TRACES[name]
    log = tmp_path / "app.log"
    log.write_text(f"nothing of note\n{text}\nnothing of note\n{text}\nnothing of note\n", encoding="utf-8")
    size = text.count("\n") + 1
    records = read(log).collect()
    assert records["line"].to_list() == [1, 2, 2 + size, 3 + size, 3 + 2 * size]
    assert records["stack"].is_not_null().to_list() == [False, True, False, True, False]


@pytest.mark.parametrize("name", TRACES)
def test_it_is_one_record_with_the_header_above_it(name: str, tmp_path: Path) -> None:
    text, _ = TRACES[name]
    log = tmp_path / "app.log"
    first, _, rest = text.partition("\n")
    at = "2026-03-02T10:14:0{}.000Z {} app: ".format
    lines = [
        at(1, "INFO") + "fine",
        at(2, "ERROR") + "it failed",
        text,
        at(3, "INFO") + "fine",
        at(4, "ERROR") + first,
        rest,
        at(5, "INFO") + "fine",
    ]
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    size = text.count("\n") + 1
    assert read(log).collect()["line"].to_list() == [1, 2, 3 + size, 4 + size, 4 + 2 * size]
