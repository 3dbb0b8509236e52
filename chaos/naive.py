#!/usr/bin/env python3
"""A coordinator that fences nothing, behind the product's command line: the lab is tested on it.
With it `chaos run site-partitioned` must find overlapping acknowledgements (S1 broken), and
`chaos run gate-lost` leftovers. It watches the active site's port and promotes after two seconds
of silence; state is one file that all sites share, partition or not.

    cargo run -p chaos -- run site-killed site-partitioned gate-lost --binary chaos/naive.py
"""
import fcntl, json, os, pathlib, signal, socket, subprocess, sys, time, tomllib

AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


class State:
    """state.json under a lock."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.file = self.root / "state.json"

    def __enter__(self):
        self.lock = open(self.root / "state.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.data = json.loads(self.file.read_text()) if self.file.exists() else {"index": 0, "active": {}, "events": []}
        return self

    def elect(self, stack, site):
        self.data["index"] += 1
        self.data["active"][stack] = site
        kind = {"event": "elected", "stack": stack, "site": site}
        self.data["events"].append({"index": self.data["index"], "at": int(time.time() * 1000), "kind": kind})
        self.file.write_text(json.dumps(self.data))

    def __exit__(self, *_):
        self.lock.close()


def config(args):
    path = pathlib.Path(args[args.index("--config") + 1])
    return tomllib.loads(path.read_text()), path


def alive(address, port):
    try:
        socket.create_connection((address, port), 0.5).close()
        return True
    except OSError:
        return False


def sql(directory, port, query):
    command = ["psql", "-XAtq", "-U", "postgres", "-d", "postgres", "-h", str(directory), "-p", str(port), "-c", query]
    return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()


def watch(actor, root):
    """The witness's process does all of it."""
    site = actor["site"]
    silent = {}
    while True:
        time.sleep(0.2)
        with State(root) as state:
            active = dict(state.data["active"])
        for stack in actor["stack"]:
            name, database = stack["name"], stack["database"]
            leader = active.get(name)
            if leader in (None, site):
                continue
            address = stack["primary_conninfo"][leader].split()[0].split("=")[1]
            now = time.monotonic()
            if alive(address, database["port"]):
                silent.pop(name, None)
                follow(root, site, stack, leader)
            elif now - silent.setdefault(name, now) > 2:
                promote(root, site, stack, leader)


def promote(root, site, stack, leader):
    database = stack["database"]
    try:
        if sql(database["host"], database["port"], "select pg_is_in_recovery()") != "t":
            return
        with State(root) as state:
            if state.data["active"].get(stack["name"]) != leader:
                return
            sql(database["host"], database["port"], "select pg_promote(false)")
            state.elect(stack["name"], site)
    except subprocess.TimeoutExpired:
        pass


def follow(root, site, stack, leader):
    database = stack["database"]
    file = pathlib.Path(database["host"]) / "tripoint.conf"
    text = "primary_conninfo = '%s'\n" % stack["primary_conninfo"][leader]
    if file.read_text() != text:
        file.write_text(text)
        sql(database["host"], database["port"], "select pg_reload_conf()")


def gate(args):
    command = args[args.index("--") + 1:]
    ended = []
    child = None

    def end(*_):
        ended.append(1)
        if child:
            child.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, end)
    while not ended:
        child = subprocess.Popen(AS_POSTGRES + command)
        child.wait()
        time.sleep(0.1)


def main():
    args = sys.argv[1:]
    root = os.environ.get("TRIPOINT_HOME", "")
    if args[0] == "certs":
        pathlib.Path(args[args.index("--dir") + 1]).mkdir(parents=True)
    elif args[0] == "witness":
        actor = pathlib.Path(args[args.index("--config") + 1]).parent / "actor.toml"
        watch(tomllib.loads(actor.read_text()), actor.parent.parent)
    elif args[0] == "actor":
        signal.pause()
    elif args[0] == "gate":
        gate(args)
    elif args[0] == "adopt":
        with State(root) as state:
            state.elect(args[args.index("--stack") + 1], args[args.index("--active") + 1])
    elif args[0] in ("status", "events"):
        with State(root) as state:
            data = state.data
        if args[0] == "events":
            print("\n".join(map(json.dumps, data["events"])))
            return
        names = sorted(p.name for p in pathlib.Path(root).glob("dc?"))
        stacks = [{"stack": s, "active": a, "epoch": 1, "transition": None, "closed": False, "takeover": {"to": "any"}}
                  for s, a in data["active"].items()]
        for stack in stacks:
            stack["takeover"]["to"] = next(n for n in names if n != stack["active"])
        sites = [{"site": n, "verdict": "up", "expired": False} for n in names]
        print(json.dumps({"index": data["index"], "leader": names[-1], "sites": sites, "stacks": stacks}))


main()
