"""One command, measured: wall, CPU, memory, and what else the machine did meanwhile."""
import os
import shlex
import signal
import subprocess
import time


class Failed(Exception):
    """A command that did not end as it should: what it was and the last it said."""


def machine():
    """What the figures belong to."""
    def first(path, key):
        with open(path) as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(key)), "unknown")
    return {
        "cpu": first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(first("/proc/meminfo", "MemTotal").split()[0]) / 2**20),
        "kernel": os.uname().release,
        "system": next((x.split("=", 1)[1].strip().strip('"') for x in open("/etc/os-release") if x.startswith("PRETTY_NAME")), "unknown"),
    }


def cpu_of_all():
    """CPU seconds that all processes of the machine used since it started (idle, waiting and stolen time left out)."""
    with open("/proc/stat") as f:
        user, nice, system, _idle, _wait, irq, softirq = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def size_of(folder):
    """Bytes in the regular files below a folder."""
    total = 0
    for at, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(os.path.join(at, name)).st_size
    return total


def fill(template, values):
    """A command line with {names} in it, as arguments. Values may hold any character."""
    return [word.format(**values) for word in shlex.split(template)]


def run(commands, env, log, limit, cwd=None):
    """Runs commands one after the other, and returns their figures as one: seconds, MB of 10^6 bytes, and `rc`.

    Memory is the peak of the largest single process, as the kernel reports it with the exit of a child and of all that the
    child waited for. It counts what the child was before it became the command, so that nothing below this program's own
    size (some 20 MB) can be told. Output goes to the file `log`.
    """
    total = {"rc": 0, "wall": 0.0, "user": 0.0, "sys": 0.0, "rss_mb": 0.0, "others_cpu": 0.0}
    for argv in commands:
        figures = _once(argv, env, log, limit, cwd)
        for key in ("wall", "user", "sys", "others_cpu"):
            total[key] += figures[key]
        total["rss_mb"] = max(total["rss_mb"], figures["rss_mb"])
        total["rc"] = figures["rc"]
        if figures["rc"] != 0:
            break
    total["cpu"] = total["user"] + total["sys"]
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in total.items()}


def _once(argv, env, log, limit, cwd):
    overdue = []
    with open(log, "ab") as out:
        others = cpu_of_all()
        start = time.perf_counter()
        try:
            child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as e:
            out.write(f"{e}\n".encode())
            return {"rc": "not started", "wall": 0.0, "user": 0.0, "sys": 0.0, "rss_mb": 0.0, "others_cpu": 0.0}

        def stop(*_):
            overdue.append(True)
            os.killpg(child.pid, signal.SIGKILL)
        previous = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, limit)
        try:
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - start
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        child.returncode = os.waitstatus_to_exitcode(status)
        others = cpu_of_all() - others
    own = usage.ru_utime + usage.ru_stime
    return {"rc": f"killed after {limit} s" if overdue else child.returncode, "wall": wall, "user": usage.ru_utime, "sys": usage.ru_stime,
            "rss_mb": usage.ru_maxrss * 1024 / 1e6, "others_cpu": max(0.0, others - own)}


def tail(log, length=800):
    """The end of what a command said."""
    with open(log, errors="replace") as f:
        return f.read()[-length:].strip()
