"""Runs model.py beside the C code: commands on the standard input, one a line, tab between fields.

Each is answered by one line, "ok" or what differs; "state" by the length of a text, then the text.
"""
import sys

import model
from model import Replica, is_dir, unsettled

USER = {'mkdir': 1, 'create': 2, 'edit': 2, 'chmod': 2, 'rm': 1, 'mv': 2, 'ln': 2, 'swap': 2}


def dot_text(d):
    return '0.0' if d == (0, 0) else '%d.%d' % (d[0] + 1, d[1])


def dot_read(text):
    rep, counter = map(int, text.split('.'))
    return (rep - 1, counter)


def vector_text(vv):
    return '{%s}' % ' '.join('%d.%d' % (i + 1, n) for i, n in enumerate(vv) if n)


def value_text(v):
    facet = 'place' if v.facet[0] == 'p' else 'meta' if v.facet == 'm' else 'content'
    slot = v.facet[1] if facet == 'place' else (0, 0)
    out = [v.rec.hex(), facet, dot_text(slot), dot_text(v.dot), vector_text(v.ctx),
           '%d/%d' % v.stamp]
    out.append('{%s}' % ' '.join(map(dot_text, sorted(v.frm))))
    if facet == 'place':
        p = v.data
        out += ['alive' if p.alive else 'deleted', p.parent.hex(), p.prev.hex(), vector_text(p.cseen),
                p.name]
    else:
        out.append('%o' % v.data if facet == 'meta' else model.hash_equal(v.data).hex())
    return ' '.join(out)


def value_order(v):
    facet = 0 if v.facet[0] == 'p' else 1 if v.facet == 'm' else 2
    return (v.rec, facet, v.facet[1] if facet == 0 else (0, 0), v.dot)


def state(r):
    lines = []
    for path, (rec, _, _, _) in r.tree.path.items():
        cs = unsettled(r.vals(rec, 'c'))
        digest = model.hash_equal(cs[0].data).hex()[:16] if cs else ''
        lines.append(path + ('/' if is_dir(rec) else ' = ' + digest))
    lines.append('knows %s floor %s' % (vector_text(r.K), vector_text(r.F)))
    lines += map(value_text, sorted((v for vs in r.store.values() for v in vs), key=value_order))
    return ''.join(line + '\n' for line in lines)


class Driver:
    def new(self, members, server, rid_key, equal_key):
        model.KEYS.update(rid=bytes.fromhex(rid_key), equal=bytes.fromhex(equal_key))
        self.members = list(range(int(members)))
        self.r = [Replica(i) for i in range(int(members) + int(server))]
        self.session = {}

    def changed(self, i, now, begun, changed, fn):
        r = self.r[i]
        if int(begun):
            r.begin(int(now))
        did = fn(r)
        if bool(did) != bool(int(changed)):
            return 'the model %s' % ('did it' if did else 'did not')

    def op(self, i, now, begun, changed, name, *arg):
        arg = list(arg[:USER[name]])
        if name == 'chmod':
            arg[1] = int(arg[1]) & 0o777
        elif name in ('create', 'edit'):
            arg[1] = 's%04d' % int(arg[1]) if int(arg[1]) else ''
        return self.changed(int(i), now, begun, changed, lambda r: getattr(r, name)(*arg))

    def resolve(self, i, now, begun, changed, rec, policy):
        return self.changed(int(i), now, begun, changed,
                            lambda r: r.resolve(bytes.fromhex(rec), policy))

    def open(self, sid, to, source, dots):
        to, source = self.r[int(to)], self.r[int(source)]
        changes = source.changes(to.K)
        acks = dict(source.acks)
        if self.r.index(source) in self.members:
            acks[self.r.index(source)] = source.K
        self.session[int(sid)] = (to, changes, source.K, acks)
        if sorted(changes) != sorted(map(dot_read, dots.split())):
            return 'the model gives ' + ' '.join(map(dot_text, sorted(changes)))

    def take(self, sid, dot, now):
        to, changes, _, _ = self.session[int(sid)]
        to.take(changes[dot_read(dot)], int(now))

    def know(self, sid):
        to, _, K, acks = self.session[int(sid)]
        to.know(K, acks)

    def clean(self, i):
        self.r[int(i)].clean(self.members)

    def copy(self, i):
        self.image = self.r[int(i)].copy()

    def restore(self, i, new_id, confirmed):
        self.r[int(i)].restore(self.image, int(new_id) - 1, int(confirmed))


def main():
    driver = Driver()
    for line in sys.stdin:
        name, *arg = line.rstrip('\n').split('\t')
        if name == 'state':
            text = state(driver.r[int(arg[0])]).encode()
            sys.stdout.write('%d\n' % len(text))
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
        else:
            sys.stdout.write((getattr(driver, name)(*arg) or 'ok') + '\n')
        sys.stdout.flush()


main()
