package ruleset

import (
	"encoding/binary"
	"errors"
	"hash/fnv"

	"github.com/ftpalg/ftpalg/conntrack/internal/nlread"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Counters is how many packets the rules gave to the queues, or would have if a
// program had been there.
type Counters struct {
	Offered uint64 // these pass if no program has the queue, or if it is full
	Held    uint64 // these do not
}

// owner reads whose table is in force. found is false if there is no table of
// that name, or if it names nobody.
func (s *socket) owner(table string) (o Owner, found bool, err error) {
	err = s.request(unix.NFT_MSG_GETSET, 0, func(e *attrs) {
		e.String(unix.NFTA_SET_TABLE, table)
		e.String(unix.NFTA_SET_NAME, portSet)
	}, func(m message) {
		o, found = parseOwner(commentOf(nlread.Attr(m.body, unix.NFTA_SET_USERDATA)))
	})
	if errors.Is(err, unix.ENOENT) {
		return Owner{}, false, nil
	}
	return o, found, err
}

// commentOf finds the comment in what user space keeps with a set: entries of a
// byte of type, a byte of length and a value.
func commentOf(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == udataComment {
			return text(b[2 : 2+int(b[1])])
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

// tableName is the attribute of that meaning of every kind of object.
const tableName = 1

// dump reads all objects of a kind in a table; body is their attributes. It is no
// error if there is no such table.
func (s *socket) dump(typ uint16, table string, f func(body []byte)) error {
	err := s.request(typ, unix.NLM_F_DUMP, func(e *attrs) { e.String(tableName, table) }, func(m message) {
		// Kernels differ in which dumps heed the name.
		if m.family == unix.NFPROTO_INET && text(nlread.Attr(m.body, tableName)) == table {
			f(m.body)
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// helps tells whether any table has an object for a helper, as far as can be found out.
func (s *socket) helps(helper string) (found bool) {
	err := s.request(unix.NFT_MSG_GETOBJ, unix.NLM_F_DUMP, func(*attrs) {}, func(m message) {
		found = found || parseObject(m.body).helper == helper
	})
	return found && err == nil
}

// emptyDigest is that of a table without rules, or of none.
const emptyDigest = 0

// digest is a number for all that decides what the table does: flags, chains,
// ports, the helper and, in their order, the rules. Counters and what differs from
// one installation to the next is left out.
func (s *socket) digest(table string) (uint64, error) {
	var sum uint64 // of hashes, since most objects come in any order
	add := func(parts ...[]byte) {
		h := fnv.New64a()
		for _, p := range parts {
			_, _ = h.Write(binary.NativeEndian.AppendUint32(nil, uint32(len(p)))) // a hash takes everything
			_, _ = h.Write(p)
		}
		sum += h.Sum64()
	}
	rules := uint64(0)
	err := errors.Join(
		s.dump(unix.NFT_MSG_GETTABLE, table, func(b []byte) { add(nlread.Attr(b, unix.NFTA_TABLE_FLAGS)) }),
		s.dump(unix.NFT_MSG_GETCHAIN, table, func(b []byte) {
			add(nlread.Attr(b, unix.NFTA_CHAIN_NAME), nlread.Attr(b, unix.NFTA_CHAIN_HOOK),
				nlread.Attr(b, unix.NFTA_CHAIN_POLICY))
		}),
		s.dump(unix.NFT_MSG_GETOBJ, table, func(b []byte) {
			add(nlread.Attr(b, unix.NFTA_OBJ_NAME), nlread.Attr(b, unix.NFTA_OBJ_DATA))
		}),
		s.ports(table, func(key []byte) { add(key) }),
		s.dump(unix.NFT_MSG_GETRULE, table, func(b []byte) {
			rules++
			place := binary.NativeEndian.AppendUint64(nil, rules)
			parts := [][]byte{nlread.Attr(b, unix.NFTA_RULE_CHAIN), place}
			expressions(b, func(name string, data []byte) {
				if name == "counter" {
					data = nil
				}
				parts = append(parts, []byte(name), data)
			})
			add(parts...)
		}),
	)
	if err != nil || rules == 0 {
		return emptyDigest, err
	}
	return sum, nil
}

// ports gives f the elements of the set of ports.
func (s *socket) ports(table string, f func(key []byte)) error {
	err := s.request(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, func(e *attrs) {
		e.String(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		e.String(unix.NFTA_SET_ELEM_LIST_SET, portSet)
	}, func(m message) {
		each(nlread.Attr(m.body, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, elem []byte) {
			f(nlread.Attr(elem, unix.NFTA_SET_ELEM_KEY))
		})
	})
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// expressions gives f those of a rule.
func expressions(rule []byte, f func(name string, data []byte)) {
	each(nlread.Attr(rule, unix.NFTA_RULE_EXPRESSIONS), func(_ uint16, e []byte) {
		f(text(nlread.Attr(e, unix.NFTA_EXPR_NAME)), nlread.Attr(e, unix.NFTA_EXPR_DATA))
	})
}

// counters sums up what stands in front of the queue statements.
func (s *socket) counters(table string) (c Counters, err error) {
	err = s.dump(unix.NFT_MSG_GETRULE, table, func(b []byte) {
		packets := uint64(0)
		expressions(b, func(name string, data []byte) {
			var flags uint16
			switch name {
			case "counter":
				packets = nlread.U64(nlread.Attr(data, unix.NFTA_COUNTER_PACKETS))
				return
			case "queue":
				flags = nlread.U16(nlread.Attr(data, unix.NFTA_QUEUE_FLAGS))
			case "target":
				flags = targetFlags(nlread.Attr(data, unix.NFTA_TARGET_INFO))
			default:
				return
			}
			if flags&bypass != 0 {
				c.Offered += packets
			} else {
				c.Held += packets
			}
		})
	})
	return c, err
}

// xtInfo is what an xt target is told.
type xtInfo = xt.Unknown

// targetFlags reads the flags in struct xt_NFQ_info_v3.
func targetFlags(info []byte) uint16 {
	const at = 4
	if len(info) < at+2 {
		return 0
	}
	return binary.NativeEndian.Uint16(info[at:])
}

// text is what a string of the kernel's says.
func text(b []byte) string { return string(nlread.Text(b)) }

// each gives f the attributes in b.
func each(b []byte, f func(typ uint16, value []byte)) {
	for typ, v, rest, ok := nlread.NextAttr(b); ok; typ, v, rest, ok = nlread.NextAttr(rest) {
		f(typ, v)
	}
}
