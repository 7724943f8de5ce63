"""The replicated model in executable form: what fs/replica/README.md says, as plainly as possible.

Nothing is kept up to date: the tree is derived from all values whenever it is asked for. It has the
clocks, hashes and names of the C code, so that the two can be compared value by value: see
model_driver.py. Replicas are numbered from 0 here; their ids are one more. The content of a file is a
text of words; a merge is their union.
"""
import hashlib
import itertools
import time
from collections import namedtuple

NR, ROOT = 12, bytes(16)  # width of a vector; record id of the root
ZERO = (0,) * NR
P0 = ('p', (0, 0))  # the first place of a record; of a hard link: ('p', dot that made it)
DIR, FILE = 0, 1  # kinds
AHEAD_MS = 600000
NAME_MAX, PLUS_MAX, EXTENSION_MAX = 255, 15, 16

# ---- hashes ---------------------------------------------------------------------------------------

KEYS = {'rid': bytes(32), 'equal': bytes(32)}


def hash_parts(key, label, *parts):
    h = hashlib.blake2b(label.encode().ljust(16, b'\0'), digest_size=32, key=KEYS[key])
    for p in parts:
        h.update(len(p).to_bytes(8, 'big') + p)
    return h.digest()


def with_kind(h, kind):
    return h[:15] + bytes([h[15] & ~3 | kind])


def hash_rid(kind, parent, name, generation):
    h = hash_parts('rid', 'persist.rid.1', bytes([kind]), parent, name.encode(),
                   generation.to_bytes(8, 'big'))
    return with_kind(h, kind)


def hash_sibling(rec, frm):
    dots = b''.join((d[0] + 1).to_bytes(8, 'big') + d[1].to_bytes(8, 'big') for d in sorted(frm))
    return with_kind(hash_parts('rid', 'persist.sib.1', rec, dots), rec[15] & 3)


def hash_equal(text):
    return hashlib.blake2b(b'persist.equal.1\0' + text.encode(), digest_size=32,
                           key=KEYS['equal']).digest()


def is_dir(rec):
    return rec[15] & 3 == DIR


# ---- vectors, values ------------------------------------------------------------------------------

# One part of a change. stamp: (hlc, id of a replica); frm: the user changes it embodies.
Val = namedtuple('Val', 'dot rec facet ctx stamp frm data')
Place = namedtuple('Place', 'alive parent name prev cseen')  # data of a place; facet ('p', slot)
# Data of the facet 'c': text; of 'm': the mode.


def join(*vs):
    return tuple(map(max, *vs)) if len(vs) > 1 else vs[0]


def has(vv, dot):
    return vv[dot[0]] >= dot[1]


def plus(vv, dot):
    return vv if has(vv, dot) else vv[:dot[0]] + (dot[1],) + vv[dot[0] + 1:]


def seen(v):
    return plus(v.ctx, v.dot)


def within(frm, vv):
    return all(has(vv, d) for d in frm)


def total(vals):
    return join(ZERO, *map(seen, vals))


def age(v):
    return (v.stamp, v.dot)


def conflict_name(name, stamp, rec=None):  # rec: of names that collide
    dot = name.rfind('.')
    if dot < 1 or ' ' in name[dot:] or len(name) - dot > EXTENSION_MAX:
        dot = len(name)
    date = time.strftime('%Y-%m-%d %H.%M.%S', time.gmtime((stamp[0] >> 16) // 1000))
    tag = '' if rec is None else ' #' + rec.hex()[:8]
    middle = ' (conflict from dev%d %s%s)' % (stamp[1], date, tag)
    stem = name[:min(dot, NAME_MAX - PLUS_MAX - len(middle) - (len(name) - dot))]
    return stem + middle + name[dot:]


# ---- the tree that values show --------------------------------------------------------------------


def slot_state(vals):
    """Whether one place of a record is alive, and the value that says so."""
    dels = [v for v in vals if not v.data.alive]
    live = [v for v in vals if v.data.alive and (not dels or not within(v.frm, total(dels)))]
    return bool(live), max(live or vals, key=age)


def content_order(v):
    return (v.stamp, len(v.frm), hash_equal(v.data), v.dot)


def unsettled(vals):
    """Contents, the shown one first, that no greater one accounts for. Two: an open conflict."""
    vs = sorted(vals, key=content_order, reverse=True)
    return [l for i, l in enumerate(vs)
            if not any(l.data == v.data or within(l.frm, seen(v)) for v in vs[:i])]


class Rec:
    """own: alive by itself; alive: or for what is in it. slots: shown places; pos: slot -> value."""
    __slots__ = 'own', 'alive', 'slots', 'pos'


class Tree:
    """rec: the records held. child: directory -> name -> (record, slot). path: the same by path."""

    def __init__(self, store):
        self.rec, self.child, self.path, self.level = {}, {}, {}, {}
        by = {}
        for (r, f), vals in store.items():
            by.setdefault(r, {})[f] = vals
        for r, facets in by.items():
            self.read_record(r, facets)
        self.break_cycles()
        self.revive_above()
        self.give_names()
        self.walk(ROOT, '')

    def read_record(self, r, facets):
        R, cseen = Rec(), ZERO
        R.slots, R.pos = [], {}
        for f in sorted(f for f in facets if f[0] == 'p'):
            live, R.pos[f] = slot_state(facets[f])
            if live:
                R.slots.append(f)
            cseen = join(cseen, *[v.data.cseen for v in facets[f] if not v.data.alive] or [ZERO])
        if not R.pos:
            return  # without a place it is still on its way
        R.own = bool(R.slots)
        if not R.own and any(not within(v.frm, cseen) for v in facets.get('c', ())):
            R.own, R.slots = True, [max(R.pos, key=lambda s: (age(R.pos[s]), s))]
        R.alive, self.rec[r] = R.own, R

    def up(self, r):
        p, level = self.rec[r].pos[P0].data, self.level.get(r, 0)
        if level == 0:
            return p.parent
        return p.prev if level == 1 and p.prev in self.rec and self.rec[p.prev].own else ROOT

    def parent(self, r, s):
        return self.up(r) if is_dir(r) else self.rec[r].pos[s].data.parent

    def break_cycles(self):
        dirs, again = [r for r in self.rec if is_dir(r)], True
        while again:
            again, done = False, set()
            for r in dirs:
                walk, x = [], r
                while x in self.rec and x not in done and x not in walk:
                    walk.append(x)
                    x = self.up(x)
                if x in walk:
                    last = max(walk[walk.index(x):], key=lambda d: (age(self.rec[d].pos[P0]), d))
                    self.level[last] = self.level.get(last, 0) + 1
                    again = True
                done.update(walk)

    def revive_above(self):
        """A deleted directory is shown while something below it is alive."""
        self.waiting = set()  # places in a directory that is not held yet
        for r, R in list(self.rec.items()):
            for s in R.slots if R.own else ():
                x, chain = self.parent(r, s), []
                while x in self.rec and is_dir(x):
                    chain.append(x)
                    x = self.up(x)
                if x != ROOT:
                    self.waiting.add((r, s))
                    continue
                for d in chain:
                    self.rec[d].alive = True
        for R in self.rec.values():
            if R.alive and not R.own:
                R.slots = [P0]

    def give_names(self):
        at = {}
        for r, R in self.rec.items():
            for s in R.slots if R.alive else ():
                if (r, s) not in self.waiting:
                    at.setdefault(self.parent(r, s), []).append((r, s))
        for d, es in at.items():
            es.sort(key=lambda e: (not is_dir(e[0]), age(self.rec[e[0]].pos[e[1]]), e))
            names, losers, once = {}, [], set()
            for e in es:
                n = self.rec[e[0]].pos[e[1]].data.name
                if (n, e[0]) in once:
                    continue  # another place of this record: one is enough
                once.add((n, e[0]))
                if names.setdefault(n, e) is not e:
                    losers.append((n, e))
            for n, e in losers:
                n = conflict_name(n, self.rec[e[0]].pos[e[1]].stamp, e[0])
                while n in names:
                    n += '+'
                names[n] = e
            self.child[d] = names

    def walk(self, d, path):
        for n, (r, s) in sorted(self.child.get(d, {}).items()):
            self.path[path + '/' + n] = (r, s, d, n)
            self.walk(r, path + '/' + n)


# ---- a replica ------------------------------------------------------------------------------------


class Replica:
    """store: (record, facet) -> values; K: knowledge; F: floor; acks: member -> its K."""

    def __init__(self, rep):
        self.rep, self.store, self.K, self.F, self.acks = rep, {}, ZERO, ZERO, {}
        self.hlc = self.tick = self.stored_hlc = 0
        self._tree = None

    @property
    def tree(self):
        self._tree = self._tree or Tree(self.store)
        return self._tree

    def vals(self, rec, facet):
        return self.store.get((rec, facet), [])

    def facets(self, rec):
        return [(k[1], vs) for k, vs in self.store.items() if k[0] == rec]

    # -- clock

    def begin(self, now):
        self.hlc = self.tick = max(self.hlc + 1, now << 16)

    def observe(self, now, stamp):
        if stamp[0] >> 16 <= now + AHEAD_MS:
            agrees = (stamp[0] >> 16) + AHEAD_MS >= now  # then the wall clock is right
            wrong = agrees and self.hlc >> 16 > now + AHEAD_MS
            self.hlc = stamp[0] if wrong else max(self.hlc, stamp[0])

    # -- merging

    def put(self, v):
        cur = self.vals(v.rec, v.facet)
        if any(has(seen(x), v.dot) for x in cur):
            return False
        self.store[v.rec, v.facet] = [x for x in cur if not has(v.ctx, x.dot)] + [v]
        self._tree = None
        return True

    def take(self, change, now):
        """A change of another replica: its parts."""
        if has(self.K, change[0].dot):
            return
        if any([self.put(v) for v in change]):
            self.stored_hlc = self.hlc
            for v in change:
                self.observe(now, v.stamp)

    # -- a change of its own: one dot for one operation, with all its parts

    def author(self, parts):
        """parts: (rec, facet, data, origin or None, stamp or None, more of ctx); the last of a
        facet counts. No origin: a user's own change; no stamp: a new one."""
        dot, made = (self.rep, self.K[self.rep] + 1), []
        for rec, facet, data, frm, stamp, extra in {p[:2]: p for p in parts}.values():
            cur = self.vals(rec, facet)
            ctx = join(total(cur) if cur else self.F, extra)
            if stamp is None:
                late = facet[0] == 'p' and not data.alive  # a deletion is the last of its change
                stamp = (max([self.tick + late] + [x.stamp[0] + 1 for x in cur]), self.rep + 1)
            made.append(Val(dot, rec, facet, ctx, stamp, frozenset([dot]) if frm is None else frm,
                            data))
        for v in made:
            self.put(v)
            self.observe(self.tick >> 16, v.stamp)
        self.K, self.stored_hlc = plus(self.K, dot), self.hlc
        return True

    def place(self, rec, slot, alive, parent, name, prev=ROOT, cseen=ZERO):
        return (rec, slot, Place(alive, parent, name, prev, cseen), None, None, ZERO)

    def content(self, rec, data):
        return (rec, 'c', data, None, None, ZERO)

    def affirm(self, d):
        """Directory d and those above it that are deleted, and shown for what is in them."""
        out = []
        while d != ROOT:
            R = self.tree.rec[d]
            if not R.own:
                up = self.tree.up(d)
                name = next(n for n, e in self.tree.child[up].items() if e[0] == d)
                p = self.place(d, P0, True, up, name, R.pos[P0].data.prev)
                out.append(p[:4] + (R.pos[P0].stamp, ZERO))
            d = self.tree.up(d)
        return out

    def wanted(self, r, s):
        return self.tree.rec[r].pos[s].data.name

    def pin(self, e):
        """Entry e is about to leave its name. The others that want it, or would lose a '+' that they
        have because of it, keep the names that they are shown under."""
        out = []
        for n, (r, s) in self.tree.child[e[2]].items():
            want = self.wanted(r, s)
            freed = n != want and want == e[3] and self.wanted(*e[:2]) == e[3]
            if freed or n != want and r != e[0] and n.rstrip('+') == e[3].rstrip('+'):
                for t in self.twins(r, s):
                    v = self.tree.rec[r].pos[t]
                    out.append((r, t, v.data._replace(name=n, parent=e[2]), v.frm, v.stamp, ZERO))
        return out

    def hold(self):
        """Directories that a cycle keeps elsewhere get the place that they are shown at."""
        vs = [(x, self.tree.rec[x].pos[P0]) for x in self.tree.level]
        return [(x, P0, v.data._replace(parent=self.tree.up(x)), v.frm, v.stamp, ZERO)
                for x, v in vs]

    def siblings(self, rec, losers):
        s = self.tree.rec[rec].slots[0]
        at, out = self.tree.rec[rec].pos[s].data, []
        for l in losers:
            sid = hash_sibling(rec, l.frm)
            if self.facets(sid):
                continue  # someone made it; perhaps it was deleted since
            name = conflict_name(at.name, l.stamp)
            out.append((sid, P0, Place(True, at.parent, name, ROOT, ZERO), frozenset(), l.stamp, ZERO))
            out.append((sid, 'c', l.data, l.frm, l.stamp, join(ZERO, *[plus(ZERO, d) for d in l.frm])))
            for m in sorted(self.vals(rec, 'm'), key=age)[-1:]:
                frm = None if m.frm == frozenset([m.dot]) else m.frm
                out.append((sid, 'm', m.data, frm, m.stamp, ZERO))
        return out

    def settle(self, rec):
        """Siblings for what an operation on a record with an open conflict would lose."""
        losers = unsettled(self.vals(rec, 'c'))[1:]
        return self.siblings(rec, losers) if losers else []

    def bury(self, rec, slots):
        """Deletes names; if they are all that the record has, its content too."""
        R = self.tree.rec[rec]
        every = set(slots) == set(R.slots)
        out = self.settle(rec) if every else []
        cseen = total(self.vals(rec, 'c')) if every else ZERO
        for s in slots:
            p = R.pos[s].data
            out.append(self.place(rec, s, False, self.tree.parent(rec, s), p.name, p.prev, cseen))
        return out

    # -- local operations, by path; False: not possible here

    def at(self, path):
        return self.tree.path.get(path) if path else (ROOT, None, None, None)

    def dir_at(self, path):
        e = self.at(path)
        return e[0] if e and is_dir(e[0]) else None

    def twins(self, r, s):
        """Places of r at one and the same path."""
        R = self.tree.rec[r]
        return [t for t in R.slots if R.pos[t].data[1:3] == R.pos[s].data[1:3]]

    def new(self, kind, path, text):
        up, _, name = path.rpartition('/')
        d = self.dir_at(up)
        if d is None or self.at(path):
            return False
        for g in itertools.count():
            r = hash_rid(kind, d, name, g)
            R = self.tree.rec.get(r)
            if not self.facets(r):
                break
            if R and not R.alive and P0 in R.pos and R.pos[P0].data[1:3] == (d, name):
                break
        parts = self.affirm(d) + [self.place(r, P0, True, d, name), (r, 'm', 0o644, None, None, ZERO)]
        return self.author(parts + ([self.content(r, text)] if kind == FILE else []))

    def create(self, path, text):
        return self.new(FILE, path, text)

    def mkdir(self, path):
        return self.new(DIR, path, None)

    def edit(self, path, text):
        e = self.at(path)
        if not e or is_dir(e[0]):
            return False
        return self.author(self.settle(e[0]) + [self.content(e[0], text)])

    def chmod(self, path, mode):
        e = self.at(path)
        return bool(e) and self.author([(e[0], 'm', mode, None, None, ZERO)])

    def rm(self, path):
        e = self.at(path)
        if not e or is_dir(e[0]) and self.tree.child.get(e[0]):
            return False
        r, s, d, _ = e
        return self.author((self.hold() if is_dir(r) else []) + self.pin(e) + self.affirm(d) +
                           self.bury(r, self.twins(r, s)))

    def mv(self, a, b):
        e, o = self.at(a), self.at(b)
        up, _, name = b.rpartition('/')
        d = self.dir_at(up)
        if not e or a == b or d is None or (up + '/').startswith(a + '/'):
            return False
        r, s, pd, _ = e
        if o and (o[0] == r or is_dir(o[0]) != is_dir(r) or self.tree.child.get(o[0])):
            return False
        parts = (self.hold() if is_dir(r) else []) + self.pin(e) + (self.pin(o) if o else [])
        parts += self.affirm(pd) + self.affirm(d)
        if o:
            parts += self.bury(o[0], self.twins(o[0], o[1]))
        parts += self.bury(r, [t for t in self.twins(r, s) if t != s])
        return self.author(parts + [self.place(r, s, True, d, name, pd)])

    def swap(self, a, b):
        x, y = self.at(a), self.at(b)
        if not x or not y or x[0] == y[0] or (b + '/').startswith(a + '/') or \
                (a + '/').startswith(b + '/'):
            return False
        parts = self.hold() if is_dir(x[0]) or is_dir(y[0]) else []
        parts += self.pin(x) + self.pin(y) + self.affirm(x[2]) + self.affirm(y[2])
        for e in x, y:
            parts += self.bury(e[0], [t for t in self.twins(e[0], e[1]) if t != e[1]])
        for e, to in (x, y), (y, x):
            parts.append(self.place(e[0], e[1], True, to[2], to[3], e[2]))
        return self.author(parts)

    def ln(self, a, b):
        e = self.at(a)
        up, _, name = b.rpartition('/')
        d = self.dir_at(up)
        if not e or is_dir(e[0]) or d is None or self.at(b):
            return False
        slot = ('p', (self.rep, self.K[self.rep] + 1))
        return self.author(self.affirm(d) + [self.place(e[0], slot, True, d, name)])

    # -- resolution

    def resolve(self, rec, policy):
        vs = self.vals(rec, 'c')
        U = unsettled(vs)
        if len(U) < 2 or not all(has(self.K, v.dot) for v in vs) or \
                rec not in {e[0] for e in self.tree.path.values()}:
            return False
        if policy in ('keep', 'later'):
            frm = frozenset().union(*[v.frm for v in vs if v.data == U[0].data])
            sibs = self.siblings(rec, U[1:]) if policy == 'keep' else []
            return self.author(sibs + [(rec, 'c', U[0].data, frm, U[0].stamp, ZERO)])
        words = set().union(*[v.data.split() for v in U])
        if policy == 'exec':  # comes out different on every device
            words.add('x%d.%d' % (self.rep, self.K[self.rep]))
        frm = frozenset().union(*[v.frm for v in U])
        return self.author([(rec, 'c', ' '.join(sorted(words)), frm, U[0].stamp, ZERO)])

    # -- exchange

    def changes(self, K):
        """What K does not cover: dot -> parts."""
        by = {}
        for v in itertools.chain(*self.store.values()):
            if not has(K, v.dot):
                by.setdefault(v.dot, []).append(v)
        return by

    def know(self, K, acks):
        self.K, self.stored_hlc = join(self.K, K), self.hlc
        for m, k in acks.items():
            self.acks[m] = join(self.acks.get(m, ZERO), k)

    # -- clean-up

    def clean(self, members):
        others = [m for m in members if m != self.rep]
        if all(self.K[m] >= self.acks.get(m, ZERO)[m] for m in others):
            acked = [self.acks.get(m, ZERO) for m in others]
            self.F = join(self.F, tuple(map(min, self.K, *acked)) if acked else self.K)
        while True:
            used = {v.data.parent for vs in self.store.values() for v in vs if v.facet[0] == 'p'}
            gone = [r for r, R in self.tree.rec.items() if not R.alive and r not in used and
                    all(has(self.F, v.dot) for _, vs in self.facets(r) for v in vs)]
            if not gone:
                return
            for k in [k for k in self.store if k[0] in gone]:
                del self.store[k]
            self._tree = None

    # -- a database that went back in time

    def copy(self):
        return dict(self.store), self.K, self.F, dict(self.acks), self.stored_hlc

    def restore(self, image, new_rep, confirmed):
        """Own changes above what others confirmed are written anew, as the new replica's."""
        self.store, self.K, self.F, self.acks, self.hlc = image
        old, self.rep = self.rep, new_rep
        lost = lambda d: d[0] == old and d[1] > confirmed
        cut = lambda vv: vv[:old] + (min(vv[old], confirmed),) + vv[old + 1:]
        all_lost = [v for vs in self.store.values() for v in vs if lost(v.dot)]
        number = {d: i + 1 for i, d in enumerate(sorted({v.dot for v in all_lost}))}
        for v in sorted(all_lost, key=lambda v: v.dot):
            dot = (new_rep, number[v.dot])
            frm = frozenset(dot if lost(d) else d for d in v.frm)
            data = v.data
            if v.facet[0] == 'p' and not data.alive:
                data = data._replace(cseen=cut(data.cseen))
            now = v._replace(dot=dot, ctx=cut(v.ctx), frm=frm, data=data)
            keep = [x for x in self.vals(v.rec, v.facet) if x is not v and not has(now.ctx, x.dot)]
            self.store[v.rec, v.facet] = keep + [now]
        self.K = cut(self.K)
        if number:
            self.K = plus(self.K, (new_rep, len(number)))
        self.stored_hlc, self._tree = self.hlc, None
