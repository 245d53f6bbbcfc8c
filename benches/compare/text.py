"""Text and rows that compress and repeat as those of an application do, from a seed."""
import base64
import hashlib
import random
import time

WORDS = ("the and of to a in for is on that with by it as from at are this be an or not have was which can will all has one each when then than only "
         "server backup volume account invoice customer order payment delivery address street garden window morning evening river mountain report "
         "meeting project budget contract update version change request answer question number letter picture table column index record shelf "
         "kitchen market price quality colour material machine engine driver ticket train station airport travel summer winter holiday family "
         "teacher student lesson science history language music theatre office manager colleague customer support problem solution reason result "
         "failure success attempt network message signal channel device storage memory process schedule deadline priority weekly monthly").split()
GIVEN = "Ada Ben Cleo Dov Eva Finn Gwen Hugo Iris Jan Kim Leo Mia Nils Olga Paul Rosa Sven Tara Ugo Vera Willem Yara Zeno".split()
FAMILY = "Adler Brandt Costa Duval Eriksen Ferri Grant Holm Ito Jansen Kovac Lund Moreau Nagy Okafor Pinto Ruiz Sato Torres Urban Vidal Wolff Young Zimmer".split()
KINDS = ("view", "search", "login", "cart", "logout")
STATES = ("new", "paid", "packed", "sent", "closed")


def digest(*key):
    return hashlib.blake2b(repr(key).encode(), digest_size=48).digest()


def prose(key, words):
    """So many words; the frequent ones come more often, as in language."""
    chance = random.Random(key)
    some = [WORDS[min(int(chance.expovariate(0.03)), len(WORDS) - 1)] for _ in range(words)]
    return " ".join(some)


def moment(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(1_700_000_000 + seconds % 60_000_000))


def customer(seed, i, version):
    d, e = digest(seed, "c", i), digest(seed, "c", i, version)
    given, family = GIVEN[d[0] % len(GIVEN)], FAMILY[d[1] % len(FAMILY)]
    return (f"{i}\t{given.lower()}.{family.lower()}{i}@example.net\t{given} {family}\t$argon2id${base64.b64encode(d[2:34]).decode()}\t{e[0]}\t{moment(i * 29)}\t"
            f"{moment(int.from_bytes(e[1:5], 'big'))}\t{'t' if d[40] > 9 else 'f'}\t\\N\n")


def order(seed, i, version):
    d, e = digest(seed, "o", i), digest(seed, "o", i, version)
    lines = ", ".join(f'{{"article": "A{d[k] * 199:05d}", "count": {d[k + 1] % 7 + 1}, "price": {d[k + 2] * 53 + 99}}}' for k in range(8, 11 + 3 * (d[4] % 5), 3))
    return (f"{i}\t{int.from_bytes(d[:3], 'big') % 300_000}\t{STATES[e[0] % 5]}\t{d[5] * 97}.{d[6] % 100:02d}\tEUR\t{d[7] % 150 + 1} {FAMILY[d[30] % len(FAMILY)]} Street, "
            f"{d[31] * 390:05d} {FAMILY[d[32] % len(FAMILY)]}stad\t[{lines}]\t{moment(i * 13)}\t{moment(i * 13 + e[1] * 900)}\n")


def event(seed, i, _version):
    d = digest(seed, "e", i)
    return (f"{i}\t{int.from_bytes(d[:3], 'big') % 300_000}\t{KINDS[d[3] % 5]}\t{d[4:20].hex()}\t"
            f'{{"page": "/{WORDS[d[20] % len(WORDS)]}/{d[21] * 31}", "from": "{WORDS[d[22] % len(WORDS)]}", "ms": {d[23] * 4}, "ip": "10.{d[24]}.{d[25]}.{d[26]}", '
            f'"agent": "Mozilla/5.0 (X11; Linux x86_64; rv:{d[27] % 50 + 90}.0)"}}\t{moment(i * 5)}\n')


def post(seed, i, version):
    d = digest(seed, "p", i, version)
    return f"{i}\t{prose(d[:8], 7)}\t{prose(d[8:16], 100 + d[16])}\t{d[17] * 7}\t{moment(i * 301)}\n"


def session(seed, i, version):
    d, e = digest(seed, "s", i, version), digest(seed, "t", i, version)
    return f"{i}\t{d.hex()}\t{base64.b64encode(e + d[:24]).decode()}\t{moment(int.from_bytes(e[:4], 'big'))}\n"


class Database:
    """Five tables that can be dumped as SQL, and live on from night to night.

    Most changes fall where they do in a shop: on sessions, the newest orders, and customers anywhere; few on posts, none on
    events, which are only added.
    """
    #: table: row function, columns, share of the dump's bytes, bytes of a row, share of all changes, of which rows (the newest so many)
    TABLES = {
        "customers": (customer, "id, email, name, password, logins, created, seen, active, deleted", 0.13, 148, 0.40, 1.0),
        "orders": (order, "id, customer, state, total, currency, address, lines, created, changed", 0.27, 258, 0.28, 0.10),
        "events": (event, "id, customer, kind, token, detail, created", 0.37, 203, 0.0, 0.0),
        "posts": (post, "id, title, body, views, created", 0.19, 1245, 0.02, 1.0),
        "sessions": (session, "id, name, data, changed", 0.04, 222, 0.30, 1.0),
    }

    def __init__(self, size, seed):
        self.seed = seed
        self.chance = random.Random(f"{seed}:database")
        self.versions = {name: bytearray(max(10, int(size * table[2] / table[3]))) for name, table in self.TABLES.items()}

    def rows(self):
        return sum(map(len, self.versions.values()))

    def live(self, changed, added):
        """A day passes: this share of the rows is changed, and this share added. Returns both as numbers of rows."""
        rows, edits, new = self.rows(), 0, 0
        for name, table in self.TABLES.items():
            versions = self.versions[name]
            newest = int(len(versions) * table[5])
            count = min(int(rows * changed * table[4]), newest)
            for i in self.chance.sample(range(len(versions) - newest, len(versions)), count):
                versions[i] += 1
            edits += count
            more = int(len(versions) * added) if name != "sessions" else 0
            versions.extend(bytes(more))
            new += more
        return edits, new

    def dump(self, path):
        with open(path, "w", buffering=1 << 20) as f:
            f.write("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\n")
            for name, (row, columns, *_) in self.TABLES.items():
                f.write(f"COPY public.{name} ({columns}) FROM stdin;\n")
                for i, version in enumerate(self.versions[name]):
                    f.write(row(self.seed, i, version))
                f.write("\\.\n\n")
            f.write("--\n-- PostgreSQL database dump complete\n--\n")
