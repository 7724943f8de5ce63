"""Runs model.py beside the C code: commands on the standard input, one a line, tab between fields.

Each is answered by one line, "ok" or what differs; those that ask for a text by its length, then the
text: "state" (a replica's), and "tree" (of as many values as it says, which follow, one a line).
"""
import sys

import model
from model import Place, Replica, Val, is_dir, unsettled

USER = {'mkdir': 1, 'create': 2, 'edit': 2, 'chmod': 2, 'rm': 1, 'mv': 2, 'ln': 2, 'swap': 2}


def dot_text(d):
    return '0.0' if d == (0, 0) else '%d.%d' % (d[0] + 1, d[1])


def dot_read(text):
    rep, counter = text.split('.')
    return (int(rep) - 1, int(counter))


def vector_text(vv):
    return ' '.join('%d.%d' % (i + 1, n) for i, n in enumerate(vv) if n)


def vector_read(text):
    vv = list(model.ZERO)
    for dot in text.split():
        rep, n = dot_read(dot)
        vv[rep] = n
    return tuple(vv)


def value_text(v):
    facet = 'place' if v.facet[0] == 'p' else 'meta' if v.facet == 'm' else 'content'
    slot = v.facet[1] if facet == 'place' else (0, 0)
    out = [v.rec.hex(), facet, dot_text(slot), dot_text(v.dot), vector_text(v.ctx), '%d/%d' % v.stamp,
           ' '.join(map(dot_text, sorted(v.frm)))]
    if facet == 'place':
        p = v.data
        out += ['alive' if p.alive else 'deleted', p.parent.hex(), p.prev.hex(), vector_text(p.cseen),
                p.name]
    elif facet == 'meta':
        out.append('%o' % v.data)
    else:
        out += [model.hash_equal(v.data).hex(), v.data.encode().hex()]
    return '\t'.join(out)


def value_read(line):
    rec, facet, slot, dot, ctx, stamp, frm, *rest = line.rstrip('\n').split('\t')
    if facet == 'place':
        alive, parent, prev, cseen, name = rest
        key = model.P0 if slot == '0.0' else ('p', dot_read(slot))
        data = Place(alive == 'alive', bytes.fromhex(parent), name, bytes.fromhex(prev),
                     vector_read(cseen))
    elif facet == 'meta':
        key, data = 'm', int(rest[0], 8)
    else:
        key, data = 'c', bytes.fromhex(rest[1]).decode()
        if model.hash_equal(data).hex() != rest[0]:
            sys.exit('%s of %s has not the hash of its bytes' % (dot, rec))
    hlc, rep = stamp.split('/')
    return Val(dot_read(dot), bytes.fromhex(rec), key, vector_read(ctx), (int(hlc), int(rep)),
               frozenset(map(dot_read, frm.split())), data)


def value_order(v):
    facet = 0 if v.facet[0] == 'p' else 1 if v.facet == 'm' else 2
    return (v.rec, facet, v.facet[1] if facet == 0 else (0, 0), v.dot)


def shown(r):
    lines = []
    for path, (rec, _, _, _) in r.tree.path.items():
        line = '%s %s' % (path, rec.hex())
        modes, contents = r.vals(rec, 'm'), unsettled(r.vals(rec, 'c'))
        if modes:
            line += ' %o' % max(modes, key=model.age).data
        if contents:
            line += ' = ' + model.hash_equal(contents[0].data).hex()
        line += '' if r.tree.rec[rec].own else ' deleted'
        line += ' suspended' if r.tree.level.get(rec) else ''
        lines.append(line + (' conflict' if len(contents) > 1 else ''))
    return lines


def lines_text(lines):
    return ''.join(line + '\n' for line in lines)


class Driver:
    def keys(self, rid_key, equal_key):
        model.KEYS.update(rid=bytes.fromhex(rid_key), equal=bytes.fromhex(equal_key))

    def new(self, members, server):
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


    def state(self, i):
        r = self.r[int(i)]
        held = sorted((v for vs in r.store.values() for v in vs), key=value_order)
        return lines_text(shown(r) + ['knows %s floor %s' % (vector_text(r.K), vector_text(r.F))] +
                          [value_text(v) for v in held])

    def tree(self, n):
        r = Replica(0)
        for _ in range(int(n)):
            r.put(value_read(sys.stdin.readline()))
        return lines_text(shown(r))


def main():
    driver = Driver()
    for line in sys.stdin:
        name, *arg = line.rstrip('\n').split('\t')
        answer = getattr(driver, name)(*arg)
        if name in ('state', 'tree'):
            answer = '%d\n%s' % (len(answer.encode()), answer)
        else:
            answer = (answer or 'ok') + '\n'
        sys.stdout.buffer.write(answer.encode())
        sys.stdout.flush()


main()
